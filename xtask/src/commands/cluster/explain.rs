//! `cluster explain`: why a cluster does not work, as one cause, what shows it, and
//! a command to type.

use std::fmt::Write;

use clap::Args;
use serde_json::{Value, json};

use super::status::{self, cluster_json};
use super::{Which, look_up};
use crate::app::App;
use foundation::ctx::Ctx;
use foundation::ctx::cluster::{Check, ClusterState, ClusterView, Diagnosis, Fault, Outcome};
use foundation::failure::{Exit, Failure, Result};
use foundation::typed;
use foundation::ui::text::{column_width, one_line};
use foundation::ui::{self, Style};

#[derive(Debug, Args)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub which: Which,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(app: &App<'_>, args: &ExplainArgs) -> Result<u8> {
    let view = look_up(app, &args.which)?;
    let diagnosis = ClusterView::diagnose(&app.ctx, &view.name);
    if args.json {
        ui::print_report(to_json(&diagnosis));
    } else {
        ui::print(&to_text(app, &diagnosis));
    }
    Ok(exit_code(&diagnosis))
}

pub(super) fn to_json(diagnosis: &Diagnosis) -> Value {
    json!({
        "cluster": cluster_json(&diagnosis.view),
        "checks": diagnosis.checks, "cause": diagnosis.cause(),
    })
}

/// Returns 1 unless the cluster runs and every check is fine.
fn exit_code(diagnosis: &Diagnosis) -> u8 {
    let is_fine = diagnosis.view.state == ClusterState::Running && diagnosis.cause().is_none();
    if is_fine { 0 } else { Exit::Checks.code() }
}

/// Adds the cause of a failed creation to its failure.
pub(crate) fn explained(ctx: &Ctx, name: &str, failure: Failure) -> Failure {
    let diagnosis = ClusterView::diagnose(ctx, name);
    let Some(fault) = diagnosis.cause() else {
        return failure;
    };
    // A node's death is the failure itself.
    let is_news = failure.exit != Exit::NodeDied
        && fault.kind.explains_creation()
        && !failure.to_string().contains(&fault.what);
    let failure = if is_news {
        let evidence = fault.evidence.iter();
        evidence.fold(failure.cause(&fault.what), |failure, line| {
            failure.cause(one_line(line))
        })
    } else {
        failure
    };
    failure.cause(format!(
        "`{}` checks everything again",
        typed!("cluster explain --name {}", name)
    ))
}

fn to_text(app: &App<'_>, diagnosis: &Diagnosis) -> String {
    let view = &diagnosis.view;
    let mut out = format!(
        "cluster {} is {}\n",
        app.ui.paint(Style::Bold, &one_line(&view.name)),
        status::state(app, view.state, 0)
    );
    let width = column_width(diagnosis.checks.iter().map(|check| check.name));
    for check in &diagnosis.checks {
        out.push_str(&check_lines(app, check, width));
    }
    match diagnosis.cause() {
        Some(fault) => out.push_str(&cause_lines(app, fault)),
        None if view.state == ClusterState::Running => out.push_str("no fault found\n"),
        None => {
            let _ = writeln!(
                out,
                "no fault found, but the cluster is {}",
                view.state.as_str()
            );
        }
    }
    out
}

fn check_lines(app: &App<'_>, check: &Check, width: usize) -> String {
    let line = |style: Style, word: &str, text: &str| {
        let word = app.ui.paint(style, &format!("{word:<9}"));
        let line = format!("  {word} {:<width$}  {}", check.name, one_line(text));
        format!("{}\n", line.trim_end())
    };
    match &check.outcome {
        Outcome::Ok => line(Style::Good, "ok", ""),
        Outcome::Unknown { why } => line(Style::Dim, "unchecked", why),
        Outcome::Fault { faults } => {
            let lines = faults
                .iter()
                .map(|fault| line(Style::Bad, "fault", &fault.what));
            lines.collect()
        }
    }
}

fn cause_lines(app: &App<'_>, fault: &Fault) -> String {
    let mut out = format!(
        "{} {}\n",
        app.ui.paint(Style::Bold, "cause:"),
        one_line(&fault.what)
    );
    if let Some(evidence) = &fault.evidence {
        let _ = writeln!(out, "  shown by: {}", one_line(evidence));
    }
    if let Some(hint) = &fault.hint {
        let _ = writeln!(out, "  {} {hint}", app.ui.paint(Style::Dim, "next:"));
    }
    out
}

//! `selinux gate`: fails on denials that a baseline does not accept.

use std::fmt::Write;

use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use jiff::Zoned;
use jiff::civil::Date;
use selinux::baseline::{Baseline, Entry, Outcome, Unaccepted};
use selinux::log::{Denials, Summary};
use serde_json::{Value, json};

use super::inputs::{self, LogArgs};
use super::text;
use crate::app::App;
use crate::commands::cluster::Which;
use foundation::failure::{Exit, Failure, Result};
use foundation::files;
use foundation::ui;
use foundation::ui::text::one_line;

#[derive(Debug, Clone, Args)]
pub struct GateArgs {
    #[command(flatten)]
    pub logs: LogArgs,
    /// Accepted denials, in TOML
    #[arg(long, value_name = "FILE")]
    pub baseline: Utf8PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(app: &App<'_>, args: &GateArgs) -> Result<u8> {
    let baseline = load(app, &args.baseline)?;
    check(app, &baseline, &args.logs, args.json)
}

/// Reads the logs of all nodes of a cluster, after tests against it.
///
/// # Errors
/// If a log cannot be read.
pub(crate) fn check_nodes(app: &App<'_>, baseline: &Baseline, which: &Which) -> Result<u8> {
    let logs = LogArgs {
        logs: Vec::new(),
        node: vec!["*".to_owned()],
        which: which.clone(),
    };
    check(app, baseline, &logs, false)
}

fn check(app: &App<'_>, baseline: &Baseline, logs: &LogArgs, is_json: bool) -> Result<u8> {
    let (denials, summary) = inputs::read(app, logs)?;
    let today = Zoned::now().date().to_string();
    let outcome = baseline.check(&denials.groups, &today);
    if is_json {
        ui::print_report(to_json(baseline, &outcome, &denials, &summary));
    } else {
        ui::print(&to_text(app, baseline, &outcome, &denials, &summary));
    }
    let is_accepted =
        outcome.unaccepted.is_empty() && denials.uncounted == 0 && denials.errors.is_empty();
    Ok(if !is_accepted {
        Exit::Checks.code()
    } else if summary.is_complete() {
        0
    } else {
        Exit::Incomplete.code()
    })
}

/// Reads a baseline.
///
/// # Errors
/// If it does not exist or is invalid.
pub(crate) fn load(app: &App<'_>, file: &Utf8Path) -> Result<Baseline> {
    let path = app.ctx.cwd.join(file);
    let text = files::text(&path, files::SMALL)?.ok_or_else(|| {
        Failure::usage(format!("the baseline `{file}` does not exist"))
            .hint("an empty file accepts nothing")
    })?;
    let invalid = || Failure::usage(format!("invalid baseline `{file}`"));
    let baseline: Baseline = toml::from_str(&text).map_err(|error| invalid().cause(error))?;
    for entry in &baseline.denial {
        entry.expires.parse::<Date>().map_err(|_| {
            invalid().cause(format!(
                "invalid date `{}`: it is written like 2027-01-31",
                entry.expires
            ))
        })?;
    }
    Ok(baseline)
}

fn entry_text(entry: &Entry) -> String {
    let comm = entry.comm.as_ref().map(|comm| format!(" of {comm}"));
    let text = format!(
        "{} → {} {} {{ {} }}{}, {}: {}",
        entry.source,
        entry.target,
        entry.class,
        entry.permission,
        comm.unwrap_or_default(),
        entry.owner,
        entry.reason
    );
    one_line(&text).into_owned()
}

fn denial_text(it: &Unaccepted<'_>) -> String {
    let text = format!(
        "{} → {} {} {{ {} }}",
        text::kind(&it.group.source),
        text::kind(&it.group.target),
        it.group.class,
        it.permission
    );
    one_line(&text).into_owned()
}

fn to_text(
    app: &App<'_>,
    baseline: &Baseline,
    outcome: &Outcome<'_>,
    denials: &Denials,
    summary: &Summary,
) -> String {
    let mut out = String::new();
    for it in &outcome.unaccepted {
        let why = match it.expired {
            Some(at) => format!("accepted until {}", baseline.denial[at].expires),
            None => "not in the baseline".to_owned(),
        };
        let _ = writeln!(out, "{}  {}", denial_text(it), one_line(&why));
        let by = |operation: &&selinux::log::Operation| operation.permission == it.permission;
        if let Some(operation) = it.group.operations.iter().find(by) {
            let _ = writeln!(out, "  shown by {}", text::place(&operation.sample));
        }
    }
    for error in &denials.errors {
        let _ = writeln!(out, "{}  {} ×", one_line(&error.operation), error.count);
        let _ = writeln!(out, "  shown by {}", text::place(&error.sample));
    }
    for (what, entries) in [("expired", &outcome.expired), ("unused", &outcome.unused)] {
        for at in entries {
            let _ = writeln!(out, "{what} entry: {}", entry_text(&baseline.denial[*at]));
        }
    }
    text::write_summary(
        &mut out,
        app.ui,
        summary,
        denials.groups.len(),
        denials.uncounted,
    );
    out
}

fn to_json(
    baseline: &Baseline,
    outcome: &Outcome<'_>,
    denials: &Denials,
    summary: &Summary,
) -> Value {
    let entries = |list: &[usize]| -> Value {
        let entries = list.iter().map(|at| &baseline.denial[*at]);
        entries
            .map(|it| {
                json!({
                    "source": it.source,
                    "target": it.target,
                    "class": it.class,
                    "permission": it.permission,
                    "comm": it.comm,
                    "owner": it.owner,
                    "reason": it.reason,
                    "expires": it.expires,
                })
            })
            .collect()
    };
    let unaccepted = outcome.unaccepted.iter().map(|it| {
        json!({
            "source": text::kind(&it.group.source),
            "target": text::kind(&it.group.target),
            "class": it.group.class,
            "permission": it.permission,
            "commands": it.group.commands,
            "expired": it.expired.map(|at| baseline.denial[at].expires.clone()),
        })
    });
    json!({
        "unaccepted": unaccepted.collect::<Vec<_>>(),
        "context_errors": denials.errors.len(),
        "unused": entries(&outcome.unused),
        "expired": entries(&outcome.expired),
        "log": text::summary_json(summary, denials.uncounted),
    })
}

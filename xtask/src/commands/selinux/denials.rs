//! `selinux denials`: groups with their likely cause.

use std::fmt::Write;

use clap::Args;
use selinux::cause::{Evidence, Finding, find};
use selinux::judgement::{Judgement, judge};
use selinux::log::{ContextError, Denials, Group, Summary};
use selinux::policy::Policy;
use serde_json::{Value, json};

use super::inputs::{self, LogArgs};
use super::policies::{self, Loaded};
use super::text;
use crate::app::App;
use foundation::failure::{Exit, Result};
use foundation::ui;
use foundation::ui::text::one_line;

#[derive(Debug, Clone, Args)]
pub struct DenialsArgs {
    #[command(flatten)]
    pub logs: LogArgs,
    /// Binary policy, or revision of the checkout, that is asked for causes [default: the checkout's policy]
    #[arg(long, value_name = "FILE|REVISION")]
    pub policy: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(app: &App<'_>, args: &DenialsArgs) -> Result<u8> {
    let (denials, summary) = inputs::read(app, &args.logs)?;
    let loaded = policies::find(app, args.policy.as_deref())?;
    let judged = judge_all(app, &denials, loaded.as_ref());
    if args.json {
        let groups = judged.iter().map(|it| {
            let mut group = text::group_json(it.group);
            group["cause"] = text::finding_json(&it.finding);
            group
        });
        ui::print_report(json!({
            "policy": loaded.as_ref().map(|loaded| loaded.from.clone()),
            "groups": groups.collect::<Vec<_>>(),
            "context_errors": denials.errors.iter().map(error_json).collect::<Vec<_>>(),
            "log": text::summary_json(&summary, denials.uncounted),
        }));
    } else {
        ui::print(&to_text(app, &judged, &denials, &summary));
    }
    Ok(exit_code(&denials, &summary))
}

/// Denials first: a log that is incomplete as well has them anyway.
pub(super) fn exit_code(denials: &Denials, summary: &Summary) -> u8 {
    if summary.denials > 0 || !denials.errors.is_empty() {
        Exit::Checks.code()
    } else if summary.is_complete() {
        0
    } else {
        Exit::Incomplete.code()
    }
}

/// A group with what is known about it.
pub(super) struct Judged<'a> {
    pub(super) group: &'a Group,
    pub(super) judgements: Vec<Judgement>,
    pub(super) finding: Finding,
    /// Later lines that allow all of it.
    pub(super) allowed_in: Vec<String>,
}

pub(super) fn judge_all<'a>(
    app: &App<'_>,
    denials: &'a Denials,
    loaded: Option<&Loaded>,
) -> Vec<Judged<'a>> {
    // git is only started if a group is denied.
    let mut lines: Option<Vec<(String, Policy)>> = None;
    let judge_one = |group: &'a Group| {
        let judgements = loaded.map_or_else(Vec::new, |loaded| judge(&loaded.policy, group));
        let is_denied = judgements.iter().any(|it| !it.is_allowed());
        let mut allowed_in = Vec::new();
        if is_denied {
            let lines = lines.get_or_insert_with(|| policies::lines(app));
            let allows = |policy: &Policy| judge(policy, group).iter().all(Judgement::is_allowed);
            let allowing = lines.iter().filter(|(_, policy)| allows(policy));
            allowed_in = allowing.map(|(name, _)| name.clone()).collect();
        }
        let since = allowed_in.first().map(|line| format!("Talos {line}"));
        let finding = find(
            group,
            Evidence {
                judgements: &judgements,
                sources: loaded.and_then(|loaded| loaded.sources.as_ref()),
                allowed_since: since.as_deref(),
            },
        );
        Judged {
            group,
            judgements,
            finding,
            allowed_in,
        }
    };
    denials.groups.iter().map(judge_one).collect()
}

fn to_text(app: &App<'_>, judged: &[Judged<'_>], denials: &Denials, summary: &Summary) -> String {
    let mut out = String::new();
    for it in judged {
        text::write_head(&mut out, app.ui, it.group);
        text::write_details(&mut out, it.group);
        text::write_finding(&mut out, &it.finding);
    }
    for error in &denials.errors {
        let what = [
            std::slice::from_ref(&error.operation),
            error.contexts.as_slice(),
        ]
        .concat();
        let _ = writeln!(out, "{}  {} ×", one_line(&what.join(" ")), error.count);
        let _ = writeln!(
            out,
            "  cause: the policy does not allow this context or this change of context"
        );
        let _ = writeln!(out, "  shown by {}", text::place(&error.sample));
    }
    text::write_summary(&mut out, app.ui, summary, judged.len(), denials.uncounted);
    out
}

fn error_json(error: &ContextError) -> Value {
    json!({
        "operation": error.operation,
        "contexts": error.contexts,
        "count": error.count,
        "log": error.sample.input,
        "line": error.sample.line,
    })
}

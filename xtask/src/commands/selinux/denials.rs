//! `selinux denials`: groups with their likely cause.

use std::fmt::Write;

use clap::Args;
use selinux::cause::{Evidence, Finding, find};
use selinux::judgement::{Judgement, judge};
use selinux::log::{ContextError, Denials, Group, Summary};
use selinux::policy::Policy;
use serde_json::{Value, json};

use super::follow;
use super::inputs::{self, LogArgs};
use super::policies::{self, Loaded};
use super::text;
use crate::app::App;
use foundation::failure::{Exit, Result};
use foundation::ui::text::one_line;
use foundation::ui::{self, Ui};

#[derive(Debug, Clone, Args)]
pub struct DenialsArgs {
    #[command(flatten)]
    pub logs: LogArgs,
    /// Binary policy, or revision of the checkout, that is asked for causes [default: the checkout's policy]
    #[arg(long, value_name = "FILE|REVISION")]
    pub policy: Option<String>,
    /// Keep reading, and print each group when it appears and when it grows
    #[arg(short, long)]
    pub follow: bool,
    /// Print JSON; with `--follow`, one object per line
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(app: &App<'_>, args: &DenialsArgs) -> Result<u8> {
    if args.follow {
        return follow::run(app, args);
    }
    let (denials, summary) = inputs::read(app, &args.logs)?;
    let loaded = policies::find(app, args.policy.as_deref())?;
    let judged = judge_all(app, &denials, loaded.as_ref());
    if args.json {
        let fields = json!({
            "policy": loaded.as_ref().map(|loaded| loaded.from.clone()),
            "context_errors": denials.errors.iter().map(error_json).collect::<Vec<_>>(),
            "log": text::summary_json(&summary, denials.uncounted),
        });
        ui::print_listing(fields, "groups", judged.iter().map(Judged::to_json));
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

impl Judged<'_> {
    pub(super) fn to_json(&self) -> Value {
        let mut group = text::group_json(self.group);
        group["cause"] = text::finding_json(&self.finding);
        group
    }

    pub(super) fn write(&self, out: &mut String, ui: &Ui) {
        text::write_head(out, ui, self.group);
        text::write_details(out, self.group);
        text::write_finding(out, &self.finding);
    }
}

/// Finds the cause of each group.
pub(super) struct Judge<'a> {
    app: &'a App<'a>,
    loaded: Option<&'a Loaded>,
    /// The policies of other lines: git is only started once a group is denied.
    lines: Option<Vec<(String, Policy)>>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(app: &'a App<'a>, loaded: Option<&'a Loaded>) -> Self {
        Self {
            app,
            loaded,
            lines: None,
        }
    }

    pub(super) fn judge<'g>(&mut self, group: &'g Group) -> Judged<'g> {
        let app = self.app;
        let by_policy = |loaded: &Loaded| judge(&loaded.policy, group);
        let judgements = self.loaded.map_or_else(Vec::new, by_policy);
        let is_denied = judgements.iter().any(|it| !it.is_allowed());
        let mut allowed_in = Vec::new();
        if is_denied {
            let lines = self.lines.get_or_insert_with(|| policies::lines(app));
            let allows = |policy: &Policy| judge(policy, group).iter().all(Judgement::is_allowed);
            let allowing = lines.iter().filter(|(_, policy)| allows(policy));
            allowed_in = allowing.map(|(name, _)| name.clone()).collect();
        }
        let since = allowed_in.first().map(|line| format!("Talos {line}"));
        let finding = find(
            group,
            Evidence {
                judgements: &judgements,
                sources: self.loaded.and_then(|loaded| loaded.sources.as_ref()),
                allowed_since: since.as_deref(),
            },
        );
        Judged {
            group,
            judgements,
            finding,
            allowed_in,
        }
    }
}

pub(super) fn judge_all<'a>(
    app: &App<'_>,
    denials: &'a Denials,
    loaded: Option<&Loaded>,
) -> Vec<Judged<'a>> {
    let mut judge = Judge::new(app, loaded);
    let groups = denials.groups.iter();
    groups.map(|group| judge.judge(group)).collect()
}

fn to_text(app: &App<'_>, judged: &[Judged<'_>], denials: &Denials, summary: &Summary) -> String {
    let mut out = String::new();
    for it in judged {
        it.write(&mut out, app.ui);
    }
    for error in &denials.errors {
        write_error(&mut out, error);
    }
    text::write_summary(&mut out, app.ui, summary, judged.len(), denials.uncounted);
    out
}

pub(super) fn write_error(out: &mut String, error: &ContextError) {
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

pub(super) fn error_json(error: &ContextError) -> Value {
    json!({
        "operation": error.operation,
        "contexts": error.contexts,
        "count": error.count,
        "log": error.sample.input,
        "line": error.sample.line,
    })
}

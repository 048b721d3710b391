//! `selinux why`: what a policy says about each denied permission.

use std::fmt::Write;

use clap::Args;
use selinux::policy::{AppliedRule, Verdict};
use serde_json::{Value, json};

use super::denials::{Judged, judge_all};
use super::inputs::{self, LogArgs};
use super::policies::{self, Loaded};
use super::text;
use crate::app::App;
use foundation::failure::{Exit, Result};
use foundation::ui;
use foundation::ui::text::one_line;

#[derive(Debug, Clone, Args)]
pub struct WhyArgs {
    #[command(flatten)]
    pub logs: LogArgs,
    /// Binary policy, or revision of the checkout [default: the checkout's policy]
    #[arg(long, value_name = "FILE|REVISION")]
    pub policy: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(app: &App<'_>, args: &WhyArgs) -> Result<u8> {
    let loaded = policies::required(app, args.policy.as_deref())?;
    let (denials, summary) = inputs::read(app, &args.logs)?;
    let judged = judge_all(app, &denials, Some(&loaded));
    if args.json {
        let fields = json!({
            "policy": loaded.from,
            "policy_version": loaded.policy.version(),
            "unknown_classes": loaded.policy.unknown_classes().name(),
            "log": text::summary_json(&summary, denials.uncounted),
        });
        let groups = judged.iter().map(|it| to_json(it, &loaded));
        ui::print_listing(fields, "groups", groups);
    } else {
        let mut out = String::new();
        for it in &judged {
            write_group(&mut out, app, it, &loaded);
        }
        text::write_summary(&mut out, app.ui, &summary, judged.len(), denials.uncounted);
        let _ = writeln!(out, "policy: {}", one_line(&loaded.from));
        ui::print(&out);
    }
    let is_denied = judged
        .iter()
        .any(|it| it.judgements.iter().any(|it| !it.is_allowed()));
    Ok(
        if is_denied || denials.uncounted > 0 || !denials.errors.is_empty() {
            Exit::Checks.code()
        } else if summary.is_complete() {
            0
        } else {
            Exit::Incomplete.code()
        },
    )
}

/// The place of the rule in the sources.
fn source_of(it: &Judged<'_>, permission: &str, loaded: &Loaded) -> Option<String> {
    let (source, target) = (text::kind(&it.group.source), text::kind(&it.group.target));
    let sources = loaded.sources.as_ref()?;
    let place = sources.allowing(source, target, &it.group.class, permission)?;
    Some(format!("{}:{}", place.file, place.line))
}

fn rule_text(rule: &AppliedRule, class: &str, permission: &str) -> String {
    let condition = rule.condition.as_ref().map(|it| format!(" while {it}"));
    format!(
        "(allow {} {} ({class} ({permission}))){}",
        rule.source,
        rule.target,
        condition.unwrap_or_default()
    )
}

fn write_group(out: &mut String, app: &App<'_>, it: &Judged<'_>, loaded: &Loaded) {
    text::write_head(out, app.ui, it.group);
    for judgement in &it.judgements {
        let permission = &judgement.permission;
        let answer = match &judgement.answer.verdict {
            Verdict::Allowed(rules) => {
                let rule = rules
                    .first()
                    .map(|rule| rule_text(rule, &it.group.class, permission));
                let place = source_of(it, permission, loaded).map(|place| format!(" at {place}"));
                format!(
                    "allowed by {}{}",
                    rule.unwrap_or_default(),
                    place.unwrap_or_default()
                )
            }
            Verdict::Denied(denied) => format!("denied: {}", denied.text()),
        };
        let mode = if judgement.answer.is_permissive {
            "; the source type is permissive"
        } else {
            ""
        };
        let _ = writeln!(
            out,
            "  {}: {}{mode}",
            one_line(permission),
            one_line(&answer)
        );
    }
    if !it.allowed_in.is_empty() {
        let _ = writeln!(out, "  allowed in: {}", one_line(&it.allowed_in.join(", ")));
    }
    text::write_finding(out, &it.finding);
}

fn to_json(it: &Judged<'_>, loaded: &Loaded) -> Value {
    let mut group = text::group_json(it.group);
    let verdicts = it.judgements.iter().map(|judgement| {
        let permission = &judgement.permission;
        let (verdict, why, rules) = match &judgement.answer.verdict {
            Verdict::Allowed(rules) => {
                let rules = rules
                    .iter()
                    .map(|rule| rule_text(rule, &it.group.class, permission));
                ("allowed", None, rules.collect())
            }
            Verdict::Denied(denied) => (denied.name(), Some(denied.text()), Vec::new()),
        };
        json!({
            "permission": permission,
            "verdict": verdict,
            "why": why,
            "rules": rules,
            "source": source_of(it, permission, loaded),
            "permissive": judgement.answer.is_permissive,
        })
    });
    group["verdicts"] = verdicts.collect();
    group["allowed_in"] = json!(it.allowed_in);
    group["cause"] = text::finding_json(&it.finding);
    group
}

//! `selinux allow`: rules for review, and why there is none.

use std::fmt::Write;

use clap::Args;
use selinux::cause::Cause;
use selinux::cil::{Home, Sources, Wider, rule_text};
use selinux::context::is_name;
use selinux::log::Group;
use selinux::policy::{Denied, Verdict};
use serde_json::{Value, json};

use super::denials::{Judged, judge_all};
use super::inputs::{self, LogArgs};
use super::policies;
use super::text;
use crate::app::App;
use foundation::failure::{Exit, Result};
use foundation::ui;
use foundation::ui::text::one_line;

#[derive(Debug, Clone, Args)]
pub struct AllowArgs {
    #[command(flatten)]
    pub logs: LogArgs,
    /// Binary policy, or revision of the checkout [default: the checkout's policy]
    #[arg(long, value_name = "FILE|REVISION")]
    pub policy: Option<String>,
    /// Print rules also for what is denied on purpose
    #[arg(long)]
    pub even_if_intended: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Types that are listed of what a wider rule adds.
const SHOWN: usize = 8;
/// Attributes that are offered, from the narrowest.
const ATTRIBUTES: usize = 2;

enum Offer<'a> {
    Rule(Rule<'a>),
    /// The reason why there is no rule.
    None(&'a Group, String),
}

struct Rule<'a> {
    group: &'a Group,
    text: String,
    /// Why it is a starting point only.
    caution: String,
    home: Option<Home>,
    wider: Vec<Wider>,
}

pub(super) fn run(app: &App<'_>, args: &AllowArgs) -> Result<u8> {
    let loaded = policies::required(app, args.policy.as_deref())?;
    let (denials, summary) = inputs::read(app, &args.logs)?;
    let judged = judge_all(app, &denials, Some(&loaded));
    let sources = loaded.sources.as_ref();
    let offers: Vec<Offer<'_>> = judged
        .iter()
        .map(|it| offer(it, sources, args.even_if_intended))
        .collect();
    if args.json {
        let fields = json!({
            "policy": loaded.from,
            "log": text::summary_json(&summary, denials.uncounted),
        });
        ui::print_listing(fields, "rules", offers.iter().map(to_json));
    } else {
        let mut out = String::new();
        if offers.iter().any(|it| matches!(it, Offer::Rule(_))) {
            out.push_str(
                "; A starting point for review: a rule is right only if the access is needed and the\n\
                 ; labels are right.\n",
            );
        }
        for offer in &offers {
            write_offer(&mut out, offer);
        }
        let mut end = String::new();
        text::write_summary(&mut end, app.ui, &summary, judged.len(), denials.uncounted);
        for line in end.lines() {
            let _ = writeln!(out, "; {line}");
        }
        ui::print(&out);
    }
    let is_whole = offers.iter().all(|it| matches!(it, Offer::Rule(_)))
        && denials.uncounted == 0
        && denials.errors.is_empty();
    Ok(if !is_whole {
        Exit::Checks.code()
    } else if summary.is_complete() {
        0
    } else {
        Exit::Incomplete.code()
    })
}

fn offer<'a>(it: &Judged<'a>, sources: Option<&Sources>, even_if_intended: bool) -> Offer<'a> {
    let group = it.group;
    if it.finding.cause == Cause::Intended && !even_if_intended {
        return Offer::None(group, format!("denied on purpose: {}", it.finding.why));
    }
    let mut permissions = Vec::new();
    for judgement in &it.judgements {
        match &judgement.answer.verdict {
            // Only what is missing.
            Verdict::Allowed(_) => {}
            Verdict::Denied(Denied::NoRule) => permissions.push(judgement.permission.as_str()),
            Verdict::Denied(denied) => {
                let why = format!("a rule does not help: {}", denied.text());
                return Offer::None(group, why);
            }
        }
    }
    if permissions.is_empty() {
        return Offer::None(group, "the policy allows it already".to_owned());
    }
    let (source, target) = (text::kind(&group.source), text::kind(&group.target));
    // The policy knows them, so that they are names; text of a log stays out of CIL.
    let names = [source, target, group.class.as_str()];
    if !names.iter().chain(&permissions).all(|name| is_name(name)) {
        return Offer::None(group, "its names cannot be written in CIL".to_owned());
    }
    let into = if source == target { "self" } else { target };
    let mut wider = Vec::new();
    if let Some(sources) = sources {
        let attributes = sources.for_attributes(source, target, &group.class, &permissions);
        wider.extend(attributes.into_iter().take(ATTRIBUTES));
        wider.extend(sources.class_map(source, into, &group.class, &permissions));
    }
    let mut caution = it.finding.why.clone();
    if !it.finding.cause.wants_rule() {
        caution = format!("{caution}; better: {}", it.finding.cause.fix());
    }
    Offer::Rule(Rule {
        group,
        text: rule_text(source, into, &group.class, &permissions),
        caution,
        home: sources.and_then(|it| it.home(source, target)),
        wider,
    })
}

fn home_text(home: &Home) -> String {
    format!(
        "{}:{}, after {}",
        home.place.file, home.place.line, home.after
    )
}

fn listed(names: &[String]) -> String {
    let mut text = names
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        let _ = write!(text, " and {} more", names.len() - SHOWN);
    }
    text
}

fn write_offer(out: &mut String, offer: &Offer<'_>) {
    match offer {
        Offer::None(group, why) => {
            let _ = writeln!(
                out,
                "\n; {}\n; no rule: {}",
                text::title(group),
                one_line(why)
            );
        }
        Offer::Rule(rule) => {
            let count = rule.group.count;
            let _ = writeln!(out, "\n; {}  {count} ×", text::title(rule.group));
            let _ = writeln!(out, "; cause: {}", one_line(&rule.caution));
            if let Some(home) = &rule.home {
                let _ = writeln!(out, "; insert at {}", home_text(home));
            }
            let _ = writeln!(out, "{}", rule.text);
            for wider in &rule.wider {
                let adds = format!("{} more: {}", wider.adds.len(), listed(&wider.adds));
                let home = wider
                    .home
                    .as_ref()
                    .map(|it| format!(", at {}", home_text(it)));
                let _ = writeln!(out, "; wider, by {adds}{}", home.unwrap_or_default());
                let _ = writeln!(out, ";   {}", wider.rule);
            }
        }
    }
}

fn home_json(home: &Home) -> Value {
    json!({"file": home.place.file, "line": home.place.line, "after": home.after})
}

fn to_json(offer: &Offer<'_>) -> Value {
    let (group, rule) = match offer {
        Offer::None(group, why) => {
            return json!({"denial": text::group_json(group), "rule": null, "why_none": why});
        }
        Offer::Rule(rule) => (rule.group, rule),
    };
    let wider = rule.wider.iter().map(
        |it| json!({"rule": it.rule, "adds": it.adds, "home": it.home.as_ref().map(home_json)}),
    );
    json!({
        "denial": text::group_json(group),
        "rule": rule.text,
        "cause": rule.caution,
        "home": rule.home.as_ref().map(home_json),
        "wider": wider.collect::<Vec<_>>(),
    })
}

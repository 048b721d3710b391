//! Findings as text and as JSON.

use std::fmt::Write;

use serde_json::{Value, json};

use super::finding::{Finding, Status};
use foundation::typed;
use foundation::ui::text::hanging;
use foundation::ui::{self, Style, Ui, paragraph};

/// The beginning of a fix that is a command of another program.
const COMMANDS: [&str; 2] = ["sudo ", "apt-get "];

pub(super) fn print(ui: &Ui, findings: &[Finding], json: bool) {
    if json {
        ui::print_report(to_json(findings));
    } else {
        ui::print(&to_text(ui, findings));
    }
}

pub(super) fn count(findings: &[Finding], status: Status) -> usize {
    findings
        .iter()
        .filter(|finding| finding.status == status)
        .count()
}

/// Stable: fields are added, never changed.
fn to_json(findings: &[Finding]) -> Value {
    let list: Vec<Value> = findings
        .iter()
        .map(|finding| {
            json!({
                "id": finding.id,
                "group": finding.group.title(),
                "status": finding.status.as_str(),
                "what": finding.what,
                "why": finding.why,
                "cure": finding.cure,
                "fixable": finding.fix.is_some(),
            })
        })
        .collect();
    json!({
        "findings": list,
        "summary": {
            "ok": count(findings, Status::Ok),
            "warn": count(findings, Status::Warn),
            "missing": count(findings, Status::Missing),
        },
    })
}

fn to_text(ui: &Ui, findings: &[Finding]) -> String {
    let mut out = String::new();
    let mut group = None;
    for finding in findings {
        if group != Some(finding.group) {
            group = Some(finding.group);
            let _ = writeln!(out, "{}", ui.paint(Style::Bold, finding.group.title()));
        }
        out.push_str(&lines(ui, finding));
    }
    let _ = writeln!(out, "\n{}", verdict(ui, findings));
    let _ = writeln!(
        out,
        "  {} {}",
        ui.paint(Style::Dim, "next:"),
        next(findings)
    );
    out
}

fn lines(ui: &Ui, finding: &Finding) -> String {
    let style = match finding.status {
        Status::Ok => Style::Good,
        Status::Warn => Style::Warn,
        Status::Missing => Style::Bad,
    };
    // Padded before painting: escape codes have no width on the terminal.
    let word = ui.paint(style, &format!("{:<7}", finding.status.as_str()));
    let what = match finding.status {
        // As the word before it says.
        Status::Missing => finding.what.strip_suffix(" is missing"),
        _ => None,
    };
    let what = paragraph(what.unwrap_or(&finding.what), 11);
    if finding.status == Status::Ok {
        return format!("  {word}  {}\n", ui.paint(Style::Dim, &what));
    }
    let mut out = format!("  {word}  {what}\n");
    let indent = " ".repeat(11);
    if let Some(why) = &finding.why {
        let _ = writeln!(out, "{indent}{}", ui.paint(Style::Dim, &paragraph(why, 11)));
    }
    if let Some(fix) = &finding.cure {
        let shown = finding.fix.is_none() || fix.contains("--fix");
        let fixable = if shown { "" } else { " (or --fix)" };
        let fix = hanging(fix, 17);
        let _ = writeln!(out, "{indent}fix: {fix}{fixable}");
    }
    out
}

fn verdict(ui: &Ui, findings: &[Finding]) -> String {
    let (warn, missing) = (
        count(findings, Status::Warn),
        count(findings, Status::Missing),
    );
    let warnings = match warn {
        0 => String::new(),
        1 => ", 1 warning".to_owned(),
        more => format!(", {more} warnings"),
    };
    match missing {
        0 => format!(
            "{} for `cluster up`{warnings}",
            ui.paint(Style::Good, "ready")
        ),
        1 => format!(
            "{} for `cluster up`: 1 thing is missing{warnings}",
            ui.paint(Style::Bad, "not ready")
        ),
        more => format!(
            "{} for `cluster up`: {more} things are missing{warnings}",
            ui.paint(Style::Bad, "not ready")
        ),
    }
}

/// Returns one command to type: the fix of the first missing thing if that is a
/// command, because nothing else helps before that.
fn next(findings: &[Finding]) -> String {
    let mut missing = findings
        .iter()
        .filter(|finding| finding.status == Status::Missing)
        .peekable();
    if missing.peek().is_none() {
        return typed!("cluster");
    }
    if missing.clone().any(|finding| finding.fix.is_some()) {
        return typed!("doctor --fix");
    }
    let ours = format!("{} ", typed::tool());
    let is_command =
        |cure: &&str| cure.starts_with(&ours) || COMMANDS.iter().any(|word| cure.starts_with(word));
    missing
        .filter_map(|finding| finding.cure.as_deref())
        .find(is_command)
        .map_or_else(
            || {
                let lab = typed!("--lab cluster");
                format!("the fixes above; or without building anything: {lab}")
            },
            str::to_owned,
        )
}

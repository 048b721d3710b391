//! Findings for people and for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use super::asked::Asked;
use super::finding::{Finding, Status};
use foundation::ui::{self, Style, Ui};

/// What a cure that is a command begins with.
const COMMANDS: [&str; 3] = ["cargo xtask ", "sudo ", "apt-get "];

pub(super) fn print(ui: &Ui, asked: &Asked, findings: &[Finding], json: bool) {
    if json {
        ui::print_json(&to_json(findings));
    } else {
        ui::print(&to_text(ui, asked, findings));
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
        "schema": 1,
        "findings": list,
        "summary": {
            "ok": count(findings, Status::Ok),
            "warn": count(findings, Status::Warn),
            "missing": count(findings, Status::Missing),
        },
    })
}

fn to_text(ui: &Ui, asked: &Asked, findings: &[Finding]) -> String {
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
        next(asked, findings)
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
    if finding.status == Status::Ok {
        return format!("  {word}  {}\n", ui.paint(Style::Dim, &finding.what));
    }
    let mut out = format!("  {word}  {}\n", finding.what);
    let indent = " ".repeat(11);
    if let Some(why) = &finding.why {
        let _ = writeln!(out, "{indent}{}", ui.paint(Style::Dim, why));
    }
    if let Some(cure) = &finding.cure {
        let told = finding.fix.is_none() || cure.contains("--fix");
        let fixable = if told { "" } else { " (or --fix)" };
        let _ = writeln!(out, "{indent}cure: {cure}{fixable}");
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

/// One thing to type: the cure of the first missing thing where that is a
/// command, because nothing else gets this host further.
fn next(asked: &Asked, findings: &[Finding]) -> String {
    let cluster = if asked.inside_lab {
        "cargo xtask --lab cluster"
    } else {
        "cargo xtask cluster"
    };
    let mut missing = findings
        .iter()
        .filter(|finding| finding.status == Status::Missing)
        .peekable();
    if missing.peek().is_none() {
        return cluster.to_owned();
    }
    if missing.clone().any(|finding| finding.fix.is_some()) {
        return "cargo xtask doctor --fix".to_owned();
    }
    let is_command = |cure: &&str| COMMANDS.iter().any(|word| cure.starts_with(word));
    missing
        .filter_map(|finding| finding.cure.as_deref())
        .find(is_command)
        .unwrap_or("the cures above; or, with nothing built: cargo xtask --lab cluster")
        .to_owned()
}

//! Parts of the reports that several commands print.

use std::fmt::Write;

use selinux::cause::Finding;
use selinux::context::Context;
use selinux::log::{Group, Loss, Sample, Summary};
use serde_json::{Value, json};

use foundation::ui::text::{counted, one_line};
use foundation::ui::{Style, Ui};

/// Times before this are since the start: the clock was not set. In milliseconds.
const CLOCK_SET: u64 = 1_000_000_000_000;

pub(super) fn kind(context: &str) -> &str {
    Context::parse(context).map_or(context, |context| context.kind)
}

/// `pod_t → tmpfs_t file { read write }`, with levels if they differ.
pub(super) fn title(group: &Group) -> String {
    let level = |context: &str| match Context::parse(context) {
        Some(context) if !matches!(context.range, "" | "s0") => format!(":{}", context.range),
        _ => String::new(),
    };
    let (source, target) = (kind(&group.source), kind(&group.target));
    let text = format!(
        "{source}{} → {target}{} {} {{ {} }}",
        level(&group.source),
        level(&group.target),
        group.class,
        group.permissions().join(" ")
    );
    one_line(&text).into_owned()
}

/// The title, how often, and whether it was enforced.
pub(super) fn write_head(out: &mut String, ui: &Ui, group: &Group) {
    let mode = match group.enforced {
        0 => ui.paint(Style::Dim, "permissive"),
        n if n == group.count => ui.paint(Style::Bad, "enforced"),
        n => ui.paint(Style::Bad, &format!("{n} enforced")),
    };
    let by = if group.is_user { ", by a program" } else { "" };
    let _ = writeln!(out, "{}  {} ×, {mode}{by}", title(group), group.count);
}

pub(super) fn write_details(out: &mut String, group: &Group) {
    let mut row = |name: &str, values: &[String]| {
        if !values.is_empty() {
            let values: Vec<String> = values.iter().map(|it| one_line(it).into_owned()).collect();
            let _ = writeln!(out, "  {name}: {}", values.join(", "));
        }
    };
    let seen = match (group.seen.first.map(time), group.seen.last.map(time)) {
        (Some(first), Some(last)) if first != last => vec![format!("{first} to {last}")],
        (Some(first), _) => vec![first],
        _ => Vec::new(),
    };
    row("seen", &seen);
    row("nodes", &group.nodes);
    row("commands", &group.commands);
    row("executables", &group.executables);
    row("objects", &group.paths);
    row("devices", &group.devices);
}

pub(super) fn write_finding(out: &mut String, finding: &Finding) {
    let _ = writeln!(out, "  cause: {}", one_line(&finding.why));
    if let Some(sample) = &finding.sample {
        let _ = writeln!(out, "  shown by {}", place(sample));
    }
    let _ = writeln!(out, "  fix: {}", finding.cause.fix());
}

/// `audit.log:17: type=AVC …`
pub(super) fn place(sample: &Sample) -> String {
    let text = one_line(sample.text.trim()).into_owned();
    format!("{}:{}: {text}", one_line(&sample.input), sample.line)
}

/// In UTC, as nodes log.
fn time(millis: u64) -> String {
    if millis < CLOCK_SET {
        return format!("{}.{:03} s after the start", millis / 1000, millis % 1000);
    }
    let time = i64::try_from(millis).ok();
    let time = time.and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
    time.map_or_else(
        || "?".to_owned(),
        |time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
    )
}

/// What the log holds, and what is missing in it.
pub(super) fn write_summary(
    out: &mut String,
    ui: &Ui,
    summary: &Summary,
    groups: usize,
    uncounted: u64,
) {
    let mut parts = vec![
        counted(groups as u64, "group"),
        counted(summary.denials, "denial"),
    ];
    for (count, what) in [
        (summary.granted, "granted"),
        (summary.others, "of other modules"),
        (summary.duplicates, "seen on two channels"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    if summary.boots > 1 {
        parts.push(counted(summary.boots, "boot"));
    }
    let _ = writeln!(out, "{}", parts.join(", "));
    if uncounted > 0 {
        let _ = writeln!(
            out,
            "{} of further groups are not shown",
            counted(uncounted, "denial")
        );
    }
    if summary.losses.is_empty() {
        return;
    }
    let _ = writeln!(out, "{}", ui.paint(Style::Warn, "the log is incomplete:"));
    for loss in &summary.losses {
        let _ = writeln!(out, "  {}", loss_text(loss));
    }
}

fn loss_text(loss: &Loss) -> String {
    let mut text = format!("{}: {}", loss.kind.meaning(), counted(loss.signs, "sign"));
    if loss.records > 0 {
        let _ = write!(text, ", {}", counted(loss.records, "record"));
    }
    if let Some(line) = &loss.line {
        let line = one_line(line.trim());
        let line: String = line.chars().take(160).collect();
        let _ = write!(text, "\n    {line}");
    }
    text
}

pub(super) fn summary_json(summary: &Summary, uncounted: u64) -> Value {
    let losses = summary.losses.iter().map(|loss| {
        json!({
            "kind": loss.kind.name(),
            "meaning": loss.kind.meaning(),
            "signs": loss.signs,
            "records": loss.records,
            "line": loss.line,
        })
    });
    json!({
        "lines": summary.lines,
        "records": summary.records,
        "denials": summary.denials,
        "denials_of_further_groups": uncounted,
        "granted": summary.granted,
        "of_other_modules": summary.others,
        "duplicates": summary.duplicates,
        "boots": summary.boots,
        "nodes": summary.nodes,
        "complete": summary.is_complete(),
        "losses": losses.collect::<Vec<_>>(),
    })
}

pub(super) fn group_json(group: &Group) -> Value {
    let operations = group.operations.iter().map(|it| {
        json!({
            "permission": it.permission,
            "count": it.count,
            "enforced": it.enforced,
            "sample": sample_json(&it.sample),
        })
    });
    json!({
        "source": group.source,
        "target": group.target,
        "source_type": kind(&group.source),
        "target_type": kind(&group.target),
        "class": group.class,
        "permissions": operations.collect::<Vec<_>>(),
        "count": group.count,
        "enforced": group.enforced,
        "first_ms": group.seen.first,
        "last_ms": group.seen.last,
        "by_program": group.is_user,
        "nodes": group.nodes,
        "commands": group.commands,
        "executables": group.executables,
        "objects": group.paths,
        "devices": group.devices,
        "calls": group.calls,
        "ioctl_commands": group.ioctls,
        "object_labels": group.labels,
        "invalid_labels": group.raw_contexts,
    })
}

fn sample_json(sample: &Sample) -> Value {
    json!({"log": sample.input, "line": sample.line, "text": sample.text})
}

pub(super) fn finding_json(finding: &Finding) -> Value {
    json!({
        "cause": finding.cause.name(),
        "why": finding.why,
        "fix": finding.cause.fix(),
        "shown_by": finding.sample.as_ref().map(sample_json),
    })
}

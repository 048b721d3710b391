//! The report as text.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use traffic::{Contact, Pull, Severity, State};

use super::report::{Shown, severity};
use foundation::ctx::cluster::ClusterView;
use foundation::typed;
use foundation::ui::text::{column_width, one_line};
use foundation::ui::{Style, Ui};

/// The time of day on this machine.
pub(super) fn clock(at: u64) -> String {
    let at = i64::try_from(at).unwrap_or_default();
    let Ok(at) = Timestamp::from_millisecond(at) else {
        return String::new();
    };
    at.to_zoned(TimeZone::system())
        .strftime("%H:%M:%S")
        .to_string()
}

/// The end of a node's name, such as `worker-1`, or its address.
pub(super) fn node_name(view: &ClusterView, ip: IpAddr) -> String {
    let mut nodes = view.nodes.iter();
    let Some(node) = nodes.find(|node| node.ip == Some(ip)) else {
        return ip.to_string();
    };
    let suffix = node.name.strip_prefix(&format!("{}-", view.name));
    suffix.unwrap_or(&node.name).to_owned()
}

pub(super) fn report(ui: &Ui, shown: &Shown<'_>) -> String {
    let report = shown.report;
    let mut out = format!(
        "cluster {}, mode {}: {}\n",
        shown.gap.name,
        shown.gap.mode.as_str(),
        one_line(shown.verdict)
    );
    for (from, to) in &report.observed {
        let to = to.map_or_else(|| "now".to_owned(), clock);
        let _ = writeln!(out, "  observed from {} to {to}", clock(*from));
    }
    let width = column_width(report.contacts.iter().map(Contact::name));
    if !report.contacts.is_empty() {
        let _ = writeln!(out, "\n{}", ui.paint(Style::Bold, "names"));
    }
    for contact in &report.contacts {
        let _ = write!(out, "{}", line(ui, shown, contact, width));
    }
    if !report.pulls.is_empty() {
        let _ = writeln!(out, "\n{}", ui.paint(Style::Bold, "images"));
    }
    for pull in &report.pulls {
        let _ = write!(out, "{}", pulled(ui, shown, pull));
    }
    let _ = writeln!(out, "\n{}", ui.paint(Style::Bold, "expectations"));
    for fact in shown.facts {
        let mark = if fact.holds {
            ui.paint(Style::Good, "yes")
        } else {
            ui.paint(Style::Warn, "no ")
        };
        let _ = writeln!(out, "  {mark}  {}", fact.what);
        for evidence in &fact.evidence {
            let _ = writeln!(out, "       {}", one_line(evidence));
        }
    }
    missing(ui, shown, &mut out);
    if !shown.unexpected.is_empty() {
        let _ = writeln!(out, "\n{}", ui.paint(Style::Bad, "not expected"));
        for name in shown.unexpected {
            let _ = writeln!(out, "  {}", one_line(name));
        }
    }
    out
}

fn missing(ui: &Ui, shown: &Shown<'_>, out: &mut String) {
    let images = shown.images.missing.as_deref().unwrap_or_default();
    if !images.is_empty() {
        let title = ui.paint(Style::Bold, "missing from the mirror's list");
        let _ = writeln!(out, "\n{title}");
    }
    for image in images {
        let _ = writeln!(out, "{}", one_line(image));
    }
    for trap in &shown.images.traps {
        let _ = writeln!(out, "  {}", one_line(trap));
    }
    for name in &shown.images.unlisted {
        let name = one_line(name);
        let _ = writeln!(
            out,
            "  images of {name} were asked for inside TLS: which ones is not visible here"
        );
    }
    if !shown.images.unlisted.is_empty() {
        let list = typed!("talosctl -- image list --namespace system");
        let _ = writeln!(out, "  {} {list}", ui.paint(Style::Dim, "what a node has:"));
    }
}

fn line(ui: &Ui, shown: &Shown<'_>, contact: &Contact, width: usize) -> String {
    let state = ui.paint(
        match contact.state {
            State::Reached => Style::Bad,
            State::Refused => Style::Good,
            State::Tried => Style::Warn,
        },
        &format!("{:<8}", contact.state.as_str()),
    );
    let statuses: Vec<String> = contact.statuses.iter().map(ToString::to_string).collect();
    let mut details = Vec::new();
    if contact.only_asked {
        details.push("DNS only".to_owned());
    }
    if let Some(via) = contact.via {
        details.push(format!("via {via}"));
    }
    if !statuses.is_empty() {
        details.push(format!("HTTP {}", statuses.join(", ")));
    }
    if contact.from_helper > 0 {
        let count = contact.from_helper;
        details.push(format!("{count}x in the helper's log, status inside TLS"));
    } else if contact.inside_tls && contact.state == State::Reached {
        details.push("paths inside TLS".to_owned());
    }
    let nodes: Vec<String> = contact
        .nodes
        .iter()
        .map(|(ip, attempts)| {
            let boots: BTreeSet<u32> = attempts.boots.keys().copied().collect();
            format!(
                "{} ({}x from {}, {})",
                node_name(shown.view, *ip),
                attempts.count,
                clock(attempts.first),
                when(&boots, shown.report.boots.get(ip).copied())
            )
        })
        .collect();
    details.extend(nodes);
    if contact.unattributed > 0 {
        details.push(format!("{}x by unknown nodes", contact.unattributed));
    }
    let name = one_line(&contact.name()).into_owned();
    let mut out = format!("  {name:<width$}  {state}  {}\n", details.join(", "));
    if let Some(severity) = severity(shown.view, shown.report, contact) {
        let style = match severity {
            Severity::Fatal { .. } => Style::Bad,
            Severity::Delays { .. } => Style::Warn,
            Severity::Noise { .. } => Style::Dim,
        };
        let word = match &severity {
            Severity::Delays { node, seconds, .. } => {
                let node = node_name(shown.view, *node);
                format!("delays the boot of {node} by {seconds} s")
            }
            Severity::Fatal { node, .. } => {
                let node = node_name(shown.view, *node);
                format!("fatal: {node} is not ready and keeps asking for it")
            }
            Severity::Noise { .. } => severity.as_str().to_owned(),
        };
        let _ = writeln!(out, "    {}: {}", ui.paint(style, &word), severity.why());
    }
    out
}

fn pulled(ui: &Ui, shown: &Shown<'_>, pull: &Pull) -> String {
    let state = if pull.was_found() {
        ui.paint(Style::Good, "found")
    } else if pull.inside_tls {
        ui.paint(Style::Dim, "status inside TLS")
    } else {
        let statuses: Vec<String> = pull.statuses.iter().map(ToString::to_string).collect();
        let answer = if statuses.is_empty() {
            "no response".to_owned()
        } else {
            format!("HTTP {}", statuses.join(", "))
        };
        ui.paint(Style::Bad, &answer)
    };
    let nodes: Vec<String> = pull
        .boots
        .iter()
        .map(|(ip, boots)| {
            format!(
                "{} ({})",
                node_name(shown.view, *ip),
                when(boots, shown.report.boots.get(ip).copied())
            )
        })
        .collect();
    format!(
        "  {}  {state} at {}  {}\n",
        one_line(&pull.image),
        one_line(&pull.endpoint),
        nodes.join(", ")
    )
}

/// In which of a node's boots.
fn when(boots: &BTreeSet<u32>, of: Option<u32>) -> String {
    let of = of.unwrap_or(1).max(boots.last().copied().unwrap_or(1));
    let all: BTreeSet<u32> = (1..=of).collect();
    let numbers: Vec<String> = boots.iter().map(ToString::to_string).collect();
    match (of, *boots == all) {
        (1, _) => "first boot".to_owned(),
        (_, true) => format!("every boot of {of}"),
        (_, false) => format!("boot {} of {of}", numbers.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boots_are_named_by_how_many_there_were() {
        assert_eq!(when(&[1].into(), Some(1)), "first boot");
        assert_eq!(when(&[1].into(), None), "first boot");
        assert_eq!(when(&[1, 2].into(), Some(2)), "every boot of 2");
        assert_eq!(when(&[2].into(), Some(3)), "boot 2 of 3");
    }
}

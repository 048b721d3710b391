//! `build --explain`: the chain of targets, and the origin of each value.

use std::collections::BTreeMap;
use std::fmt::Write;

use makefile::{Item, Origin, Planned, Read};
use serde_json::{Value, json};

use super::hidden::Hidden;
use super::shortened;
use crate::app::App;
use foundation::failure::Result;
use foundation::plan::secrets::{MASK, is_secret};
use foundation::ui::text::one_line;
use foundation::ui::{self, Style};

/// Longer values are cut: the plan has them in full.
const WIDTH: usize = 100;

/// Levels of targets that are shown by indentation.
const DEEPEST: usize = 40;

#[expect(clippy::unnecessary_wraps, reason = "a command's end")]
pub(super) fn run(app: &App<'_>, planned: &Planned, hidden: &Hidden, json: bool) -> Result<u8> {
    if json {
        ui::print_report(to_json(planned, hidden));
        return Ok(0);
    }
    let mut out = format!("{}\n", app.ui.paint(Style::Bold, "Targets"));
    for step in &planned.chain {
        let pattern = step
            .pattern
            .as_ref()
            .map_or_else(String::new, |pattern| format!(" by `{pattern}`"));
        let place = step
            .place
            .as_ref()
            .map_or_else(String::new, |place| format!("  {place}"));
        let _ = writeln!(
            out,
            "{:indent$}{}{pattern}{}",
            "",
            one_line(&step.target),
            app.ui.paint(Style::Dim, &place),
            indent = 2 + 2 * step.level.min(DEEPEST)
        );
    }
    let lines = commands(planned);
    let _ = writeln!(
        out,
        "  = {lines} command(s); `--dry-run` shows them\n\n{}",
        app.ui.paint(Style::Bold, "Variables")
    );
    for (name, read) in last_read(planned) {
        let value = shown_value(planned, hidden, read);
        let _ = writeln!(
            out,
            "  {name} = {}{}",
            shortened(&value.replace('\n', "⏎"), WIDTH),
            app.ui.paint(Style::Dim, &format!("  ({})", origin(read)))
        );
    }
    ui::print(&out);
    Ok(0)
}

/// Stable: fields are added, never changed.
fn to_json(planned: &Planned, hidden: &Hidden) -> Value {
    let targets = planned.chain.iter().map(|step| {
        json!({
            "target": step.target, "level": step.level, "pattern": step.pattern,
            "place": step.place.as_ref().map(ToString::to_string),
        })
    });
    let variables = last_read(planned).into_iter().map(|(name, read)| {
        json!({
            "name": name, "value": shown_value(planned, hidden, read), "origin": origin(read),
        })
    });
    json!({
        "targets": targets.collect::<Vec<_>>(), "commands": commands(planned),
        "variables": variables.collect::<Vec<_>>(),
    })
}

fn commands(planned: &Planned) -> usize {
    let lines = planned.items.iter();
    lines.filter(|item| matches!(item, Item::Line(_))).count()
}

/// The last make that reads a variable is the one that builds.
fn last_read(planned: &Planned) -> BTreeMap<&str, &Read> {
    let reads = planned.reads.iter();
    reads.map(|read| (read.name.as_str(), read)).collect()
}

/// The value without secrets, and with commands in place of what they would print.
fn shown_value(planned: &Planned, hidden: &Hidden, read: &Read) -> String {
    let value = makefile::fill(&read.value, |slot| {
        planned
            .captures
            .get(slot)
            .map_or_else(String::new, |capture| {
                let command = shortened(&capture.command, makefile::SHOWN_COMMAND);
                format!("<{command}>")
            })
    });
    if is_secret(&read.name) && !value.is_empty() {
        return MASK.to_owned();
    }
    hidden.secrets.masked(&value)
}

fn origin(read: &Read) -> String {
    match &read.origin {
        Origin::Environment => "environment".to_owned(),
        Origin::File(place) => place.to_string(),
        Origin::CommandLine(None) => "command line".to_owned(),
        Origin::CommandLine(Some(place)) => format!("given by the recipe at {place}"),
        Origin::Default | Origin::Automatic => "make".to_owned(),
    }
}

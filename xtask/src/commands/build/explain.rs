//! `build --explain`: the chain of targets, and the origin of each value.

use std::collections::BTreeMap;
use std::fmt::Write;

use makefile::{Item, Origin, Planned, Read};

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
pub(super) fn run(app: &App<'_>, planned: &Planned, hidden: &Hidden) -> Result<u8> {
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
    let lines = planned
        .items
        .iter()
        .filter(|item| matches!(item, Item::Line(_)))
        .count();
    let _ = writeln!(
        out,
        "  = {lines} command(s); `--dry-run` shows them\n\n{}",
        app.ui.paint(Style::Bold, "Variables")
    );
    // The last make that reads a variable is the one that builds.
    let last: BTreeMap<&str, &Read> = planned
        .reads
        .iter()
        .map(|read| (read.name.as_str(), read))
        .collect();
    for (name, read) in last {
        let value = makefile::fill(&read.value, |slot| {
            planned
                .captures
                .get(slot)
                .map_or_else(String::new, |capture| {
                    let command = shortened(&capture.command, makefile::SHOWN_COMMAND);
                    format!("<{command}>")
                })
        });
        let value = if is_secret(name) && !value.is_empty() {
            MASK.to_owned()
        } else {
            hidden.secrets.masked(&value)
        };
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

fn origin(read: &Read) -> String {
    match &read.origin {
        Origin::Environment => "environment".to_owned(),
        Origin::File(place) => place.to_string(),
        Origin::CommandLine(None) => "command line".to_owned(),
        Origin::CommandLine(Some(place)) => format!("given by the recipe at {place}"),
        Origin::Default | Origin::Automatic => "make".to_owned(),
    }
}

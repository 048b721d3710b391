//! `runs replay`: what the steps of a run printed, from its logs.

use std::fmt::Write;

use super::result;
use crate::app::App;
use foundation::ctx::own_files;
use foundation::failure::{Because, Failure, Result};
use foundation::files;
use foundation::record::run_summary::{self, RunSummary};
use foundation::record::runs::{self, Event, step_log};
use foundation::typed;
use foundation::ui::text::{one_line, without_styles};
use foundation::ui::{self, Style};

pub(super) fn run(app: &App<'_>, run: &str, only: Option<usize>) -> Result<u8> {
    let dir = runs::find(&app.ctx.dirs.state, run)?;
    let (meta, events) = run_summary::read(&dir)?;
    let steps = meta["plan"]["steps"].as_array();
    let steps = steps.map_or(&[][..], Vec::as_slice);
    if let Some(number) = only
        && !(1..=steps.len()).contains(&number)
    {
        return Err(Failure::usage(format!("the run has no step {number}"))
            .cause(format!("it has {} steps", steps.len()))
            .hint(typed!("runs show {}", run)));
    }
    for (index, step) in steps.iter().enumerate() {
        let number = index + 1;
        if only.is_some_and(|only| only != number) {
            continue;
        }
        let mut is_of = events.iter().map(|line| &line.event);
        if !is_of.any(|event| matches!(event, Event::Start { step } if *step == number)) {
            continue;
        }
        let mark = app.ui.paint(Style::Bold, "▸");
        let why = step["why"].as_str().unwrap_or_default();
        ui::print(&format!("{mark} {number}. {}\n", one_line(why)));
        let path = dir.join(step_log(index));
        let log =
            own_files::read(&path, files::LARGE).because(|| format!("cannot read `{path}`"))?;
        let log = log.unwrap_or_default();
        let log = without_styles(&String::from_utf8_lossy(&log)).into_owned();
        ui::print(&log);
        if !log.is_empty() && !log.ends_with('\n') {
            ui::print("\n");
        }
        let failure = events.iter().find_map(|line| match &line.event {
            Event::Finish { step, failure, .. } if *step == number => failure.as_ref(),
            _ => None,
        });
        if let Some(failure) = failure {
            let mut out = String::new();
            let _ = writeln!(out, "{} {failure}", app.ui.paint(Style::Bad, "error:"));
            ui::print(&out);
        }
    }
    let (style, word) = result(&RunSummary::read(&dir)?);
    ui::print(&format!("{}\n", app.ui.paint(style, &word)));
    Ok(0)
}

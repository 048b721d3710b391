//! `runs show`: the steps of one run.

use std::fmt::Write;

use serde_json::json;

use super::{result, took};
use crate::app::App;
use foundation::failure::Result;
use foundation::record::run_summary::{self, RunSummary};
use foundation::record::runs::{self, Event};
use foundation::ui::text::one_line;
use foundation::ui::{self, Style};
use foundation::units::local_time;

pub(super) fn run(app: &App<'_>, run: &str, json: bool) -> Result<u8> {
    let dir = runs::find(&app.ctx.dirs.state, run)?;
    let (meta, events) = run_summary::read(&dir)?;
    if json {
        ui::print_report(json!({"run": meta, "events": events, "dir": dir}));
        return Ok(0);
    }
    let summary = RunSummary::of_record(&dir, &meta, &events)?;
    let mut out = format!("{}\n  {}\n", one_line(&summary.command), dir);
    for (what, text) in about(&summary) {
        let what = app.ui.paint(Style::Dim, &format!("{what:<9}"));
        let _ = writeln!(out, "  {what} {}", one_line(&text));
    }
    let steps = meta["plan"]["steps"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    for (index, step) in steps.iter().enumerate() {
        let finish = events.iter().find_map(|line| match &line.event {
            Event::Finish { step, ms, failure } if *step == index + 1 => Some((ms, failure)),
            _ => None,
        });
        let how = match finish {
            Some((_, None)) => app.ui.paint(Style::Good, "ok      "),
            Some(_) => app.ui.paint(Style::Bad, "failed  "),
            None if runs::has_begun(&events, index + 1) => app.ui.paint(Style::Bad, "stopped "),
            None => app.ui.paint(Style::Dim, "not run "),
        };
        let took = finish.map_or_else(String::new, |(ms, _)| format!("{ms} ms"));
        let _ = writeln!(
            out,
            "  {:>2}. {how} {took:>9}  {}",
            index + 1,
            one_line(step["why"].as_str().unwrap_or_default())
        );
        if let Some((_, Some(failure))) = finish {
            let _ = writeln!(out, "      {}", failure.replace('\n', "\n      "));
        }
    }
    ui::print(&out);
    Ok(0)
}

/// When, where and how it ran.
pub(super) fn about(summary: &RunSummary) -> Vec<(&'static str, String)> {
    let took = took(summary.milliseconds());
    let origin = &summary.origin;
    let mut lines = vec![
        (
            "started",
            format!("{}, took {took}", local_time(summary.started)),
        ),
        ("result", result(summary).1),
    ];
    if !origin.cwd.as_str().is_empty() {
        lines.push(("folder", origin.cwd.to_string()));
    }
    if let Some(checkout) = &origin.checkout {
        let head = origin
            .head
            .as_deref()
            .map_or_else(String::new, |head| format!(" at {head}"));
        lines.push(("checkout", format!("{checkout}{head}")));
    }
    if !summary.version.is_empty() {
        lines.push(("version", summary.version.clone()));
    }
    lines
}

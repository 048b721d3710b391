//! `runs`: past runs, from their records.

mod export;
mod prune;
mod replay;
mod show;

use std::fmt::Write;

use camino::Utf8Path;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::app::App;
use foundation::failure::Result;
use foundation::record::run_summary::RunSummary;
use foundation::record::runs;
use foundation::ui::text::{column_width, cut, one_line};
use foundation::ui::{self, Style};
use foundation::units::local_time;

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  cargo xtask runs                            list them, newest first\n  \
        cargo xtask runs latest                     the steps of the last one, as `runs show`\n  \
        cargo xtask runs export latest --as html    a page to send to others, without secrets\n\n\
        The last 20 runs of each command in each checkout are kept for 30 days, and the last 40 \
        that failed for 90 days; beyond 1 GiB the oldest are removed."
)]
pub struct RunsCommand {
    #[command(subcommand)]
    pub verb: Option<RunsVerb>,
    /// Show one run: `latest` or the beginning of an id
    pub run: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum RunsVerb {
    /// List the runs, newest first
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the steps of a run, with time and result
    Show {
        /// `latest` or the beginning of an id
        #[arg(default_value = "latest")]
        run: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print what the steps of a run printed
    Replay {
        /// `latest` or the beginning of an id
        #[arg(default_value = "latest")]
        run: String,
        /// Number of one step; default: all
        #[arg(long, value_name = "N")]
        step: Option<usize>,
    },
    /// Export a run without secrets to one file: an archive, a page or a trace
    Export(export::ExportArgs),
    /// Remove old records
    Prune(prune::PruneArgs),
}

pub(crate) fn run(app: &App<'_>, command: &RunsCommand) -> Result<u8> {
    match &command.verb {
        None => match &command.run {
            Some(run) => show::run(app, run, command.json),
            None => Ok(list(app, command.json)),
        },
        Some(RunsVerb::List { json }) => Ok(list(app, *json)),
        Some(RunsVerb::Show { run, json }) => show::run(app, run, *json),
        Some(RunsVerb::Replay { run, step }) => replay::run(app, run, *step),
        Some(RunsVerb::Export(args)) => export::run(app, args),
        Some(RunsVerb::Prune(args)) => Ok(prune::run(app, args)),
    }
}

/// Of a command in the list; `runs show` has the whole.
const LONGEST: usize = 200;

fn list(app: &App<'_>, json: bool) -> u8 {
    let state = &app.ctx.dirs.state;
    let mut all: Vec<RunSummary> = Vec::new();
    for id in runs::list(state) {
        match RunSummary::read(&state.join("runs").join(&id)) {
            Ok(summary) => all.push(summary),
            Err(failure) => app.ui.note(&failure.in_one_line()),
        }
    }
    if json {
        ui::print_report(json!({"runs": all}));
        return 0;
    }
    if all.is_empty() {
        ui::print("no runs recorded yet\n");
    }
    let home = &app.ctx.dirs.home;
    let places: Vec<String> = all.iter().map(|it| place(it, home)).collect();
    let width = column_width(&places);
    let id_width = column_width(all.iter().map(|it| &it.id));
    let mut out = String::new();
    for (summary, place) in all.iter().zip(&places) {
        let _ = writeln!(
            out,
            "{:<19}  {:>9}  {} {:<width$}  {:<id_width$}  {}",
            local_time(summary.started),
            took(summary.milliseconds()),
            ended(app, summary),
            one_line(place),
            one_line(&summary.id),
            cut(&one_line(&summary.command), LONGEST)
        );
    }
    ui::print(&out);
    0
}

/// Where it ran: the checkout, else the folder.
fn place(summary: &RunSummary, home: &Utf8Path) -> String {
    let origin = &summary.origin;
    let dir = origin.checkout.as_ref().unwrap_or(&origin.cwd);
    match dir.strip_prefix(home) {
        Ok(below) if below.as_str().is_empty() => "~".to_owned(),
        Ok(below) => format!("~/{below}"),
        Err(_) => dir.to_string(),
    }
}

/// A duration in a few characters: `0.4 s`, `12 s`, `3m07s`, `1h02m`.
pub(crate) fn took(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..10 => format!("{}.{} s", seconds, milliseconds % 1000 / 100),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// How it ended, as text.
pub(crate) fn result(summary: &RunSummary) -> (Style, String) {
    match summary.code {
        Some(0) => (Style::Good, "ok".to_owned()),
        Some(code) => (Style::Bad, format!("exit {code}")),
        None if summary.running => (Style::Dim, "running".to_owned()),
        None => (Style::Warn, "killed".to_owned()),
    }
}

/// Padded before painting, because escape codes have no width.
fn ended(app: &App<'_>, summary: &RunSummary) -> String {
    let (style, word) = result(summary);
    app.ui.paint(style, &format!("{word:<8}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        for (ms, text) in [
            (0, "0.0 s"),
            (9_960, "9.9 s"),
            (59_999, "59 s"),
            (187_000, "3m07s"),
            (3_720_000, "1h02m"),
        ] {
            assert_eq!(took(ms), text);
        }
    }
}

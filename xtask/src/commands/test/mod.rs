//! `test`: Talos' own tests. What there is and what it needs comes from the
//! engine `gotest`; here are the host, the history and words for people.

pub mod args;
mod binary;
pub(super) mod discovered;
mod infrastructure;
mod integration;
mod leg;
mod list;
mod merge;
mod names;
mod shards;
mod unit;
mod upgrade;

use super::App;
use args::TestCommand;
use camino::Utf8Path;
use foundation::failure::{Failure, Result};
use foundation::record::results::{Failed, History};

pub(super) fn run(app: &App<'_>, command: &TestCommand) -> Result<u8> {
    match command {
        TestCommand::List(args) => list::run(app, args),
        TestCommand::Unit(args) => unit::run(app, args),
        TestCommand::Integration(args) => integration::run(app, args),
        TestCommand::Upgrade(args) => upgrade::run(app, args),
        TestCommand::Shards(args) => shards::run(app, args),
        TestCommand::Report(args) => merge::run(app, args),
    }
}

/// How tests went so far. Without it only estimates are lost.
fn history(app: &App<'_>) -> History {
    History::load(&app.ctx.dirs.state).unwrap_or_else(|failure| {
        app.ui.note(&failure.in_one_line());
        History::default()
    })
}

/// What failed the last time, for what is remembered next.
fn failed_before(app: &App<'_>, checkout: &Utf8Path) -> Option<Failed> {
    Failed::load(&app.ctx.dirs.state, checkout).unwrap_or_else(|failure| {
        app.ui.note(&failure.in_one_line());
        None
    })
}

fn no_time_span(text: &str) -> Failure {
    Failure::usage(format!("`{text}` is no time span")).hint("as Go writes them: 90s, 5m, 1h30m")
}

//! `test`: Talos' own tests. What there is and what it needs comes from the
//! engine `gotest`; here are the host, the history and words for people.

pub mod args;
#[cfg(target_os = "linux")]
mod binary;
pub(super) mod discovered;
#[cfg(target_os = "linux")]
mod infrastructure;
#[cfg(target_os = "linux")]
mod integration;
mod leg;
mod list;
mod merge;
#[cfg(target_os = "linux")]
mod names;
mod shards;
#[cfg(target_os = "linux")]
mod unit;
#[cfg(target_os = "linux")]
mod upgrade;

use super::App;
use crate::failure::Result;
use args::TestCommand;

pub(super) fn run(app: &App<'_>, command: &TestCommand) -> Result<u8> {
    match command {
        TestCommand::List(args) => list::run(app, args),
        #[cfg(target_os = "linux")]
        TestCommand::Unit(args) => unit::run(app, args),
        #[cfg(target_os = "linux")]
        TestCommand::Integration(args) => integration::run(app, args),
        #[cfg(target_os = "linux")]
        TestCommand::Upgrade(args) => upgrade::run(app, args),
        #[cfg(not(target_os = "linux"))]
        TestCommand::Unit(_) => app.ctx.needs_linux("test unit").map(|()| 0),
        #[cfg(not(target_os = "linux"))]
        TestCommand::Integration(_) => app.ctx.needs_linux("test integration").map(|()| 0),
        #[cfg(not(target_os = "linux"))]
        TestCommand::Upgrade(_) => app.ctx.needs_linux("test upgrade").map(|()| 0),
        TestCommand::Shards(args) => shards::run(app, args),
        TestCommand::Report(args) => merge::run(app, args),
    }
}

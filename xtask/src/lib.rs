//! The commands of `cargo xtask`, one way through: `cli` → `commands`, each of
//! which asks, plans, runs and remembers by the foundation's rooms.

#![cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "what only commands that need Linux use")
)]

pub mod cli;
pub mod commands;

use cli::Cli;
use foundation::failure::{Exit, Result};
use foundation::run::{self, Signals};
use foundation::ui::{self, Ui};

/// Everything but the process's end; returns its exit code.
pub fn main() -> u8 {
    run::we_are_xtask();
    let cli = match Cli::read(&cli::arguments(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => {
            let error = cli::with_suggestion(error);
            let text = error.render().to_string();
            // Asking for help is not a mistake.
            return if error.use_stderr() {
                ui::say(&text);
                Exit::Usage.code()
            } else {
                ui::print(&text);
                0
            };
        }
    };
    let ui = Ui::new(cli.global.color, cli.global.quiet, cli.global.yes);
    match dispatch(cli, &ui) {
        Ok(code) => code,
        Err(failure) => {
            ui.failure(&failure);
            failure.exit.code()
        }
    }
}

fn dispatch(cli: Cli, ui: &Ui) -> Result<u8> {
    // Handlers outlive every borrower, detached threads among them.
    let signals: &'static Signals = Box::leak(Box::new(Signals::install()?));
    commands::dispatch(cli, ui, signals)
}

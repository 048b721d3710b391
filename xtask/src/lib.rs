//! The commands of `cargo xtask`, one way through: `cli` → `commands`, each of
//! which asks, plans, runs and remembers by the foundation's rooms.

#![cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "what only commands that need Linux use")
)]

pub mod cli;
pub mod commands;

use cli::{Cli, Command, InternalCommand};
use foundation::failure::{Exit, Result};
use foundation::run::{self, Signals};
use foundation::typed::{self, Started};
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
    remember(&cli);
    let ui = Ui::new(cli.global.color, cli.global.quiet, cli.global.yes);
    match dispatch(cli, &ui) {
        Ok(code) => code,
        Err(failure) => {
            ui.failure(&failure);
            failure.exit.code()
        }
    }
}

/// What commands that are printed to be typed must carry.
fn remember(cli: &Cli) {
    let is_helper = matches!(
        cli.command,
        Command::Internal(InternalCommand::RootStep | InternalCommand::RootExec)
    );
    if is_helper {
        return typed::remember_helper();
    }
    let text = |name: &str| std::env::var(name).ok();
    let lab = commands::lab::of_this_process(cli.global.lab);
    let handed_on = text(typed::TOOL).filter(|_| lab == typed::Lab::ByOption);
    let first = std::env::args_os().next();
    let first = first.as_ref().map(|first| first.to_string_lossy());
    typed::remember(Started {
        tool: typed::tool_of(
            handed_on,
            text("CARGO_PKG_NAME").as_deref(),
            first.as_deref(),
        ),
        lab,
        talos_dir: cli.global.talos_dir.as_ref().map(ToString::to_string),
        name: cli.cluster_name().map(str::to_owned),
        takes_name: cli::takes_name,
    });
}

fn dispatch(cli: Cli, ui: &Ui) -> Result<u8> {
    // Handlers outlive every borrower, detached threads among them.
    let signals: &'static Signals = Box::leak(Box::new(Signals::install()?));
    commands::dispatch(cli, ui, signals)
}

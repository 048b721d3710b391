//! `completions SHELL`.

use clap::CommandFactory;

use crate::cli::Cli;
use foundation::failure::Result;
use foundation::ui;

#[expect(clippy::unnecessary_wraps, reason = "commands share one signature")]
pub(super) fn print(shell: clap_complete::Shell) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "xtask", &mut script);
    ui::print(&String::from_utf8_lossy(&script));
    Ok(0)
}

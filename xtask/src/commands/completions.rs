//! `completions SHELL`.

use foundation::failure::Result;
use foundation::ui;

#[expect(clippy::unnecessary_wraps, reason = "commands share one signature")]
pub(crate) fn print(shell: clap_complete::Shell, command: &mut clap::Command) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, command, "xtask", &mut script);
    ui::print(&String::from_utf8_lossy(&script));
    Ok(0)
}

//! `status`: the whole bench at a glance, and the command to type next. Without a command,
//! `cargo xtask` prints the same.

mod bench;
mod next;
mod text;

use clap::Args;

use crate::app::App;
use bench::Bench;
use foundation::failure::Result;
use foundation::ui;

#[derive(Debug, Default, Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask status                 one screen; the same as `cargo xtask` alone\n  \
    cargo xtask status --json\n\n\
    A look that takes longer than two seconds is given up and named. The exit code is 0 whatever is found.")]
pub struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub(crate) fn run(app: &App<'_>, args: &StatusArgs) -> Result<u8> {
    let bench = Bench::look(&app.ctx)?;
    if args.json {
        ui::print_report(bench.to_json());
    } else {
        ui::print(&text::render(app.ui, &bench));
    }
    Ok(0)
}

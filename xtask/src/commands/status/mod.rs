//! `status`: the whole bench at a glance, and the command to type next. Without a command,
//! `cargo xtask` prints the same.

mod bench;
mod next;
mod serve;
mod text;

use clap::Args;

use crate::app::App;
use bench::Bench;
use foundation::failure::Result;
use foundation::ui;

#[derive(Debug, Default, Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask status                 one screen; the same as `cargo xtask` alone\n  \
    cargo xtask status --json\n  \
    cargo xtask status --serve         a live page, with consoles and flame graphs\n\n\
    A look that takes longer than two seconds is given up and named. What is found does not change the exit code.")]
pub struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Serve a live page on 127.0.0.1 and print a link to it that works once
    #[arg(long, conflicts_with = "json")]
    pub serve: bool,
    /// Port of the page [default: a free one]
    #[arg(
        long,
        value_name = "PORT",
        requires = "serve",
        value_parser = clap::value_parser!(u16).range(1024..)
    )]
    pub port: Option<u16>,
}

pub(crate) fn run(app: &App<'_>, args: &StatusArgs) -> Result<u8> {
    if args.serve {
        return serve::run(app, args.port);
    }
    let bench = Bench::look(&app.ctx)?;
    if args.json {
        ui::print_report(bench.to_json());
    } else {
        ui::print(&text::render(app.ui, &bench));
    }
    Ok(0)
}

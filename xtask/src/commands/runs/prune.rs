//! `runs prune`: removes old records.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::app::App;
use foundation::failure::Result;
use foundation::record::retention::{self, Limits};
use foundation::ui;
use foundation::ui::text::counted;
use foundation::units::{human_size, parse_duration, parse_size};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo xtask runs prune --keep 5\n  \
    cargo xtask runs prune --older-than 168h --dry-run\n\n\
    The newest record and those of active runs always stay.")]
pub struct PruneArgs {
    /// Number of runs to keep of each command in each checkout; twice that of failed ones [default: 20]
    #[arg(long, value_name = "N")]
    pub keep: Option<usize>,
    /// Remove runs that began before this time ago, such as 72h, failed or not [default: 30 days,
    /// failed ones 90]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub older_than: Option<Duration>,
    /// Size that all records may have, such as 200MB [default: 1GiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub max_size: Option<u64>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

fn size(text: &str) -> Result<u64, String> {
    parse_size(text).ok_or_else(|| "write 500MB or 1GiB".to_owned())
}

pub(super) fn run(app: &App<'_>, args: &PruneArgs) -> u8 {
    let usual = Limits::default();
    let limits = Limits {
        runs: args.keep.unwrap_or(usual.runs),
        failed_runs: args
            .keep
            .map_or(usual.failed_runs, |keep| keep.saturating_mul(2)),
        age: args.older_than.unwrap_or(usual.age),
        failed_age: args.older_than.unwrap_or(usual.failed_age),
        bytes: args.max_size.unwrap_or(usual.bytes),
    };
    let root = app.ctx.dirs.state.join("runs");
    let (mut ids, bytes) = retention::would_prune(&root, &limits);
    if !app.is_dry() {
        ids = retention::prune(&root, &limits, None);
    }
    if args.json {
        ui::print_report(json!({"removed": ids, "bytes": bytes, "dry_run": app.is_dry()}));
        return 0;
    }
    let done = if app.is_dry() {
        "would remove"
    } else {
        "removed"
    };
    let count = counted(ids.len() as u64, "record");
    ui::print(&format!("{done} {count}, {}\n", human_size(bytes)));
    0
}

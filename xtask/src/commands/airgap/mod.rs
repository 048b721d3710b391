//! `airgap`: the guide's "Testing Air-gapped Environments". Rules keep nodes on their
//! bridge, an observer records what they ask for, and a report says whether it matters.

mod down;
mod facts;
mod images;
mod report;
mod status;
mod text;
mod up;

use clap::Subcommand;

use crate::app::App;
use crate::commands::cluster::Which;
use foundation::ctx::Ctx;
use foundation::ctx::airgap::AirGap;
use foundation::failure::{Failure, Result};
use foundation::typed;
pub use report::ReportArgs;
use talos::names::ClusterName;
pub use up::UpArgs;

#[derive(Debug, Subcommand)]
pub enum AirgapCommand {
    /// Set up an air gap: nodes stay on their bridge, and what they ask for is recorded
    #[command(
        after_help = "Needs nft and tcpdump, and curl for the modes with a proxy, which run talosctl's own helper.\n\n\
        Examples:\n  cargo xtask airgap up gap                 before `cluster up`, or on a cluster that runs\n  \
        cargo xtask cluster up --airgap proxy     both at once, with the helper's patch"
    )]
    Up(UpArgs),
    /// Show whether rules, observer and helper work; exit code 1 if one does not
    Status {
        #[command(flatten)]
        which: Which,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what nodes asked for, with what result, and whether it matters
    #[command(
        after_help = "Examples:\n  cargo xtask airgap report\n  cargo xtask airgap report --expect names.txt    fail on any other name\n\n\
        A line of the list is a host, HOST:PORT or a URL; `*` stands for any characters, `#` begins a comment.\n\
        Exit code: 1 if a name is not expected, else 0."
    )]
    Report(ReportArgs),
    /// Stop the helper and the observer, and remove rules and files
    Down {
        #[command(flatten)]
        which: Which,
    },
}

impl AirgapCommand {
    /// The chosen cluster.
    pub(crate) fn which(&self) -> &Which {
        match self {
            Self::Up(args) => &args.which,
            Self::Report(args) => &args.which,
            Self::Status { which, .. } | Self::Down { which } => which,
        }
    }
}

/// Only one run at a time changes an air gap.
const LOCK: &str = "airgap";

pub(crate) fn run(app: &App<'_>, command: &AirgapCommand) -> Result<u8> {
    match command {
        AirgapCommand::Up(args) => up::run(app, args),
        AirgapCommand::Status { which, json } => status::run(app, which, *json),
        AirgapCommand::Report(args) => report::run(app, args),
        AirgapCommand::Down { which } => down::run(app, which),
    }
}

/// The air gap of that cluster, which must be there.
fn existing(ctx: &Ctx, name: &ClusterName) -> Result<AirGap> {
    AirGap::read(ctx, name.as_str())?.ok_or_else(|| {
        Failure::usage(format!("cluster `{name}` has no air gap"))
            .hint(typed!("airgap up gap --name {}", name))
    })
}

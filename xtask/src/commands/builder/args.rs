//! Arguments of `builder`.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  cargo xtask builder                       wanted and there, each difference\n  \
        cargo xtask builder create                the guide's line, once\n  \
        cargo xtask builder repair                anew, with the cache it has\n  \
        cargo xtask builder prune --keep 20GB\n\n\
        Which driver, with which options, is in `[builder]` of .cargo/xtask.toml."
)]
pub struct BuilderCommand {
    #[command(subcommand)]
    pub verb: Option<BuilderVerb>,
    /// As JSON, for editors, agents, CI
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum BuilderVerb {
    /// What is wanted, what is there, and how they differ (exit code 1)
    Status {
        /// As JSON, for editors, agents, CI
        #[arg(long)]
        json: bool,
    },
    /// Make the builder that Talos' builds need, if it is not there
    #[command(
        after_help = "Examples:\n  cargo xtask builder create\n  cargo xtask builder create --dry-run --format sh"
    )]
    Create,
    /// Make it as it is wanted; its cache is kept
    Repair,
    /// Remove it
    Remove {
        /// Keep its cache for the next one of this name
        #[arg(long)]
        keep_state: bool,
    },
    /// What its cache holds, by kind
    Usage {
        /// As JSON, for editors, agents, CI
        #[arg(long)]
        json: bool,
    },
    /// Remove what its cache could do without
    #[command(
        after_help = "Examples:\n  cargo xtask builder prune                 all that no build uses\n  \
        cargo xtask builder prune --keep 20GB     the oldest first, down to 20 GB"
    )]
    Prune {
        /// How much may stay
        #[arg(long, value_name = "SIZE")]
        keep: Option<String>,
    },
}

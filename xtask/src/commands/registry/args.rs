//! The command lines of `registry`, `proxies` and `setup`, as data.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  cargo xtask registry up\n  cargo xtask registry ls\n  \
        cargo xtask registry prune siderolabs/imager:v1.12.0-dirty"
)]
pub struct RegistryCommand {
    #[command(subcommand)]
    pub verb: Option<RegistryVerb>,
    /// As JSON, for editors, agents, CI
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum RegistryVerb {
    /// Whether it is up, since when, and how much it holds
    Status {
        /// As JSON, for editors, agents, CI
        #[arg(long)]
        json: bool,
    },
    /// Start it on 127.0.0.1:5005; one that is there already is used
    Up,
    /// Stop it; what was pushed stays
    Down(DownArgs),
    /// Images in it, with digest, size and what they were built from
    Ls {
        /// As JSON, for editors, agents, CI
        #[arg(long)]
        json: bool,
        /// Only these, by repository or the end of one
        repositories: Vec<String>,
    },
    /// Free what no tag leads to; named images first
    #[command(
        after_help = "Not while something is being pushed: the registry is stopped for it.\n\nExamples:\n  cargo xtask registry prune\n  \
        cargo xtask registry prune siderolabs/imager:v1.12.0-dirty    that tag, and what only it uses\n  \
        cargo xtask registry prune siderolabs/installer               all tags of it"
    )]
    Prune {
        /// REPOSITORY or REPOSITORY:TAG, to be deleted
        images: Vec<String>,
    },
}

#[derive(Debug, Clone, Default, Args)]
pub struct DownArgs {
    /// Remove it with all that it holds
    #[arg(long)]
    pub purge: bool,
}

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  cargo xtask proxies up\n  cargo xtask proxies check\n  \
        cargo xtask proxies check docker.io/library/alpine:3.22"
)]
pub struct ProxiesCommand {
    #[command(subcommand)]
    pub verb: Option<ProxiesVerb>,
    /// As JSON, for editors, agents, CI
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum ProxiesVerb {
    /// Which are up, since when, and how much they have cached
    Status {
        /// As JSON, for editors, agents, CI
        #[arg(long)]
        json: bool,
    },
    /// Start those that are not up; ones that are there already are used
    Up,
    /// Stop them; what is cached stays
    Down(DownArgs),
    /// Fetch an image through each, from the address that nodes use
    #[command(after_help = "Examples:\n  cargo xtask proxies check\n  \
        cargo xtask proxies check ghcr.io/siderolabs/kubelet:v1.34.0")]
    Check {
        /// As JSON, for editors, agents, CI
        #[arg(long)]
        json: bool,
        /// The cluster whose gateway is asked [default: talos-default]
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// HOST/REPOSITORY:TAG, instead of what is cached or known to be there
        images: Vec<String>,
    },
}

#[derive(Debug, Clone, Default, Args)]
#[command(
    after_help = "Examples:\n  cargo xtask setup\n  cargo xtask setup --dry-run\n  cargo xtask --lab setup"
)]
pub struct SetupArgs {
    /// As JSON, for editors, agents, CI
    #[arg(long)]
    pub json: bool,
}

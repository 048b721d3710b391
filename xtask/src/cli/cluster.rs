//! Arguments of `cluster`.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  cargo xtask cluster                       up if it is not, else its status\n  \
        cargo xtask cluster up --workers 0        one more way to save memory\n  \
        cargo xtask cluster logs -f               all consoles, merged\n  \
        cargo xtask cluster reboot --all          after a build: proven boots\n  \
        cargo xtask --lab cluster                 the same in the lab"
)]
pub struct ClusterCommand {
    #[command(subcommand)]
    pub verb: Option<ClusterVerb>,
    #[command(flatten)]
    pub up: UpArgs,
    /// With the cluster up: its status as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum ClusterVerb {
    /// Create the cluster and wait until its nodes are ready
    #[command(
        after_help = "Examples:\n  cargo xtask cluster up --controlplanes 1 --workers 1\n  \
        cargo xtask cluster up --config-patch @patch.yaml -- --with-uefi=false\n  \
        cargo xtask cluster up --dry-run --format sh > up.sh"
    )]
    Up(UpArgs),
    /// What is up, node by node
    Status(StatusArgs),
    /// All clusters of this user
    List {
        /// As JSON, for editors, agents, CI
        #[arg(long)]
        json: bool,
    },
    /// The nodes' consoles, merged, with node and time
    #[command(
        after_help = "Examples:\n  cargo xtask cluster logs\n  cargo xtask cluster logs -f worker-1\n  \
        cargo xtask cluster logs --boot -N 50       last 50 lines of the present boot"
    )]
    Logs(LogsArgs),
    /// Power-cycle nodes and prove that they booted
    #[command(
        after_help = "Examples:\n  cargo xtask cluster reboot --all\n  cargo xtask cluster reboot worker-1 172.20.0.2"
    )]
    Reboot(RebootArgs),
    /// Take the cluster down and look that nothing is left
    Destroy(DestroyArgs),
}

/// Which cluster.
#[derive(Debug, Clone, Default, Args)]
pub struct Which {
    /// The cluster's name [default: talos-default]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

#[derive(Debug, Clone, Default, Args)]
pub struct UpArgs {
    #[command(flatten)]
    pub which: Which,
    /// The cluster's network [default: 172.20.0.0/24]
    #[arg(long)]
    pub cidr: Option<String>,
    /// 1, 3 or more; two cannot elect a leader [default: 3, less when memory is short]
    #[arg(long, value_name = "N")]
    pub controlplanes: Option<u32>,
    /// Any number [default: 2, less when memory is short]
    #[arg(long, value_name = "N")]
    pub workers: Option<u32>,
    /// Of each node: MiB, or with a unit such as 2GiB
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// The machine configuration's Talos version
    #[arg(long, value_name = "VERSION")]
    pub talos_version: Option<String>,
    /// A patch of the machine configuration, or @FILE; may be repeated
    #[arg(long, value_name = "PATCH")]
    pub config_patch: Vec<String>,
    /// Install to disk and boot from there; without it a rebuilt initramfs is only a reboot away
    #[arg(long)]
    pub with_bootloader: bool,
    /// Wait until Kubernetes is ready too (the default)
    #[arg(long, overrides_with = "no_wait")]
    pub wait: bool,
    /// Return when the API answers; talosctl itself waits that long
    #[arg(long)]
    pub no_wait: bool,
    /// Given to `talosctl cluster create` untouched
    #[arg(last = true, value_name = "TALOSCTL ARGS")]
    pub talosctl_args: Vec<String>,
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    pub which: Which,
    /// As JSON, for editors, agents, CI
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct LogsArgs {
    #[command(flatten)]
    pub which: Which,
    /// Keep following
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last N lines
    #[arg(short = 'N', long, value_name = "N")]
    pub lines: Option<usize>,
    /// Only the present boot of each node
    #[arg(short, long)]
    pub boot: bool,
    /// Nodes by name, by the end of the name, or by address; all without
    pub nodes: Vec<String>,
}

#[derive(Debug, Args)]
pub struct RebootArgs {
    #[command(flatten)]
    pub which: Which,
    /// Every node
    #[arg(long, conflicts_with = "nodes")]
    pub all: bool,
    /// Seconds within which each node must be ready
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub timeout: u64,
    /// As JSON, for editors, agents, CI
    #[arg(long)]
    pub json: bool,
    /// Nodes by name, by the end of the name, or by address
    #[arg(required_unless_present = "all")]
    pub nodes: Vec<String>,
}

#[derive(Debug, Args)]
pub struct DestroyArgs {
    #[command(flatten)]
    pub which: Which,
}

//! `cluster`: without a verb, it creates the configured cluster or shows its
//! status.

pub(crate) mod airgap;
mod clean;
pub(crate) mod client;
mod console;
mod contexts;
pub(crate) mod destroy;
mod env;
pub(crate) mod explain;
mod facts;
mod installer;
mod keep;
mod list;
mod logs;
mod machine;
pub(in crate::commands) mod reach;
pub(in crate::commands) mod reboot;
pub(crate) mod relay;
pub(in crate::commands) mod security;
pub(in crate::commands) mod settings;
pub(crate) mod start;
mod status;
mod stop;
mod support;
mod teardown;
mod up;
mod upgrade;

use std::net::IpAddr;

use clap::{Args, Subcommand};
use glob::Pattern;
use talos::names::ClusterName;

use crate::app::App;
pub use clean::CleanArgs;
pub use client::{ClientArgs, DashboardArgs};
pub use console::ConsoleArgs;
pub use destroy::DestroyArgs;
pub use env::EnvArgs;
pub use explain::ExplainArgs;
use foundation::ctx::cluster::{ClusterState, ClusterView, NodeView, lock_name};
use foundation::failure::{Exit, Failure, Result};
use foundation::record::lock::{self, Lock};
use foundation::typed;
pub use logs::LogsArgs;
pub use reboot::RebootArgs;
pub use start::StartArgs;
pub use status::StatusArgs;
pub use stop::StopArgs;
pub use support::SupportArgs;
pub use up::UpArgs;
pub use upgrade::UpgradeArgs;

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  cargo xtask cluster                       create it, or show its status\n  \
        cargo xtask cluster up --workers 0        no workers, to save memory\n  \
        cargo xtask cluster logs -f               all consoles, merged\n  \
        cargo xtask cluster reboot --all          after a build: verify each boot\n  \
        cargo xtask --lab cluster                 the same in the lab"
)]
pub struct ClusterCommand {
    #[command(subcommand)]
    pub verb: Option<ClusterVerb>,
    #[command(flatten)]
    pub up: UpArgs,
    /// If the cluster is up, print its status as JSON
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
    /// Show the state of each node
    Status(StatusArgs),
    /// Find the cause why a cluster does not work
    #[command(
        after_help = "Examples:\n  cargo xtask cluster explain\n  cargo xtask cluster explain --json\n\n\
        Exit code: 0 if the cluster runs and no check found a fault, else 1."
    )]
    Explain(ExplainArgs),
    /// List the clusters of this user
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the consoles of the nodes, merged, with node and time
    #[command(
        after_help = "Examples:\n  cargo xtask cluster logs\n  cargo xtask cluster logs -f worker-1\n  \
        cargo xtask cluster logs --boot -n 50       last 50 lines of the current boot"
    )]
    Logs(LogsArgs),
    /// Power-cycle nodes and verify that they booted
    #[command(
        after_help = "Examples:\n  cargo xtask cluster reboot --all\n  cargo xtask cluster reboot worker-1 172.20.0.2\n\n\
            A power cycle loses what a node wrote in the last half minute, such as images that it has just pulled; \
            `--graceful` does not."
    )]
    Reboot(RebootArgs),
    /// Follow the console of one node as it is, read-only
    Console(ConsoleArgs),
    /// Upgrade nodes through Talos' API, one after another, and verify each boot
    #[command(after_help = "Examples:\n  \
        cargo xtask cluster upgrade --image 127.0.0.1:5005/siderolabs/installer:v1.12.0-dirty")]
    Upgrade(UpgradeArgs),
    /// Collect an archive for a bug report, without secrets
    Support(SupportArgs),
    /// Print shell commands that select this cluster for talosctl and kubectl
    #[command(after_help = "Examples:\n  eval \"$(cargo xtask cluster env)\"\n  \
        cargo xtask cluster env --shell fish | source")]
    Env(EnvArgs),
    /// Show talosctl's dashboard of all nodes
    Dashboard(DashboardArgs),
    /// Stop the cluster; its disks and its state are kept
    #[command(
        after_help = "Examples:\n  cargo xtask cluster stop\n  cargo xtask cluster stop --timeout 0      end the nodes at once"
    )]
    Stop(StopArgs),
    /// Start what does not run of the cluster, and verify that its nodes booted
    #[command(
        after_help = "Examples:\n  cargo xtask cluster start                 after `cluster stop`, a restart of the host or a crash\n  \
        cargo xtask cluster start --dry-run --format sh > start.sh"
    )]
    Start(StartArgs),
    /// Destroy the cluster and verify that nothing is left
    Destroy(DestroyArgs),
    /// Remove what clusters left that do not run any more or were never finished
    #[command(
        after_help = "Examples:\n  cargo xtask cluster clean --dry-run       show what would be removed\n  \
        cargo xtask cluster clean --stopped       stopped clusters too"
    )]
    Clean(CleanArgs),
}

impl ClusterCommand {
    /// Whether it only works on clusters that exist.
    pub(crate) fn needs_cluster(&self) -> bool {
        !matches!(self.verb, None | Some(ClusterVerb::Up(_)))
    }
}

/// Which cluster.
#[derive(Debug, Clone, Default, Args)]
pub struct Which {
    /// Name of the cluster [default: talos-default]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

/// talosctl's default, which the guide keeps.
const DEFAULT_NAME: &str = settings::NAME;
/// Console lines shown when a node died.
const EXCERPT: usize = 15;

pub(crate) fn run(app: &App<'_>, command: ClusterCommand) -> Result<u8> {
    match command.verb {
        None => up::run_or_status(app, &command.up, command.json),
        Some(ClusterVerb::Up(args)) => up::run(app, &args),
        Some(ClusterVerb::Status(args)) => status::run(app, &args),
        Some(ClusterVerb::Explain(args)) => explain::run(app, &args),
        Some(ClusterVerb::List { json }) => list::run(app, json),
        Some(ClusterVerb::Logs(args)) => logs::run(app, &args),
        Some(ClusterVerb::Reboot(args)) => reboot::run(app, &args),
        Some(ClusterVerb::Console(args)) => console::run(app, &args),
        Some(ClusterVerb::Upgrade(args)) => upgrade::run(app, &args),
        Some(ClusterVerb::Support(args)) => support::run(app, &args),
        Some(ClusterVerb::Env(args)) => env::run(app, &args),
        Some(ClusterVerb::Dashboard(args)) => client::dashboard(app, &args),
        Some(ClusterVerb::Stop(args)) => stop::run(app, &args),
        Some(ClusterVerb::Start(args)) => start::run(app, &args),
        Some(ClusterVerb::Clean(args)) => clean::run(app, &args),
        Some(ClusterVerb::Destroy(args)) => destroy::run(app, &args),
    }
}

/// Destroys a cluster that this run created.
pub(in crate::commands) fn destroy_own(app: &App<'_>, which: Which) -> Result<u8> {
    destroy::run_unasked(app, &DestroyArgs { which })
}

/// Returns the name of a cluster that may already exist: any name that talosctl
/// allows, as long as it is one component of a path.
pub(in crate::commands) fn existing_name(app: &App<'_>, which: &Which) -> Result<ClusterName> {
    let config = app.ctx.config.cluster.name.as_deref();
    let name = which.name.as_deref().or(config).unwrap_or(DEFAULT_NAME);
    ClusterName::existing(name)
        .map_err(|error| Failure::usage(error.to_string()).hint(typed!("cluster list")))
}

/// The lock under which a cluster is created, started, rebooted or destroyed. A
/// plan that is only shown needs none.
///
/// # Errors
/// If another run holds it.
fn lock(app: &App<'_>, name: &str, doing: &str) -> Result<Option<Lock>> {
    if app.is_dry() {
        return Ok(None);
    }
    lock::take_soon(&app.ctx.dirs.state, &lock_name(name), doing).map(Some)
}

/// Returns a cluster that must exist.
pub(in crate::commands) fn look_up(app: &App<'_>, which: &Which) -> Result<ClusterView> {
    let name = existing_name(app, which)?;
    existing(app, ClusterView::probe(&app.ctx, name.as_str()))
}

/// Returns a cluster that must exist, with its faults.
fn examine(app: &App<'_>, which: &Which) -> Result<ClusterView> {
    existing(app, status::look(app, which)?)
}

fn existing(app: &App<'_>, view: ClusterView) -> Result<ClusterView> {
    if view.state == ClusterState::Absent {
        let others = ClusterView::names(&app.ctx);
        let mut failure = Failure::usage(format!("there is no cluster `{}`", view.name));
        if !others.is_empty() {
            failure = failure.cause(format!("there is: {}", others.join(", ")));
        }
        return Err(failure.hint(typed!("cluster up")));
    }
    Ok(view)
}

/// Returns the nodes that `wanted` names: by name, end of name, address, or a
/// pattern of these such as `worker-*`; all nodes if it is empty.
///
/// # Errors
/// For a word that matches no node, or an invalid pattern.
pub(in crate::commands) fn choose<'a>(
    view: &'a ClusterView,
    wanted: &[String],
) -> Result<Vec<&'a NodeView>> {
    if wanted.is_empty() {
        return Ok(view.nodes.iter().collect());
    }
    let mut chosen: Vec<&NodeView> = Vec::new();
    for word in wanted {
        let pattern = pattern(word)?;
        let is_chosen = |node: &&NodeView| is_named(&pattern, &view.name, &node.name, node.ip);
        let mut nodes = view.nodes.iter().filter(is_chosen).peekable();
        if nodes.peek().is_none() {
            let names: Vec<&str> = view.nodes.iter().map(|node| node.name.as_str()).collect();
            return Err(
                Failure::usage(format!("cluster `{}` has no node `{word}`", view.name))
                    .cause(format!("its nodes: {}", names.join(", ")))
                    .hint("the end of a name (worker-1) or a pattern ('worker-*') is enough"),
            );
        }
        for node in nodes {
            if !chosen.iter().any(|other| other.name == node.name) {
                chosen.push(node);
            }
        }
    }
    Ok(chosen)
}

fn pattern(word: &str) -> Result<Pattern> {
    Pattern::new(word).map_err(|error| {
        Failure::usage(format!("invalid pattern `{word}`"))
            .cause(error)
            .hint("`*` stands for any characters, as in 'worker-*'")
    })
}

/// Whether the pattern matches the name of a node, the end of it, or its address.
fn is_named(pattern: &Pattern, cluster: &str, node: &str, ip: Option<IpAddr>) -> bool {
    let suffix = node.strip_prefix(cluster);
    let suffix = suffix.and_then(|rest| rest.strip_prefix('-'));
    let ip = ip.map(|ip| ip.to_string());
    let mut names = [Some(node), suffix, ip.as_deref()].into_iter().flatten();
    names.any(|name| pattern.matches(name))
}

fn death_of(view: &ClusterView, node: &NodeView, before: &str) -> Failure {
    let mut failure = Failure::new(
        Exit::NodeDied,
        format!("{before} node `{}` is down", node.name),
    );
    failure
        .causes
        .extend(node.death.clone().or(node.cause.clone()));
    failure
        .cause(format!("its console is {}", node.console))
        .excerpt(foundation::ctx::cluster::console_tail(
            &node.console,
            EXCERPT,
        ))
        .hint(typed!("cluster destroy --name {}", view.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_named_by_name_suffix_address_or_pattern() {
        let ip: IpAddr = "172.20.0.3".parse().unwrap();
        let is = |word: &str| {
            let pattern = Pattern::new(word).unwrap();
            is_named(
                &pattern,
                "talos-default",
                "talos-default-worker-1",
                Some(ip),
            )
        };
        for word in [
            "talos-default-worker-1",
            "worker-1",
            "172.20.0.3",
            "worker-*",
            "w*[12]",
            "*",
        ] {
            assert!(is(word), "{word}");
        }
        for word in ["worker", "orker-1", "172.20.0", "control*", "worker-??", ""] {
            assert!(!is(word), "{word}");
        }
    }
}

//! `proxies`: the guide's "Registry proxies", the pull-through proxies of this
//! checkout's line.

mod check;
mod expiry;

use std::fmt::Write;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::registry::view::{self, RegistryView};
use super::registry::{Down, DownArgs, bring_up, code_of, lock, table, take_down, up};
use crate::app::App;
use foundation::ctx::containers;
use foundation::ctx::registries::{self, Spec};
use foundation::failure::Result;
use foundation::plan::Plan;
use foundation::typed;
use foundation::ui::{self, Style};

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  cargo xtask proxies up\n  cargo xtask proxies check\n  \
        cargo xtask proxies check docker.io/library/alpine:3.22"
)]
pub struct ProxiesCommand {
    #[command(subcommand)]
    pub verb: Option<ProxiesVerb>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum ProxiesVerb {
    /// Show which proxies are up, their age and the size of their caches
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Start the proxies that are not running
    Up,
    /// Stop the proxies and keep their caches
    Down(DownArgs),
    /// Fetch an image through each proxy, from the address that nodes use
    #[command(after_help = "Examples:\n  cargo xtask proxies check\n  \
        cargo xtask proxies check ghcr.io/siderolabs/kubelet:v1.34.0")]
    Check {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Cluster whose gateway address is used [default: talos-default]
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Images as HOST/REPOSITORY:TAG [default: a cached or well-known image]
        images: Vec<String>,
    },
}

pub(crate) fn run(app: &App<'_>, command: &ProxiesCommand) -> Result<u8> {
    match &command.verb {
        None => status(app, command.json),
        Some(ProxiesVerb::Status { json }) => status(app, *json),
        Some(ProxiesVerb::Up) => {
            if ensure(app)?.is_some() {
                return status(app, false);
            }
            Ok(0)
        }
        Some(ProxiesVerb::Down(args)) => down(app, args),
        Some(ProxiesVerb::Check { json, name, images }) => {
            check::run(app, name.as_deref(), images, *json)
        }
    }
}

/// Returns the wanted proxies: those of the checkout, and the user's upstreams.
fn specs(app: &App<'_>) -> Result<Vec<Spec>> {
    let checkout = app.ctx.checkout()?;
    registries::proxies(&checkout, &app.ctx.config.proxies)
}

/// Starts those that do not run. Returns whether anything was changed; `None`
/// for a dry run.
///
/// # Errors
/// When docker does not respond, another program uses a port, or a step fails.
pub(super) fn ensure(app: &App<'_>) -> Result<Option<bool>> {
    bring_up(app, "proxies up", || plan(app))
}

/// Returns the plan of [`ensure`], without steps if nothing is to be done.
///
/// # Errors
/// When docker does not respond, or something else uses a port or a name.
pub(super) fn plan(app: &App<'_>) -> Result<Plan> {
    let views = view::read_views(&specs(app)?)?;
    view::check(&views)?;
    Ok(up::plan_up("pull-through proxies on 127.0.0.1", &views))
}

fn down(app: &App<'_>, args: &DownArgs) -> Result<u8> {
    let _lock = lock(app, "proxies down")?;
    let views = view::read_views(&specs(app)?)?;
    let volumes = up::volumes_to_purge(args.purge)?;
    let plan = up::plan_down(
        "stop the pull-through proxies",
        &views,
        &volumes,
        args.purge,
    )?;
    let said = Down {
        nothing: "no proxy of ours runs: nothing to do\n",
        purged: "the proxies are gone, with all that they had cached\n",
        stopped: format!(
            "the proxies are down; what is cached stays: {}\n",
            typed!("proxies up")
        ),
    };
    take_down(app, &plan, &views, args.purge, &said)
}

/// Returns the cache of a running proxy; that of a stopped one cannot be read.
fn cache(view: &RegistryView) -> Option<std::result::Result<expiry::Cache, String>> {
    let container = view.container().filter(|_| view.answers)?;
    Some(expiry::read_cache(&container.name, view.spec.port))
}

fn status(app: &App<'_>, as_json: bool) -> Result<u8> {
    let views = view::read_views(&specs(app)?)?;
    let volumes = containers::volume_sizes();
    if as_json {
        let proxies: Vec<Value> = views
            .iter()
            .map(|view| {
                let mut value = view.to_json(&volumes);
                value["cache"] = match cache(view) {
                    Some(Ok(cache)) => cache.to_json(),
                    _ => Value::Null,
                };
                value
            })
            .collect();
        ui::print_report(json!({"proxies": proxies}));
        return Ok(code_of(&views));
    }
    let mut out = table(app, &views, &volumes);
    for one in &views {
        let text = match cache(one) {
            Some(Ok(cache)) => cache.describe(),
            Some(Err(why)) => Some(format!("what it has cached is not known: {why}")),
            None => None,
        };
        if let Some(text) = text {
            let _ = writeln!(out, "  {}: {text}", one.spec.name);
        }
    }
    let next = if views.iter().all(|view| view.answers) {
        typed!("proxies check")
    } else {
        typed!("proxies up")
    };
    let _ = writeln!(out, "  {} {next}", app.ui.paint(Style::Dim, "next:"));
    ui::print(&out);
    Ok(code_of(&views))
}

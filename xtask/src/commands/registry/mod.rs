//! `registry`: the guide's local registry, which builds push to and nodes
//! pull from.

mod ls;
mod prune;
pub(in crate::commands) mod up;
pub(in crate::commands) mod view;

use std::fmt::Write;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::app::App;
use foundation::ctx::containers;
use foundation::ctx::registries;
use foundation::failure::{Exit, Result};
use foundation::plan::Plan;
use foundation::record::lock::{self, Lock};
use foundation::run::Options;
use foundation::typed;
use foundation::ui::text::column_width;
use foundation::ui::{self, Style};
use view::RegistryView;

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  cargo xtask registry up\n  cargo xtask registry ls\n  \
        cargo xtask registry prune siderolabs/imager:v1.12.0-dirty"
)]
pub struct RegistryCommand {
    #[command(subcommand)]
    pub verb: Option<RegistryVerb>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum RegistryVerb {
    /// Show whether the registry is up, its age and its size; exit code 1 if it does not work
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Start the registry on 127.0.0.1:5005, or use the one already running
    Up,
    /// Stop the registry and keep its images
    Down(DownArgs),
    /// List the images with digest, size and source
    Ls {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Repositories, by name or the end of a name [default: all]
        repositories: Vec<String>,
    },
    /// Delete untagged data, and any images named
    #[command(
        after_help = "The registry is stopped meanwhile: do not push during a prune.\n\nExamples:\n  cargo xtask registry prune\n  \
        cargo xtask registry prune siderolabs/imager:v1.12.0-dirty    that tag and data only it uses\n  \
        cargo xtask registry prune siderolabs/installer               all of its tags"
    )]
    Prune {
        /// Images to delete, as REPOSITORY, REPOSITORY:TAG, or as `images` prints them
        images: Vec<String>,
    },
}

#[derive(Debug, Clone, Default, Args)]
pub struct DownArgs {
    /// Also delete all data
    #[arg(long)]
    pub purge: bool,
}

pub(crate) fn run(app: &App<'_>, command: &RegistryCommand) -> Result<u8> {
    match &command.verb {
        None => status(app, command.json),
        Some(RegistryVerb::Status { json }) => status(app, *json),
        Some(RegistryVerb::Up) => {
            if ensure(app)?.is_some() {
                return status(app, false);
            }
            Ok(0)
        }
        Some(RegistryVerb::Down(args)) => down(app, args),
        Some(RegistryVerb::Ls { json, repositories }) => ls::run(app, repositories, *json),
        Some(RegistryVerb::Prune { images }) => prune::run(app, images),
    }
}

/// Only one run at a time changes registries.
pub(super) fn lock(app: &App<'_>, doing: &str) -> Result<Lock> {
    lock::take_soon(&app.ctx.dirs.state, "registries", doing)
}

/// Starts it if it does not run. Returns whether anything was changed; `None`
/// for a dry run.
///
/// # Errors
/// When docker does not respond, another process has the port, or a step fails.
pub(super) fn ensure(app: &App<'_>) -> Result<Option<bool>> {
    bring_up(app, "registry up", plan)
}

/// Carries out the plan while holding the lock of the registries.
pub(super) fn bring_up(
    app: &App<'_>,
    doing: &str,
    plan: impl FnOnce() -> Result<Plan>,
) -> Result<Option<bool>> {
    if app.is_dry() {
        app.show(&plan()?)?;
        return Ok(None);
    }
    let _lock = lock(app, doing)?;
    let plan = plan()?;
    if plan.steps.is_empty() {
        return Ok(Some(false));
    }
    app.runner().run(&plan, Options::default())?;
    Ok(Some(true))
}

/// Returns the plan of [`ensure`], without steps if nothing is to be done.
///
/// # Errors
/// When docker does not respond, or another process has the port.
pub(super) fn plan() -> Result<Plan> {
    let views = view::read_views(&[registries::local()])?;
    view::check(&views)?;
    Ok(up::plan_up("the local registry on 127.0.0.1:5005", &views))
}

fn down(app: &App<'_>, args: &DownArgs) -> Result<u8> {
    let _lock = lock(app, "registry down")?;
    let views = view::read_views(&[registries::local()])?;
    let volumes = up::volumes_to_purge(args.purge)?;
    let plan = up::plan_down("stop the local registry", &views, &volumes, args.purge)?;
    let said = Down {
        nothing: "no registry of ours runs: nothing to do\n",
        purged: "the registry is gone, with all that it held\n",
        stopped: format!(
            "the registry is down; what was pushed stays: {}\n",
            typed!("registry up")
        ),
    };
    take_down(app, &plan, &views, args.purge, &said)
}

/// Messages for the end of the run.
pub(super) struct Down {
    pub nothing: &'static str,
    pub purged: &'static str,
    pub stopped: String,
}

pub(super) fn take_down(
    app: &App<'_>,
    plan: &Plan,
    views: &[RegistryView],
    purge: bool,
    said: &Down,
) -> Result<u8> {
    if plan.steps.is_empty() && !app.is_dry() {
        ui::print(said.nothing);
    } else if app.carry_out(plan)? {
        up::check_down(views, purge)?;
        ui::print(if purge { said.purged } else { &said.stopped });
    }
    Ok(0)
}

fn status(app: &App<'_>, as_json: bool) -> Result<u8> {
    let views = view::read_views(&[registries::local()])?;
    let volumes = containers::volume_sizes();
    if as_json {
        let registry: Vec<_> = views.iter().map(|view| view.to_json(&volumes)).collect();
        ui::print_report(json!({"registry": registry.first()}));
        return Ok(code_of(&views));
    }
    let mut out = table(app, &views, &volumes);
    let next = match views.first() {
        Some(view) if view.answers => typed!("registry ls"),
        _ => typed!("registry up"),
    };
    let _ = writeln!(out, "  {} {next}", app.ui.paint(Style::Dim, "next:"));
    ui::print(&out);
    Ok(code_of(&views))
}

/// Returns 1 if one of them does not work. One that was never started, or stopped, is as it
/// should be.
pub(super) fn code_of(views: &[RegistryView]) -> u8 {
    let is_fine = |view: &RegistryView| match view.state() {
        "absent" | "stopped" => true,
        _ => view.answers,
    };
    if views.iter().all(is_fine) {
        0
    } else {
        Exit::Checks.code()
    }
}

/// Returns one line for each, with its remarks below.
pub(super) fn table(app: &App<'_>, all: &[RegistryView], volumes: &[(String, u64)]) -> String {
    let width = column_width(all.iter().map(|view| &view.spec.host));
    let mut out = String::new();
    for view in all {
        let style = match view.state() {
            "running" => Style::Good,
            "other" => Style::Warn,
            "absent" | "stopped" => Style::Dim,
            _ => Style::Bad,
        };
        let spec = &view.spec;
        let state = app.ui.paint(style, &format!("{:<10}", view.state()));
        let size = view
            .size(volumes)
            .map_or_else(String::new, foundation::units::human_size);
        let age = view
            .container()
            .map_or_else(String::new, |container| age(&container.created));
        let upstream = spec
            .upstream
            .as_ref()
            .map_or_else(String::new, |from| format!("from {from}"));
        let line = format!(
            "{:<width$}  127.0.0.1:{} {state} {size:>10}  {age:<14} {upstream}",
            spec.host, spec.port
        );
        let _ = writeln!(out, "{}", line.trim_end());
        for remark in view.remarks() {
            let _ = writeln!(out, "  {} {remark}", app.ui.paint(Style::Warn, "!"));
        }
    }
    out
}

/// Returns the age of a container: `3 days old`.
fn age(created: &str) -> String {
    let Ok(created) = created.parse::<jiff::Timestamp>() else {
        return String::new();
    };
    let seconds = jiff::Timestamp::now()
        .as_second()
        .saturating_sub(created.as_second());
    format!(
        "{} old",
        foundation::units::human_span(seconds.unsigned_abs())
    )
}

//! `cluster`: bare, it brings the configured cluster up, or shows its status.

mod contexts;
mod destroy;
mod facts;
mod installer;
mod logs;
mod reboot;
pub(in crate::commands) mod relay;
pub(crate) mod settings;
mod status;
mod teardown;
mod up;

use talos::names::ClusterName;

use super::App;
use crate::cli::{ClusterCommand, ClusterVerb, Which};
use foundation::ctx::cluster::{ClusterState, ClusterView, NodeState, NodeView};
use foundation::ctx::{Ctx, containers};
use foundation::failure::{Exit, Failure, Result};
use foundation::plan::{Plan, Resource, Step, Watch};
use foundation::run::{Observer, Undo, Undoing};
use foundation::typed;

/// talosctl's default, which the guide keeps.
const DEFAULT_NAME: &str = settings::NAME;
/// Console lines shown when a node died.
const EXCERPT: usize = 15;

pub(super) fn run(app: &App<'_>, command: ClusterCommand) -> Result<u8> {
    match command.verb {
        None => up::run(app, &command.up, command.json),
        Some(ClusterVerb::Up(args)) => up::run(app, &args, false),
        Some(ClusterVerb::Status(args)) => status::run(app, &args),
        Some(ClusterVerb::List { json }) => status::list(app, json),
        Some(ClusterVerb::Logs(args)) => logs::run(app, &args),
        Some(ClusterVerb::Reboot(args)) => reboot::run(app, &args),
        Some(ClusterVerb::Destroy(args)) => destroy::run(app, &args),
    }
}

/// Destroy a cluster that this run has made.
pub(in crate::commands) fn destroy_own(app: &App<'_>, which: Which) -> Result<u8> {
    destroy::run_unasked(app, &crate::cli::DestroyArgs { which })
}

/// The name of a cluster that may be there already: whatever talosctl let
/// through, as long as it is one component of a path.
pub(in crate::commands) fn existing_name(app: &App<'_>, which: &Which) -> Result<ClusterName> {
    let config = app.ctx.config.cluster.name.as_deref();
    let name = which.name.as_deref().or(config).unwrap_or(DEFAULT_NAME);
    ClusterName::existing(name)
        .map_err(|error| Failure::usage(error.to_string()).hint(typed!("cluster list")))
}

/// A cluster that must be there.
fn look_up(app: &App<'_>, which: &Which) -> Result<ClusterView> {
    let view = status::look(app, which)?;
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

/// The nodes that `wanted` names: by name, end of name or address; all where
/// nothing is named.
pub(in crate::commands) fn choose<'a>(
    view: &'a ClusterView,
    wanted: &[String],
) -> Result<Vec<&'a NodeView>> {
    if wanted.is_empty() {
        return Ok(view.nodes.iter().collect());
    }
    let mut chosen: Vec<&NodeView> = Vec::new();
    for word in wanted {
        let is_meant = |node: &&NodeView| {
            node.name == *word
                || node
                    .name
                    .strip_prefix(&view.name)
                    .is_some_and(|rest| rest == format!("-{word}"))
                || node.ip.is_some_and(|ip| ip.to_string() == *word)
        };
        let node = view.nodes.iter().find(is_meant).ok_or_else(|| {
            let names: Vec<&str> = view.nodes.iter().map(|node| node.name.as_str()).collect();
            Failure::usage(format!("cluster `{}` has no node `{word}`", view.name))
                .cause(format!("its nodes: {}", names.join(", ")))
                .hint("the end of a name will do: worker-1")
        })?;
        if !chosen.iter().any(|other| other.name == node.name) {
            chosen.push(node);
        }
    }
    Ok(chosen)
}

/// Exit code 5 with the console's last lines, when a node of `view` is down.
fn died(view: &ClusterView, before: &str) -> Result<()> {
    let Some(node) = view.nodes.iter().find(|node| node.state == NodeState::Down) else {
        return Ok(());
    };
    Err(death_of(view, node, before))
}

fn death_of(view: &ClusterView, node: &NodeView, before: &str) -> Failure {
    let mut failure = Failure::new(
        Exit::NodeDied,
        format!("{before} node `{}` is down", node.name),
    );
    if let Some(death) = &node.death {
        failure = failure.cause(death);
    }
    failure
        .cause(format!("its console is {}", node.console))
        .excerpt(foundation::ctx::cluster::console_tail(
            &node.console,
            EXCERPT,
        ))
        .hint(typed!("cluster destroy --name {}", view.name))
}

/// A container of ours that a stopped `docker run` may have made; one that runs
/// is whole.
fn undo_container(name: &str) -> Undoing {
    let found = match containers::inspect(&[name]) {
        Ok(found) => found,
        Err(failure) => return Undoing::Keep(failure.what),
    };
    match found.first() {
        Some(container) if container.is_ours && container.state == containers::State::Running => {
            Undoing::Keep(format!("container `{name}` runs, and stays"))
        }
        Some(container) if container.is_ours => {
            let mut plan = Plan::new(format!("remove the container `{name}`"));
            let gone = Resource::Container {
                name: name.to_owned(),
            };
            let why = "remove what a stopped start has left";
            plan.push(Step::run(why, ["docker", "rm", "-f", name]).unmakes(gone));
            Undoing::Do(plan)
        }
        _ => Undoing::Done,
    }
}

/// How half-made clusters are undone.
pub(crate) struct HalfMade;

impl Undo for HalfMade {
    fn undo(&self, ctx: &Ctx, made: &Resource, interrupted: bool) -> Undoing {
        let name = match made {
            Resource::Cluster { name, .. } => name,
            Resource::Relay { state_dir, .. } => return relay::undo(ctx, state_dir),
            Resource::Container { name } => return undo_container(name),
            Resource::Lab { .. } => return Undoing::Keep("not a cluster".to_owned()),
        };
        let view = ClusterView::look(ctx, name);
        let whole = matches!(view.state, ClusterState::Running | ClusterState::Degraded);
        if whole && !interrupted {
            return Undoing::Keep(format!(
                "the cluster stays for you to look at: `{}`",
                typed!("cluster logs --name {}", name)
            ));
        }
        match teardown::plan_rest(ctx, &destroy::settled(ctx, view)) {
            Ok(rest) if rest.steps.is_empty() => Undoing::Done,
            Ok(rest) => Undoing::Again(rest),
            Err(failure) => {
                let causes = failure.causes.join("; ");
                Undoing::Keep(format!("not undone: {}: {causes}", failure.what))
            }
        }
    }

    fn observe(&self, _: &Ctx, watch: &Watch) -> Observer {
        let Watch::ClusterNodes { name, state_dir } = watch;
        ClusterView::observer(name, state_dir)
    }
}

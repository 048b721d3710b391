//! Undoes what a stopped plan has made in part: a cluster, a relay, a
//! container, a lab, an air gap.

use crate::commands::cluster::{self, airgap, relay};
use crate::commands::lab;
use foundation::ctx::cluster::ClusterView;
use foundation::ctx::{Ctx, containers};
use foundation::failure::Failure;
use foundation::plan::{Plan, Resource, Step, Watch};
use foundation::run::{Observer, Undo, Undoing};

/// Undoes a container that a stopped `docker run` may have created; a running
/// one is kept.
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
            let why = "remove what the stopped step has left";
            plan.push(Step::run(why, ["docker", "rm", "-f", name]).unmakes(gone));
            Undoing::Do(plan)
        }
        _ => Undoing::Done,
    }
}

/// How the resources of all plans are undone.
pub(crate) struct HalfMade;

impl Undo for HalfMade {
    fn undo(&self, ctx: &Ctx, made: &Resource, interrupted: bool) -> Undoing {
        match made {
            Resource::Cluster { name, .. } => cluster::destroy::undo(ctx, name, interrupted),
            Resource::Relay { state_dir, .. } => relay::undo(ctx, state_dir),
            Resource::Container { name } => undo_container(name),
            Resource::Start { name, .. } => cluster::start::undo(name),
            Resource::Lab { dir } => lab::down::undo(ctx, dir),
            Resource::AirGap { name, .. } => airgap::undo(ctx, name),
        }
    }

    fn observe(&self, ctx: &Ctx, watch: &Watch) -> Observer {
        let Watch::ClusterNodes { name, state_dir } = watch;
        ClusterView::observer(ctx, name, state_dir)
    }

    fn explain(&self, ctx: &Ctx, made: &Resource, failure: Failure) -> Failure {
        match made {
            Resource::Cluster { name, .. } => cluster::explain::explained(ctx, name, failure),
            Resource::Relay { .. }
            | Resource::Container { .. }
            | Resource::Start { .. }
            | Resource::Lab { .. }
            | Resource::AirGap { .. } => failure,
        }
    }
}

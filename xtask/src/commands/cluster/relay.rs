//! The relay in the plans of `cluster`: it is started before the nodes, because
//! they pull while they are created, and ended after them.

use camino::Utf8Path;
use serde_json::{Value, json};

use crate::app::App;
use foundation::ctx::Ctx;
use foundation::ctx::cluster::ClusterView;
use foundation::ctx::own_executable::own_executable;
use foundation::ctx::relay::{RelaySpec, RelayView};
use foundation::failure::Result;
use foundation::plan::{Action, Effect, Plan, Step};
use foundation::run::Undoing;

/// The relay has no state to flush, so a short grace period is enough.
const GRACE_SECONDS: u64 = 2;

/// Starts the relay, through which nodes reach what listens on this machine's
/// loopback.
pub(in crate::commands) fn start(exe: &Utf8Path, relaying: &RelaySpec) -> Step {
    let mut argv = vec![exe.to_string()];
    argv.extend(relaying.args(false));
    Step::run(
        "forward the registries on 127.0.0.1 to the cluster's gateway until the cluster is destroyed",
        argv,
    )
    .deadline(30)
    .makes(relaying.resource())
}

/// Ends every relay of the cluster in that folder.
pub(in crate::commands) fn stop(ctx: &Ctx, state_dir: &Utf8Path) -> Vec<Step> {
    let running = RelayView::probe(ctx, state_dir).running;
    let step = |relay: &foundation::ctx::relay::Relay| {
        let what = format!("the relay at {}", relay.relaying.describe());
        let process = relay.process.identity(&ctx.host, what.clone());
        let action = Action::Stop {
            process,
            grace_seconds: GRACE_SECONDS,
        };
        Step::new(format!("stop {what}"), action)
            .effect(Effect::Destroys)
            .unmakes(relay.relaying.resource())
    };
    running.iter().map(step).collect()
}

pub(crate) fn undo(ctx: &Ctx, state_dir: &Utf8Path) -> Undoing {
    let mut plan = Plan::new("stop the relay");
    plan.steps = stop(ctx, state_dir);
    if plan.steps.is_empty() {
        Undoing::Done
    } else {
        Undoing::Do(plan)
    }
}

/// Restarts the relay of a running cluster if it was lost. Returns whether it
/// was.
pub(super) fn repair(app: &App<'_>, view: &ClusterView) -> Result<bool> {
    let relay = RelayView::of_cluster(&app.ctx, view);
    let Some(wanted) = relay.wanted.as_ref().filter(|_| relay.is_lost()) else {
        return Ok(false);
    };
    let mut plan = Plan::new(format!("repair cluster `{}`", view.name));
    plan.push(start(&own_executable()?, wanted));
    app.carry_out(&plan)?;
    Ok(true)
}

/// Returns the relay for `cluster status`; `null` if the cluster has none.
pub(super) fn to_json(relay: &RelayView) -> Value {
    let Some(relaying) = relay.served().or(relay.wanted.as_ref()) else {
        return Value::Null;
    };
    json!({
        "state": if relay.running.is_empty() { "down" } else { "running" },
        "address": relaying.cidr.gateway().map(|gateway| gateway.to_string()),
        "ports": relaying.ports,
        "pid": relay.running.first().map(|relay| relay.process.pid),
    })
}

//! `cluster stop`: ends the processes of a cluster and removes what only exists
//! in the kernel. Its folder with the disks stays, so that `cluster start`
//! continues.

use std::time::Duration;

use clap::Args;

use super::teardown::{check, first_part, look, network_steps, seen, stop_steps};
use super::{Which, destroy, existing_name, look_up, relay};
use crate::app::App;
use foundation::ctx::Ctx;
use foundation::ctx::cluster::{ClusterState, ClusterView, NodeState};
use foundation::ctx::leftovers::Leftovers;
use foundation::ctx::stopped;
use foundation::failure::{Failure, Result};
use foundation::plan::{Action, Effect, Guest, Plan, Resource, Step};
use foundation::run::Options;
use foundation::typed;
use foundation::ui;
use foundation::units::parse_duration;

#[derive(Debug, Args)]
pub struct StopArgs {
    #[command(flatten)]
    pub which: Which,
    /// Timeout for guests to shut down, such as 90s; 0 ends them at once
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = parse_duration)]
    pub timeout: Duration,
}

/// What processes leave when they end may only be visible in a later look.
const ROUNDS: usize = 6;

pub(super) fn run(app: &App<'_>, args: &StopArgs) -> Result<u8> {
    let ctx = &app.ctx;
    let name = existing_name(app, &args.which)?;
    check_can_stop(&look_up(app, &args.which)?)?;
    let _lock = super::lock(app, name.as_str(), "cluster stop")?;
    let view = ClusterView::probe(ctx, name.as_str());
    check_can_stop(&view)?;
    check(&view)?;
    if view.state == ClusterState::Stopped {
        ui::print(&format!("cluster {name} is already stopped\n"));
        return Ok(0);
    }
    if app.is_dry() {
        let found = look(ctx, &view, false);
        let mut plan = plan_stop(ctx, &view, &found, args.timeout);
        let unseen = found.unseen.iter();
        plan.notes
            .extend(unseen.map(|unseen| format!("not looked at: {}", unseen.in_one_line())));
        app.show(&plan)?;
        return Ok(0);
    }
    ctx.needs_linux("cluster stop")?;
    if !ctx.host.is_root() {
        foundation::run::become_root(app.ui)?;
    }
    stop(app, destroy::settled(ctx, view), args.timeout)
}

/// Runs plans until a look finds only the folder.
fn stop(app: &App<'_>, mut view: ClusterView, timeout: Duration) -> Result<u8> {
    let ctx = &app.ctx;
    let name = view.name.clone();
    for _ in 0..ROUNDS {
        check(&view)?;
        let found = look(ctx, &view, true);
        seen(&view, &found)?;
        if view.state == ClusterState::Stopped && network_steps(&found).is_empty() {
            for doubt in &found.doubts {
                app.ui.note(doubt);
            }
            ui::print(&format!(
                "stopped cluster {name}; its disks are kept\n  next: {}\n",
                typed!("cluster start --name {}", name)
            ));
            return Ok(0);
        }
        let plan = plan_stop(ctx, &view, &found, timeout);
        app.runner()
            .run(&first_part(&view, &plan), Options::default())?;
        view = ClusterView::probe(ctx, &name);
    }
    let mut failure = Failure::step(format!("not all of cluster `{name}` could be stopped"));
    let members = view.members.iter();
    failure.causes.extend(
        members.map(|member| format!("{} (pid {})", member.describe(), member.process.pid)),
    );
    failure.causes.extend(look(ctx, &view, true).describe());
    Err(failure.hint(typed!("cluster destroy --name {}", name)))
}

/// # Errors
/// For states in which nothing could be started again.
fn check_can_stop(view: &ClusterView) -> Result<()> {
    let name = &view.name;
    let why = match view.state {
        ClusterState::Partial => "it is half made and could not be started again",
        ClusterState::Foreign => "it was not made with QEMU",
        ClusterState::Creating => "it is being created",
        _ => return Ok(()),
    };
    Err(Failure::host(format!("cluster `{name}` cannot be stopped"))
        .cause(why)
        .hint(typed!("cluster status --name {}", name)))
}

fn plan_stop(ctx: &Ctx, view: &ClusterView, found: &Leftovers, timeout: Duration) -> Plan {
    let mut plan = Plan::new(format!("stop cluster `{}`", view.name));
    plan.notes.extend(found.doubts.iter().cloned());
    plan.steps.extend(shut_down(view, timeout));
    plan.steps.extend(stop_steps(ctx, view, |_| true));
    let mut relays = relay::stop(ctx, &view.state_dir);
    for step in &mut relays {
        // The entry in the ledger remains for `cluster start`.
        step.unmakes = None;
    }
    plan.steps.extend(relays);
    plan.steps.extend(network_steps(found));
    let note = Action::WriteFile {
        path: stopped::marker(&ctx.dirs.state, &view.name),
        contents: view.state_dir.to_string(),
        mode: 0o600,
    };
    let note = Step::new("remember that the cluster was stopped", note);
    let started = Resource::Start {
        name: view.name.clone(),
        state_dir: view.state_dir.clone(),
        cidr: view.cidr.map(|cidr| cidr.to_string()).unwrap_or_default(),
    };
    plan.push(note.unmakes(started).effect(Effect::Changes));
    plan
}

/// Launchers kill their QEMU, so guests have to be shut down before.
pub(super) fn shut_down(view: &ClusterView, timeout: Duration) -> Option<Step> {
    let is_up = |node: &&foundation::ctx::cluster::NodeView| {
        node.qemu.is_some() && node.state != NodeState::Paused
    };
    let guest = |node: &foundation::ctx::cluster::NodeView| Guest {
        node: node.name.clone(),
        monitor: node.monitor.clone(),
        console: node.console.clone(),
    };
    let guests: Vec<Guest> = view.nodes.iter().filter(is_up).map(guest).collect();
    if guests.is_empty() || timeout.is_zero() {
        return None;
    }
    let action = Action::ShutDown {
        guests,
        grace_seconds: timeout.as_secs(),
    };
    let step = Step::new(
        "shut the guests down, so that they finish their writes",
        action,
    );
    Some(step.as_root().deadline(timeout.as_secs() + 60))
}

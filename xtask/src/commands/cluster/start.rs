//! `cluster start`: starts what does not run of a cluster, through the hidden
//! commands that `talosctl cluster create` starts its processes with, and proves
//! the boot of each node that it started.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use clap::Args;
use talos::process::{Helper, Kind};

use super::teardown::{check, forget_stop, look, network_steps, seen, stop_steps};
use super::{Which, destroy, examine, existing_name, look_up, reboot, relay, status, stop};
use crate::app::App;
use foundation::ctx::Ctx;
use foundation::ctx::bridge::{self, Bridge};
use foundation::ctx::cluster::{ClusterState, ClusterView, ConsoleFollower, Member, NodeView};
use foundation::ctx::launches::Launches;
use foundation::ctx::leftovers::{Leftovers, Rule};
use foundation::ctx::own_executable::own_executable;
use foundation::ctx::processes;
use foundation::ctx::relay::RelayView;
use foundation::ctx::talosctl::Talosctl;
use foundation::failure::{Failure, Result};
use foundation::plan::{Action, Effect, Launch, Plan, Resource, Step};
use foundation::run::Undoing;
use foundation::typed;
use foundation::units::parse_duration;

#[derive(Debug, Args)]
pub struct StartArgs {
    #[command(flatten)]
    pub which: Which,
    /// Timeout for each node to become ready, such as 90s or 10m; a plain number is seconds
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_duration)]
    pub timeout: Duration,
    /// Print the status as JSON
    #[arg(long)]
    pub json: bool,
}

/// A node whose launcher is gone has this long to shut down before its QEMU ends.
const SHUT_DOWN: Duration = Duration::from_secs(30);

pub(super) fn run(app: &App<'_>, args: &StartArgs) -> Result<u8> {
    let ctx = &app.ctx;
    let name = existing_name(app, &args.which)?;
    check_can_start(&look_up(app, &args.which)?)?;
    let _lock = super::lock(app, name.as_str(), "cluster start")?;
    let view = examine(app, &args.which)?;
    check_can_start(&view)?;
    check(&view)?;
    if view.state == ClusterState::Running {
        app.ui.note(&format!("cluster `{name}` is already running"));
        return Ok(status::report(app, &view, args.json));
    }
    if !app.is_dry() {
        ctx.needs_linux("cluster start")?;
        if !ctx.host.is_root() {
            foundation::run::become_root(app.ui)?;
        }
    }
    let view = destroy::settled(ctx, view);
    let found = look(ctx, &view, false);
    if !app.is_dry() {
        seen(&view, &found)?;
    }
    let facts = Facts::gather(ctx, &view)?;
    let mut plan = plan_start(ctx, &view, &found, &facts);
    let unseen = found.unseen.iter();
    plan.notes
        .extend(unseen.map(|unseen| format!("not looked at: {}", unseen.in_one_line())));
    // From here on every new byte belongs to the boot that is asked for.
    let is_started = |node: &&NodeView| {
        facts
            .launches
            .nodes
            .iter()
            .any(|(name, _)| *name == node.name)
    };
    let started = view.nodes.iter().filter(is_started);
    let mut waiting: Vec<ConsoleFollower> = started
        .map(|node| ConsoleFollower::from_end(&node.name, &node.console))
        .collect();
    let asked = Instant::now();
    if !app.carry_out(&plan)? {
        return Ok(0);
    }
    let after = "after the start";
    reboot::prove(app, &view.name, &mut waiting, asked, args.timeout, after)?;
    let view = ClusterView::examine(ctx, name.as_str());
    Ok(status::report(app, &view, args.json))
}

/// # Errors
/// For states from which no cluster can be started.
fn check_can_start(view: &ClusterView) -> Result<()> {
    let name = &view.name;
    let failure = Failure::host(format!("cluster `{name}` cannot be started"));
    match view.state {
        ClusterState::Partial => {
            let problems = view.problems.iter();
            let failure = failure.cause("it is half made: its creation did not finish");
            let failure = problems.fold(failure, Failure::cause);
            Err(failure.hint(typed!("cluster destroy --name {}", name)))
        }
        ClusterState::Foreign => Err(failure
            .cause("it was not made with QEMU")
            .hint(typed!("cluster status --name {}", name))),
        ClusterState::Creating => Err(failure
            .cause("it is being created")
            .hint(typed!("cluster status --name {}", name))),
        // talosctl does as root what these files say.
        _ if !view.doubts.is_empty() => {
            let failure = view.doubts.iter().fold(failure, Failure::cause);
            Err(failure.hint(typed!("cluster destroy --name {}", name)))
        }
        _ => Ok(()),
    }
}

/// What is started was not there before: it stays, and can be stopped.
pub(crate) fn undo(name: &str) -> Undoing {
    let stop = typed!("cluster stop --name {}", name);
    Undoing::Keep(format!("what was started stays; `{stop}` stops it"))
}

/// What the plan needs to know of this machine.
struct Facts {
    launches: Launches,
    /// The bridge, if it exists.
    bridge: Option<Bridge>,
    /// Inodes of the running nodes' network namespaces.
    living: Vec<u64>,
    /// Host's ends of the running nodes' interfaces.
    veths: Vec<String>,
    relay: RelayView,
}

impl Facts {
    /// # Errors
    /// Everything that prevents a start, with a command.
    fn gather(ctx: &Ctx, view: &ClusterView) -> Result<Self> {
        let checkout = ctx.checkout()?;
        let talosctl = Talosctl::need(ctx, &checkout)?;
        let bridge = Bridge::probe(&view.bridge)?;
        if bridge.is_none() {
            check_network_is_free(view)?;
        }
        let helpers = view.expected_helpers.iter().copied();
        let helpers: Vec<Helper> = helpers
            .filter(|helper| !lives(view, *helper) || is_bound(*helper, bridge.as_ref()))
            .collect();
        let nodes: Vec<String> = dead_nodes(view).map(|node| node.name.clone()).collect();
        let living = living_namespaces(view)?;
        Ok(Self {
            launches: Launches::read(view, &talosctl, &checkout.dir, &helpers, &nodes)?,
            bridge,
            veths: bridge::veths_into(&living)?,
            living,
            relay: RelayView::of_cluster(ctx, view),
        })
    }
}

fn lives(view: &ClusterView, helper: Helper) -> bool {
    let mut members = view.members.iter();
    members
        .any(|member| matches!(member.kind, Kind::Helper { helper: found, .. } if found == helper))
}

/// dhcpd is bound to the bridge's interface number, so it ends with the bridge.
fn is_bound(helper: Helper, bridge: Option<&Bridge>) -> bool {
    helper == Helper::Dhcpd && bridge.is_none()
}

/// Nodes that do not run, or that would not survive a reboot.
fn dead_nodes(view: &ClusterView) -> impl Iterator<Item = &NodeView> {
    let nodes = view.nodes.iter();
    nodes.filter(|node| node.launcher.is_none() || node.qemu.is_none())
}

fn is_dead(view: &ClusterView, name: &str) -> bool {
    dead_nodes(view).any(|node| node.name == name)
}

/// Inodes of the network namespaces of nodes that run.
///
/// # Errors
/// If they cannot be read: then nothing tells what belongs to a running node.
fn living_namespaces(view: &ClusterView) -> Result<Vec<u64>> {
    let nodes = view.nodes.iter().filter(|node| !is_dead(view, &node.name));
    let qemus = nodes.filter_map(|node| node.qemu.as_ref());
    processes::network_namespaces(qemus).map_err(|error| {
        Failure::host("only root can read the network namespaces of the nodes that run")
            .cause(error)
            .hint("sudo -v")
    })
}

/// Another cluster may have taken the network since.
fn check_network_is_free(view: &ClusterView) -> Result<()> {
    let Some(cidr) = view.cidr else { return Ok(()) };
    let others = bridge::networks(|interface| interface != view.bridge && interface != "lo")?;
    let Some(other) = others.iter().find(|other| other.overlaps(cidr)) else {
        return Ok(());
    };
    Err(
        Failure::host(format!("cluster `{}` cannot be started", view.name))
            .cause(format!(
                "its network {cidr} is in use by an interface in {other}"
            ))
            .hint(typed!("cluster list")),
    )
}

fn plan_start(ctx: &Ctx, view: &ClusterView, found: &Leftovers, facts: &Facts) -> Plan {
    let nodes = facts.launches.nodes.len();
    let mut plan = Plan::new(format!(
        "start {nodes} node(s) and {} helper(s) of cluster `{}`",
        facts.launches.helpers.len(),
        view.name
    ));
    plan.notes.extend(found.doubts.iter().cloned());
    plan.steps.extend(end_orphans(ctx, view));
    plan.steps.extend(clear_network(view, found, facts));
    plan.steps.extend(raise_bridge(view, found, facts));
    if is_bound(Helper::Dhcpd, facts.bridge.as_ref()) {
        let is_dhcpd = |member: &Member| matches!(&member.kind, Kind::Helper { helper, .. } if *helper == Helper::Dhcpd);
        plan.steps.extend(stop_steps(ctx, view, is_dhcpd));
    }
    for launch in &facts.launches.helpers {
        plan.push(launch_step(format!("start {}", launch.stem), launch));
    }
    if let Some(wanted) = facts
        .relay
        .wanted
        .as_ref()
        .filter(|_| facts.relay.is_lost())
        && let Ok(exe) = own_executable()
    {
        plan.push(relay::start(&exe, wanted));
    }
    for (node, launch) in &facts.launches.nodes {
        plan.push(launch_step(format!("start {node}"), launch));
    }
    plan.steps.extend(forget_stop(ctx, view));
    let creates = |step: &&mut Step| step.effect == Effect::Creates && step.makes.is_none();
    if let Some(first) = plan.steps.iter_mut().find(creates) {
        first.makes = Some(Resource::Start {
            name: view.name.clone(),
            state_dir: view.state_dir.clone(),
            cidr: view.cidr.map(|cidr| cidr.to_string()).unwrap_or_default(),
        });
    }
    plan
}

fn launch_step(why: String, launch: &Launch) -> Step {
    let step = Step::new(why, Action::Launch(launch.clone()));
    step.as_root().effect(Effect::Creates)
}

/// A QEMU without a launcher ends at its next reboot, and a launcher without a
/// QEMU was told to keep the node off.
fn end_orphans(ctx: &Ctx, view: &ClusterView) -> Vec<Step> {
    let mut dead = view.clone();
    dead.nodes.retain(|node| is_dead(view, &node.name));
    let is_of_dead = |member: &Member| {
        let node = member.node.as_deref();
        node.is_some_and(|node| is_dead(view, node))
    };
    let mut steps: Vec<Step> = stop::shut_down(&dead, SHUT_DOWN).into_iter().collect();
    steps.extend(stop_steps(ctx, view, is_of_dead));
    steps
}

/// What earlier launchers of the nodes have left. The bridge and the rule for it
/// stay.
fn clear_network(view: &ClusterView, found: &Leftovers, facts: &Facts) -> Vec<Step> {
    let ips: Vec<IpAddr> = dead_nodes(view).filter_map(|node| node.ip).collect();
    let some_live = ips.len() < view.nodes.len();
    let mut going = if some_live {
        found.of_nodes(&ips, &facts.living)
    } else {
        found.clone()
    };
    going.bridge = None;
    going.rules.retain(|rule| !is_of_docker(rule));
    going.idle_chains.clear();
    going.idle_rules.clear();
    network_steps(&going)
}

fn is_of_docker(rule: &Rule) -> bool {
    rule.chain == "DOCKER-USER"
}

/// The bridge as the CNI plugin makes it for `cluster create`
/// (`pkg/provision/providers/vm/network_linux.go`).
fn raise_bridge(view: &ClusterView, found: &Leftovers, facts: &Facts) -> Vec<Step> {
    let bridge = view.bridge.as_str();
    let launches = &facts.launches;
    let run = |why: &str, argv: &[&str]| Step::run(why, argv.iter().copied()).as_root();
    let mut steps = Vec::new();
    if facts.bridge.is_none() {
        let argv = ["ip", "link", "add", "name", bridge, "type", "bridge"];
        steps.push(run("create the bridge", &argv).effect(Effect::Creates));
        let mtu = launches.mtu.to_string();
        let argv = ["ip", "link", "set", "dev", bridge, "mtu", &mtu, "up"];
        steps.push(run("bring the bridge up", &argv));
    }
    let has = |address: &str| {
        let networks = facts.bridge.iter().flat_map(|bridge| &bridge.networks);
        let network = talos::network::Cidr::containing(address);
        network.is_ok_and(|network| networks.clone().any(|found| *found == network))
    };
    for address in &launches.addresses {
        if has(address) || (facts.bridge.is_some() && address.contains(':')) {
            continue;
        }
        let mut argv = vec!["ip", "address", "add", address, "dev", bridge];
        if address.contains(':') {
            // Duplicate address detection would delay the helpers.
            argv.push("nodad");
        }
        steps.push(run("give the bridge its address", &argv));
    }
    if facts.bridge.is_none() {
        for veth in &facts.veths {
            let argv = ["ip", "link", "set", "dev", veth, "master", bridge];
            steps.push(run("attach a running node to the bridge", &argv));
        }
    }
    if !found.rules.iter().any(is_of_docker) {
        let chain = ["iptables", "-w", "-N", "DOCKER-USER"];
        let step = run("create Docker's chain, unless it exists", &chain);
        steps.push(step.also_ok(&[1]));
        let argv = [
            "iptables",
            "-w",
            "-I",
            "DOCKER-USER",
            "1",
            "-i",
            bridge,
            "-o",
            bridge,
            "-j",
            "ACCEPT",
        ];
        steps.push(run(
            "let nodes reach each other where Docker filters bridges",
            &argv,
        ));
    }
    steps
}

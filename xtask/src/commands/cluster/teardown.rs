//! Plans that take a cluster down: talosctl's own destroy, and ours for what
//! that cannot or did not do.

use camino::Utf8PathBuf;

use super::{contexts, relay};
use foundation::ctx::Ctx;
use foundation::ctx::abandoned;
use foundation::ctx::cluster::ClusterView;
use foundation::ctx::leftovers::{self, Leftovers, Rule};
use foundation::ctx::talosctl::Talosctl;
use foundation::plan::{Action, Effect, Plan, Resource, Step};
use foundation::record::ledger::Ledger;

/// A launcher ends its QEMU and takes its network down within this.
const GRACE_SECONDS: u64 = 20;

/// talosctl where the cluster is whole and a talosctl is there; else our own.
pub(super) fn first_plan(ctx: &Ctx, view: &ClusterView, found: &Leftovers) -> Plan {
    let whole = view.provisioner.is_some() && found.bridge.is_some() && !view.members.is_empty();
    let checkout = ctx.checkout().ok();
    match Talosctl::find(ctx, checkout.as_ref()).filter(|_| whole) {
        Some(talosctl) => plan_talosctl(ctx, view, found, &talosctl),
        None => plan_teardown(ctx, view, found),
    }
}

fn plan_talosctl(ctx: &Ctx, view: &ClusterView, found: &Leftovers, talosctl: &Talosctl) -> Plan {
    let mut plan = Plan::new(format!(
        "destroy cluster `{}` with talosctl {}",
        view.name, talosctl.version
    ));
    for file in &view.stale_pid_files {
        plan.push(remove(
            "drop a pid file that names no process of this cluster",
            file.clone(),
        ));
    }
    let mut argv = vec![talosctl.path.to_string()];
    argv.extend(
        talosctl
            .version
            .destroy_args()
            .iter()
            .map(ToString::to_string),
    );
    argv.push(format!("--name={}", view.name));
    if let Some(folder) = view.state_dir.parent() {
        argv.push(format!("--state={folder}"));
    }
    plan.push(
        Step::run(
            "stop nodes and helpers, take the bridge down, remove the folder",
            argv,
        )
        .as_root()
        .effect(Effect::Destroys)
        .deadline(180),
    );
    plan.steps.extend(relay::stop(ctx, &view.state_dir));
    // talosctl leaves them, and with the folder goes what tells whose they are.
    plan.steps
        .extend(found.fabric_rules.iter().map(remove_rule));
    plan.steps.extend(
        found
            .fabric_bridges
            .iter()
            .map(|bridge| remove_bridge(bridge)),
    );
    plan.steps.extend(idle_chain_steps(&found.idle_chains));
    contexts::add(&mut plan, ctx, view, Some(talosctl));
    plan
}

/// The next part of taking down whatever is there: of a `create` that was
/// stopped, or after talosctl's own destroy. Empty once nothing is left.
pub(super) fn plan_rest(ctx: &Ctx, view: &ClusterView) -> Plan {
    first_part(view, &plan_teardown(ctx, view, &look(ctx, view)))
}

/// Everything of the cluster that is there, without talosctl. Pieces may go
/// with earlier ones: what is gone already is success, and the caller looks.
pub(super) fn plan_teardown(ctx: &Ctx, view: &ClusterView, found: &Leftovers) -> Plan {
    let mut plan = Plan::new(format!("take down what is left of cluster `{}`", view.name));
    for member in &view.members {
        let process = member.process.identity(&ctx.host, member.describe());
        let why = format!("stop {}", process.what);
        plan.push(destroys(
            Step::new(
                why,
                Action::Stop {
                    process,
                    grace_seconds: GRACE_SECONDS,
                },
            )
            .as_root(),
        ));
    }
    plan.steps.extend(relay::stop(ctx, &view.state_dir));
    for name in &found.namespaces {
        plan.push(gone_is_fine(
            "remove a node's network namespace",
            &["ip", "netns", "delete", name],
        ));
    }
    plan.steps.extend(packet_filter_steps(found));
    let bridges = found.bridge.iter().chain(&found.fabric_bridges);
    plan.steps
        .extend(bridges.map(|bridge| remove_bridge(bridge)));
    plan.steps.extend(idle_chain_steps(&found.idle_chains));
    for file in &found.cache_files {
        plan.push(remove("remove a CNI cache file", file.clone()));
    }
    if view.has_folder {
        plan.push(remove(
            "remove the cluster's folder",
            view.state_dir.clone(),
        ));
    }
    if !plan.steps.is_empty() {
        contexts::add(&mut plan, ctx, view, None);
    }
    plan
}

fn destroys(step: Step) -> Step {
    step.effect(Effect::Destroys)
}

fn remove(why: &str, path: Utf8PathBuf) -> Step {
    destroys(Step::new(why, Action::Remove { path }).as_root())
}

fn remove_rule(rule: &Rule) -> Step {
    let mut argv = vec!["iptables", "-w", "-t", rule.table, "-D", &rule.chain];
    argv.extend(rule.spec.iter().map(String::as_str));
    gone_is_fine("remove a packet filter rule of the cluster", &argv)
}

fn remove_bridge(bridge: &str) -> Step {
    gone_is_fine(
        "take the bridge down",
        &["ip", "link", "delete", bridge, "type", "bridge"],
    )
}

/// Its exit code says only that it was gone before; looking decides.
fn gone_is_fine(why: &str, argv: &[&str]) -> Step {
    destroys(
        Step::run(why, argv.iter().copied())
            .as_root()
            .also_ok(&[1, 2]),
    )
}

/// Rules of the nodes and of a BGP fabric, and the nodes' NAT chains.
fn packet_filter_steps(found: &Leftovers) -> Vec<Step> {
    let rules = found.rules.iter().chain(&found.fabric_rules);
    let mut steps: Vec<Step> = rules.map(remove_rule).collect();
    for chain in &found.nat_chains {
        for verb in ["-F", "-X"] {
            steps.push(gone_is_fine(
                "remove a node's NAT chain",
                &["iptables", "-w", "-t", "nat", verb, chain],
            ));
        }
    }
    for chain in &found.empty_nat_chains {
        let argv = ["iptables", "-w", "-t", "nat", "-X", chain];
        steps.push(gone_is_fine(
            "remove a NAT chain that was never filled",
            &argv,
        ));
    }
    steps
}

/// The chains of the CNI firewall plugin once nobody uses them: talosctl
/// leaves them, and both make them anew when they need them.
fn idle_chain_steps(chains: &[String]) -> Vec<Step> {
    let mut steps = Vec::new();
    for chain in chains {
        if chain == "CNI-FORWARD" {
            steps.push(gone_is_fine(
                "remove the jump to the CNI firewall's idle chain",
                &[
                    "iptables",
                    "-w",
                    "-D",
                    "FORWARD",
                    "-m",
                    "comment",
                    "--comment",
                    "CNI firewall plugin rules",
                    "-j",
                    "CNI-FORWARD",
                ],
            ));
        }
        for verb in ["-F", "-X"] {
            steps.push(gone_is_fine(
                "remove an idle chain",
                &["iptables", "-w", verb, chain],
            ));
        }
    }
    steps
}

/// Stopping its processes takes most of the rest along: look again after that
/// rather than remove what has gone by itself.
pub(super) fn first_part(view: &ClusterView, plan: &Plan) -> Plan {
    let mut part = plan.clone();
    if !view.members.is_empty() && plan.steps.iter().any(is_stop) {
        part.steps.retain(is_stop);
    }
    part
}

fn is_stop(step: &Step) -> bool {
    matches!(step.action, Action::Stop { .. })
}

pub(super) fn look(ctx: &Ctx, view: &ClusterView) -> Leftovers {
    let root = ctx.root_prefix();
    let mut found = leftovers::look(&view.footprint(), &view.namespaces(), root);
    if let Some(since) = begun(ctx, view) {
        let others = abandoned::namespaces(since, root);
        found.namespaces.extend(others);
        found.namespaces.sort();
        found.namespaces.dedup();
    }
    found
}

/// When we began to make this cluster, by the ledger; milliseconds since 1970.
fn begun(ctx: &Ctx, view: &ClusterView) -> Option<u64> {
    let entries = Ledger::of(&ctx.dirs.state).live();
    entries
        .into_iter()
        .rev()
        .find_map(|entry| match &entry.resource {
            Resource::Cluster { name, .. }
                if *name == view.name && entry.boot_id == ctx.host.boot_id =>
            {
                Some(entry.at)
            }
            _ => None,
        })
}

//! Plans that remove a cluster: talosctl's own destroy, and steps for what it
//! cannot or did not remove.

use camino::Utf8PathBuf;

use super::{airgap, contexts, relay};
use foundation::ctx::Ctx;
use foundation::ctx::abandoned;
use foundation::ctx::cluster::{ClusterView, Member};
use foundation::ctx::ledger::{Entry, Ledger};
use foundation::ctx::leftovers::{self, Leftovers, Nodes, PacketFilter, Rule};
use foundation::ctx::owned_path::{self, OwnedPath};
use foundation::ctx::stopped;
use foundation::ctx::talosctl::Talosctl;
use foundation::failure::{Failure, Result};
use foundation::plan::{Action, Effect, Owned, Plan, Resource, Step};
use foundation::program;
use foundation::typed;
use talos::network::Cidr;
use talos::state::files::STATE_FILE;

/// A launcher ends its QEMU and removes its network within this time.
const GRACE_SECONDS: u64 = 20;

/// Returns talosctl's destroy if the cluster is complete and a talosctl exists;
/// otherwise this program's own steps. talosctl, as root, follows `state.yaml`,
/// so that file must be plausible.
pub(super) fn first_plan(ctx: &Ctx, view: &ClusterView, found: &Leftovers) -> Plan {
    let whole = view.provisioner.is_some() && found.bridge.is_some() && !view.members.is_empty();
    let whole = whole && view.doubts.is_empty() && found.doubts.is_empty();
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
            Owned::PidFile,
        ));
    }
    let state = view.state_dir.join(STATE_FILE);
    if let Ok(Some(sha256)) = owned_path::digest(&state) {
        let action = Action::RequireFile {
            path: state,
            sha256,
        };
        let why = "talosctl does as root what this file says";
        plan.push(Step::new(why, action).effect(Effect::Reads));
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
    plan.steps.extend(airgap::stop(ctx, &view.name));
    // talosctl leaves them, and the folder is needed to show whose they are.
    plan.steps
        .extend(found.fabric_rules.iter().map(remove_rule));
    plan.steps.extend(
        found
            .fabric_bridges
            .iter()
            .map(|bridge| remove_bridge(bridge)),
    );
    // Before any step that may fail: without the folder nothing shows which
    // entries belong to the cluster.
    contexts::add(&mut plan, ctx, &[view], Some(talosctl));
    contexts::add_own(&mut plan, ctx, &view.name);
    contexts::add_give_back(&mut plan, ctx);
    plan.steps.extend(forget_stop(ctx, view));
    plan.steps.extend(idle_chain_steps(found));
    plan
}

/// Returns the next part of removing what is left of a stopped `create`; empty
/// once nothing is left.
///
/// # Errors
/// When that cannot be determined, or what exists does not belong to a cluster.
pub(super) fn plan_rest(ctx: &Ctx, view: &ClusterView) -> Result<Plan> {
    check(view)?;
    let found = look(ctx, view, true);
    seen(view, &found)?;
    let mut plan = plan_teardown(ctx, view, &found);
    if plan.steps.is_empty() {
        contexts::add_give_back(&mut plan, ctx);
    }
    Ok(first_part(view, &plan))
}

/// Refuses to touch anything if the folder does not belong to this user, or if
/// the cluster could not be read completely.
///
/// # Errors
/// Exit code 3 with the reason.
pub(super) fn check(view: &ClusterView) -> Result<()> {
    if !view.unread.is_empty() {
        let what = format!("cannot tell what there is of cluster `{}`", view.name);
        let mut failure = Failure::host(what).hint(program!("ls -la {}", view.state_dir));
        failure.causes.clone_from(&view.unread);
        return Err(failure);
    }
    OwnedPath::open(&view.state_dir, Owned::Cluster, owned_path::user())
        .map(drop)
        .map_err(|error| {
            Failure::host(format!("`{}` is not touched", view.state_dir))
                .cause(error)
                .hint(program!("ls -ld {}", view.state_dir))
        })
}

/// Refuses to report that nothing is left if not everything could be looked at.
///
/// # Errors
/// Exit code 3 with what could not be.
pub(super) fn seen(view: &ClusterView, found: &Leftovers) -> Result<()> {
    let Some(first) = found.unseen.first() else {
        return Ok(());
    };
    let what = format!("cannot tell what is left of cluster `{}`", view.name);
    let mut failure = Failure::host(what);
    for unseen in &found.unseen {
        failure.causes.push(unseen.what.clone());
        failure.causes.extend(unseen.causes.iter().cloned());
    }
    failure.hint.clone_from(&first.hint);
    Err(failure)
}

/// Returns the removal of everything that exists of the cluster, without
/// talosctl. Steps may remove parts of later steps: a missing part is success,
/// and the caller looks again.
pub(super) fn plan_teardown(ctx: &Ctx, view: &ClusterView, found: &Leftovers) -> Plan {
    let mut plan = Plan::new(format!("take down what is left of cluster `{}`", view.name));
    plan.notes.extend(view.doubts.iter().cloned());
    plan.notes.extend(found.doubts.iter().cloned());
    plan.steps = teardown_steps(ctx, view, found);
    if !plan.steps.is_empty() {
        contexts::add(&mut plan, ctx, &[view], None);
        contexts::add_give_back(&mut plan, ctx);
    }
    contexts::add_own(&mut plan, ctx, &view.name);
    plan
}

/// The steps of [`plan_teardown`], without the user's own files.
pub(super) fn teardown_steps(ctx: &Ctx, view: &ClusterView, found: &Leftovers) -> Vec<Step> {
    let mut steps = stop_steps(ctx, view, |_| true);
    steps.extend(relay::stop(ctx, &view.state_dir));
    steps.extend(airgap::stop(ctx, &view.name));
    steps.extend(network_steps(found));
    let memory = found.shared_memory.iter().cloned();
    steps.extend(
        memory.map(|file| remove("remove the memory of a node", file, Owned::SharedMemory)),
    );
    steps.extend(forget_stop(ctx, view));
    if view.has_folder {
        steps.push(remove(
            "remove the cluster's folder",
            view.state_dir.clone(),
            Owned::Cluster,
        ));
    }
    steps
}

/// Stops the processes that `wanted` accepts, launchers first.
pub(super) fn stop_steps(
    ctx: &Ctx,
    view: &ClusterView,
    wanted: impl Fn(&Member) -> bool,
) -> Vec<Step> {
    let members = view.members.iter().filter(|member| wanted(member));
    let stop = |member: &Member| {
        let mut process = member.process.identity(&ctx.host, member.describe());
        process.cluster = Some(view.state_dir.clone());
        let why = format!("stop {}", process.what);
        let grace_seconds = GRACE_SECONDS;
        let action = Action::Stop {
            process,
            grace_seconds,
        };
        destroys(Step::new(why, action).as_root())
    };
    members.map(stop).collect()
}

/// Removes what only exists in the kernel, and the CNI cache about it.
pub(super) fn network_steps(found: &Leftovers) -> Vec<Step> {
    let delete = |name: &String| {
        let argv = ["ip", "netns", "delete", name];
        gone_is_fine("remove a node's network namespace", &argv)
    };
    let mut steps: Vec<Step> = found.namespaces.iter().map(delete).collect();
    steps.extend(packet_filter_steps(found));
    let bridges = found.bridge.iter().chain(&found.fabric_bridges);
    steps.extend(bridges.map(|bridge| remove_bridge(bridge)));
    steps.extend(idle_chain_steps(found));
    let files = found.cache_files.iter().cloned();
    steps.extend(files.map(|file| remove("remove a CNI cache file", file, Owned::CniCache)));
    steps
}

/// Removes the note that `cluster stop` has made.
pub(super) fn forget_stop(ctx: &Ctx, view: &ClusterView) -> Option<Step> {
    let path = stopped::marker(&ctx.dirs.state, &view.name);
    let why = "forget that the cluster was stopped";
    view.is_stopped
        .then(|| Step::new(why, Action::Remove { path }))
}

fn destroys(step: Step) -> Step {
    step.effect(Effect::Destroys)
}

fn remove(why: &str, path: Utf8PathBuf, owned: Owned) -> Step {
    destroys(Step::new(why, Action::RemoveOwned { path, owned }).as_root())
}

fn remove_rule(rule: &Rule) -> Step {
    let mut argv = vec!["iptables", "-w", "-t", rule.table, "-D", &rule.chain];
    argv.extend(rule.spec.iter().map(String::as_str));
    gone_is_fine("remove a packet filter rule of the cluster", &argv)
}

fn remove_bridge(bridge: &str) -> Step {
    let bridge = bridge.to_owned();
    destroys(Step::new("take the bridge down", Action::RemoveBridge { bridge }).as_root())
}

/// An exit code only shows that it was missing, or (4) that a chain is still in
/// use; a later look decides.
fn gone_is_fine(why: &str, argv: &[&str]) -> Step {
    destroys(
        Step::run(why, argv.iter().copied())
            .as_root()
            .also_ok(&[1, 2, 4]),
    )
}

/// Removes the rules of the nodes and of a BGP fabric, and the nodes' NAT
/// chains. Each rule separately, never a whole chain: rules that others have
/// added since stay.
fn packet_filter_steps(found: &Leftovers) -> Vec<Step> {
    let rules = found.rules.iter().chain(&found.fabric_rules);
    let rules = rules.chain(&found.nat_chain_rules);
    let mut steps: Vec<Step> = rules.map(remove_rule).collect();
    for (why, chains) in [
        ("remove a node's NAT chain", &found.nat_chains),
        (
            "remove a NAT chain that was never filled",
            &found.empty_nat_chains,
        ),
    ] {
        steps.extend(
            chains
                .iter()
                .map(|chain| gone_is_fine(why, &["iptables", "-w", "-t", "nat", "-X", chain])),
        );
    }
    steps
}

/// Removes the chains of the CNI firewall plugin that are no longer used:
/// talosctl leaves them, and both create them again on demand.
fn idle_chain_steps(found: &Leftovers) -> Vec<Step> {
    let mut steps: Vec<Step> = found.idle_rules.iter().map(remove_rule).collect();
    for step in &mut steps {
        "remove a jump of the CNI firewall's idle chains".clone_into(&mut step.why);
    }
    let chains = found.idle_chains.iter();
    steps.extend(
        chains.map(|chain| gone_is_fine("remove an idle chain", &["iptables", "-w", "-X", chain])),
    );
    steps
}

/// Stopping its processes removes most of the rest, so that part comes first
/// and the caller looks again.
pub(super) fn first_part(view: &ClusterView, plan: &Plan) -> Plan {
    let mut part = plan.clone();
    if !view.members.is_empty() && plan.steps.iter().any(is_stop) {
        part.steps.retain(is_stop);
    }
    part
}

pub(super) fn is_stop(step: &Step) -> bool {
    matches!(step.action, Action::Stop { .. } | Action::ShutDown { .. })
}

/// Looks for the cluster's remains on the host. They belong to this user if
/// there is a folder or a process of the cluster, if the ledger shows that it
/// was begun, or if the caller knows (`is_known`); otherwise a bridge of that
/// name belongs to something else.
pub(super) fn look(ctx: &Ctx, view: &ClusterView, is_known: bool) -> Leftovers {
    look_in(ctx, &PacketFilter::read(), view, is_known)
}

/// Like [`look`], with rules that were read before.
pub(super) fn look_in(
    ctx: &Ctx,
    tables: &PacketFilter,
    view: &ClusterView,
    is_known: bool,
) -> Leftovers {
    let since = begun(ctx, view);
    if !is_known && since.is_none() && !view.has_folder && view.members.is_empty() {
        return leftovers::find_unowned(&view.footprint());
    }
    let members: Vec<i32> = view
        .members
        .iter()
        .map(|member| member.process.pid)
        .collect();
    let nodes = Nodes {
        namespaces: view.namespaces(),
        processes: members,
    };
    let mut footprint = view.footprint();
    // The network that it was created with, if no state has it any more.
    let made = since.as_ref().and_then(|(_, cidr)| Cidr::parse(cidr).ok());
    footprint.cidr = footprint.cidr.or(made);
    let began = is_known || since.is_some();
    let mut found = leftovers::find_in(tables, &footprint, &nodes, began);
    if let Some((since, _)) = since {
        let others = abandoned::namespaces(since);
        found.namespaces.extend(others);
        found.namespaces.sort();
        found.namespaces.dedup();
    }
    found
}

/// Returns the network in the ledger.
pub(super) fn recorded_network(ctx: &Ctx, view: &ClusterView) -> Option<Cidr> {
    entries(ctx)
        .into_iter()
        .rev()
        .find_map(|entry| match entry.resource {
            Resource::Cluster {
                state_dir, cidr, ..
            }
            | Resource::Start {
                state_dir, cidr, ..
            } if state_dir == view.state_dir => Cidr::parse(&cidr).ok(),
            _ => None,
        })
}

/// Returns the ledger's entries. An unreadable ledger is `unread` in the view,
/// which stops a teardown.
fn entries(ctx: &Ctx) -> Vec<Entry> {
    Ledger::in_dir(&ctx.dirs.state).live().unwrap_or_default()
}

/// Returns entries of the ledger for a cluster of that name in another folder:
/// they are only named.
pub(super) fn foreign_entries(ctx: &Ctx, name: &str) -> Vec<String> {
    let dirs = ClusterView::state_dirs(ctx, name);
    let entries = entries(ctx);
    let foreign = entries.iter().filter_map(|entry| match &entry.resource {
        Resource::Cluster {
            name: other,
            state_dir,
            ..
        } if other == name && !dirs.contains(state_dir) => Some(state_dir),
        _ => None,
    });
    foreign
        .map(|dir| {
            format!(
                "the ledger also names cluster `{name}` in `{dir}`, which is not a cluster folder \
                 of yours: it stays as it is; `{}` drops the entry",
                typed!("doctor --fix")
            )
        })
        .collect()
}

/// Whether the ledger lists it: then it has to be looked for as root.
pub(super) fn is_begun(ctx: &Ctx, view: &ClusterView) -> bool {
    let entries = entries(ctx);
    entries.iter().any(|entry| match &entry.resource {
        Resource::Cluster { state_dir, .. } => *state_dir == view.state_dir,
        _ => false,
    })
}

/// Returns when this cluster was begun by the ledger, in milliseconds since
/// 1970, and its network.
fn begun(ctx: &Ctx, view: &ClusterView) -> Option<(u64, String)> {
    let entries = entries(ctx);
    entries
        .into_iter()
        .rev()
        .find_map(|entry| match &entry.resource {
            Resource::Cluster {
                name,
                state_dir,
                cidr,
                ..
            }
            | Resource::Start {
                name,
                state_dir,
                cidr,
            } if *name == view.name
                && *state_dir == view.state_dir
                && entry.boot_id == ctx.host.boot_id =>
            {
                Some((entry.at, cidr.clone()))
            }
            _ => None,
        })
}

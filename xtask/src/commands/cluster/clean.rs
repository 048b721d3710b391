//! `cluster clean`: removes what clusters left that are gone or half made. A
//! cluster's remains are its own by evidence: its folder, the ledger, its
//! processes, or a file of the CNI cache; a name alone is none.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use talos::names::{ClusterName, bridge_name};
use talos::process::identify;

use super::teardown::{check, is_stop, look_in, network_steps, recorded_network, teardown_steps};
use super::{contexts, destroy};
use crate::app::App;
use foundation::ctx::Ctx;
use foundation::ctx::cluster::{ClusterState, ClusterView, lock_name};
use foundation::ctx::ledger::Ledger;
use foundation::ctx::leftovers::{self, Leftovers, PacketFilter};
use foundation::ctx::{network, processes, shared_memory};
use foundation::failure::{Because, Exit, Failure, Result};
use foundation::plan::{Action, Effect, OwnedEntry, Plan, Resource, Step};
use foundation::record::lock::{self, Lock};
use foundation::run::Options;
use foundation::typed;
use foundation::ui;

#[derive(Debug, Args)]
pub struct CleanArgs {
    /// Also remove clusters that `cluster stop` stopped, with their disks
    #[arg(long)]
    pub stopped: bool,
}

/// What processes leave while they end may show only when looked at again.
const ROUNDS: usize = 6;

pub(super) fn run(app: &App<'_>, args: &CleanArgs) -> Result<u8> {
    let ctx = &app.ctx;
    if !app.is_dry() {
        ctx.needs_linux("cluster clean")?;
        // Without root neither rules nor namespaces can be seen.
        if !ctx.host.is_root() {
            foundation::run::become_root(app.ui)?;
        }
    }
    let mess = Mess::look(ctx, args.stopped)?;
    let plan = mess.plan(ctx);
    if app.is_dry() {
        app.show(&plan)?;
        return Ok(0);
    }
    mess.check()?;
    if plan.steps.is_empty() && !mess.has_entries(ctx)? {
        mess.doubts().iter().for_each(|doubt| app.ui.note(doubt));
        ui::print("no cluster has left anything\n");
        return Ok(0);
    }
    if !plan.steps.is_empty() {
        let human = foundation::plan::render_human(&plan);
        human.lines().for_each(|line| app.ui.progress(line));
        may_clean(app, &plan)?;
    }
    let locks = take_locks(ctx, &mess)?;
    let names = mess.remains.iter().map(|(view, _)| &view.name);
    let busy: Vec<&String> = names.filter(|name| !locks.contains_key(*name)).collect();
    clean(app, args.stopped, &locks, &busy)
}

/// Removes everything only after a confirmation.
fn may_clean(app: &App<'_>, plan: &Plan) -> Result<()> {
    let why = match app.ui.confirm(&format!("{}?", plan.title)) {
        Some(true) => return Ok(()),
        Some(false) => "the answer was not `y`",
        None => "there is no terminal to ask on",
    };
    Err(Failure::usage("nothing was removed")
        .cause(why)
        .hint(typed!("cluster clean --yes")))
}

/// Runs plans until a look finds nothing.
fn clean(
    app: &App<'_>,
    stopped: bool,
    locks: &BTreeMap<String, Lock>,
    busy: &[&String],
) -> Result<u8> {
    let ctx = &app.ctx;
    let mut cleaned: Vec<String> = Vec::new();
    for _ in 0..ROUNDS {
        let mut mess = Mess::look(ctx, stopped)?;
        // A cluster that has died since was neither shown nor locked.
        mess.remains
            .retain(|(view, _)| locks.contains_key(&view.name));
        mess.check()?;
        for (view, _) in &mess.remains {
            if !cleaned.contains(&view.name) {
                cleaned.push(view.name.clone());
            }
        }
        let mut plan = mess.plan(ctx);
        if plan.steps.is_empty() {
            for (view, _) in &mess.remains {
                destroy::forget(app, view)?;
            }
            let mut kept = mess.doubts();
            let busy = busy.iter();
            kept.extend(busy.map(|name| format!("cluster `{name}` is in use by another run")));
            report(app, &cleaned, &kept);
            return Ok(0);
        }
        if plan.steps.iter().any(is_stop) {
            // Stopping its processes takes most of the rest along.
            plan.steps.retain(is_stop);
        }
        app.runner().run(&plan, Options::default())?;
    }
    let mess = Mess::look(ctx, stopped)?;
    let mut failure = Failure::step("not everything could be removed");
    failure.causes = mess.describe();
    Err(failure.hint(typed!("cluster clean --dry-run")))
}

fn report(app: &App<'_>, cleaned: &[String], kept: &[String]) {
    let names = match cleaned {
        [] => "removed what no cluster uses".to_owned(),
        names => format!("removed what was left of {}", names.join(", ")),
    };
    for doubt in kept {
        app.ui.note(doubt);
    }
    let rest = if kept.is_empty() {
        "nothing is left"
    } else {
        "except for what could not be shown to belong to a cluster of yours"
    };
    ui::print(&format!("{names}; {rest}\n"));
}

/// The locks of all clusters that no other run uses, by name.
fn take_locks(ctx: &Ctx, mess: &Mess) -> Result<BTreeMap<String, Lock>> {
    let mut locks = BTreeMap::new();
    for (view, _) in &mess.remains {
        match lock::take(&ctx.dirs.state, &lock_name(&view.name), "cluster clean") {
            Ok(lock) => drop(locks.insert(view.name.clone(), lock)),
            Err(failure) if failure.exit == Exit::HostNotReady => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(locks)
}

/// What is left of clusters.
struct Mess {
    remains: Vec<(ClusterView, Leftovers)>,
    /// Chains that no cluster uses, and rules for bridges that do not exist.
    idle: Leftovers,
    /// Bridges by talosctl's naming scheme that nothing shows to be this user's.
    strange: Vec<String>,
    /// Files of nodes' memory, likewise.
    memory: Vec<Utf8PathBuf>,
}

impl Mess {
    fn look(ctx: &Ctx, stopped: bool) -> Result<Self> {
        let known = known_names(ctx)?;
        let views: Vec<ClusterView> = known
            .iter()
            .map(|name| ClusterView::probe(ctx, name))
            .collect();
        let tables = PacketFilter::read();
        let mut remains = Vec::new();
        for mut view in views.iter().cloned() {
            let is_left = match view.state {
                ClusterState::Absent | ClusterState::Partial | ClusterState::Stale => true,
                ClusterState::Stopped => stopped,
                ClusterState::Creating
                | ClusterState::Running
                | ClusterState::Degraded
                | ClusterState::Foreign => false,
            };
            if is_left {
                view.cidr = view.cidr.or_else(|| recorded_network(ctx, &view));
                let found = look_in(ctx, &tables, &view, true);
                remains.push((view, found));
            }
        }
        let are_used = views.iter().any(|view| {
            matches!(
                view.state,
                ClusterState::Creating | ClusterState::Running | ClusterState::Degraded
            )
        });
        let bridges: Vec<String> = known.iter().map(|name| bridge_name(name)).collect();
        let mut idle = tables.dangling(&bridges);
        if !are_used {
            let rules = std::mem::replace(&mut idle, tables.idle()).rules;
            idle.rules.extend(rules);
        }
        let mut memory =
            shared_memory::find().because(|| "cannot look for the memory of nodes".to_owned())?;
        memory.retain(|path| {
            let cluster = path.file_name().and_then(shared_memory::cluster_in);
            cluster.is_some_and(|name| known.iter().all(|known| known != name))
        });
        let mut strange = network::bridges();
        strange.retain(|bridge| !bridges.contains(bridge));
        Ok(Self {
            remains,
            idle,
            strange,
            memory,
        })
    }

    /// Refuses to say what is left where not everything could be looked at.
    fn check(&self) -> Result<()> {
        for (view, found) in &self.remains {
            check(view)?;
            super::teardown::seen(view, found)?;
        }
        self.idle.unseen.first().cloned().map_or(Ok(()), Err)
    }

    fn plan(&self, ctx: &Ctx) -> Plan {
        let mut plan = Plan::default();
        let mut names: Vec<&str> = Vec::new();
        for (view, found) in &self.remains {
            let steps = teardown_steps(ctx, view, found);
            if !steps.is_empty() {
                names.push(&view.name);
            }
            plan.steps.extend(steps);
        }
        plan.steps.extend(network_steps(&self.idle));
        remove_at_once(&mut plan);
        let views: Vec<&ClusterView> = self.remains.iter().map(|(view, _)| view).collect();
        contexts::add(&mut plan, ctx, &views, None);
        for view in &views {
            contexts::add_own(&mut plan, ctx, &view.name);
        }
        if !plan.steps.is_empty() {
            contexts::add_give_back(&mut plan, ctx);
        }
        plan.title = match names.as_slice() {
            [] => "remove what no cluster uses".to_owned(),
            names => format!("remove what is left of {}", names.join(", ")),
        };
        plan.notes.extend(self.doubts());
        let unseen = self.remains.iter().flat_map(|(_, found)| &found.unseen);
        let unseen = unseen.chain(&self.idle.unseen);
        let mut unseen: Vec<String> = unseen
            .map(|unseen| format!("not looked at: {}", unseen.in_one_line()))
            .collect();
        unseen.dedup();
        plan.notes.extend(unseen);
        plan
    }

    /// What is kept, and why.
    fn doubts(&self) -> Vec<String> {
        let found = self.remains.iter().flat_map(|(_, found)| &found.doubts);
        let mut doubts: Vec<String> = found.cloned().collect();
        let bridges = self.strange.iter().map(|bridge| format!("bridge {bridge}"));
        let memory = self.memory.iter().map(Utf8PathBuf::to_string);
        doubts.extend(bridges.chain(memory).map(|what| {
            format!("{what} is kept: no folder, ledger or CNI cache shows that it is yours")
        }));
        doubts
    }

    fn describe(&self) -> Vec<String> {
        let of_one = |(view, found): &(ClusterView, Leftovers)| {
            let mut lines: Vec<String> = view
                .members
                .iter()
                .map(|member| format!("{} (pid {})", member.describe(), member.process.pid))
                .collect();
            lines.extend(found.describe());
            lines.extend(view.has_folder.then(|| view.state_dir.to_string()));
            lines
        };
        let mut lines: Vec<String> = self.remains.iter().flat_map(of_one).collect();
        lines.extend(self.idle.describe());
        lines
    }

    /// Whether the ledger names any of the clusters.
    fn has_entries(&self, ctx: &Ctx) -> Result<bool> {
        let entries = Ledger::in_dir(&ctx.dirs.state).live()?;
        let is_of = |resource: &Resource, dir: &Utf8Path| match resource {
            Resource::Cluster { state_dir, .. }
            | Resource::Start { state_dir, .. }
            | Resource::Relay { state_dir, .. } => state_dir == dir,
            _ => false,
        };
        Ok(self.remains.iter().any(|(view, _)| {
            let mut entries = entries.iter();
            entries.any(|entry| is_of(&entry.resource, &view.state_dir))
        }))
    }
}

/// One step for all folders and files, because as another user each step as root starts
/// a helper; and each other step once, such as the removal of a chain that several
/// clusters used.
fn remove_at_once(plan: &mut Plan) {
    let mut paths = Vec::new();
    let mut steps: Vec<Step> = Vec::new();
    for step in plan.steps.drain(..) {
        match step.action {
            Action::RemoveOwned { path, owned } => paths.push(OwnedEntry { path, owned }),
            _ if steps.contains(&step) => {}
            _ => steps.push(step),
        }
    }
    plan.steps = steps;
    if !paths.is_empty() {
        let why = "remove folders and files of the clusters";
        let step = Step::new(why, Action::RemoveAllOwned { paths });
        plan.push(step.as_root().effect(Effect::Destroys));
    }
}

/// The names of all clusters of which this user has a folder, an entry in the
/// ledger, a process or a file of the CNI cache.
fn known_names(ctx: &Ctx) -> Result<Vec<String>> {
    let mut names = ClusterView::try_names(ctx)?;
    let homes = ctx.dirs.cluster_homes();
    for entry in Ledger::in_dir(&ctx.dirs.state).live()? {
        if let Resource::Cluster {
            name, state_dir, ..
        }
        | Resource::Start {
            name, state_dir, ..
        } = entry.resource
            && ClusterView::state_dirs(ctx, &name).contains(&state_dir)
        {
            names.push(name);
        }
    }
    for home in &homes {
        names.extend(leftovers::cached_networks(&home.join("cni/cache/results"))?);
    }
    for process in processes::scan() {
        let stdout = process.stdout_path();
        let stdout = stdout.as_ref().map(|path| path.as_str());
        let known = identify(&process.argv, stdout);
        let Some(dir) = known.and_then(|known| known.state_dir) else {
            continue;
        };
        let dir = Utf8Path::new(&dir);
        let is_ours = homes
            .iter()
            .any(|home| dir.parent() == Some(&home.join("clusters")));
        names.extend(dir.file_name().filter(|_| is_ours).map(str::to_owned));
    }
    names.retain(|name| ClusterName::existing(name).is_ok());
    names.sort();
    names.dedup();
    Ok(names)
}

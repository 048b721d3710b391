//! `cluster destroy`: talosctl's own for a healthy cluster; otherwise what is
//! left is removed piece by piece, after each piece is shown to belong to this
//! cluster. Verifies at the end that nothing is left.

use std::convert::Infallible;
use std::time::Duration;

use clap::Args;

use super::teardown::{
    self, check, first_part, first_plan, foreign_entries, is_begun, look, plan_teardown, seen,
};
use super::{Which, contexts};
use crate::app::App;
use foundation::ctx::Ctx;
use foundation::ctx::cluster::{ClusterState, ClusterView, NodeView};
use foundation::failure::{Exit, Failure, Result};
use foundation::plan::{Plan, Resource};
use foundation::program;
use foundation::record::lock;
use foundation::run::Options;
use foundation::run::Undoing;
use foundation::typed;
use foundation::ui;
use foundation::units::human_span;
use foundation::wait::Wait;

#[derive(Debug, Args)]
pub struct DestroyArgs {
    #[command(flatten)]
    pub which: Which,
}

/// A launcher that has no QEMU by then will never have one.
const SETTLE: Duration = Duration::from_secs(20);
/// How often the launchers are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// What a launcher leaves when it ends may only be visible in a later look.
const ROUNDS: usize = 4;

pub(super) fn run(app: &App<'_>, args: &DestroyArgs) -> Result<u8> {
    destroy(app, args, true)
}

/// Does not ask: for a cluster that this run created.
pub(super) fn run_unasked(app: &App<'_>, args: &DestroyArgs) -> Result<u8> {
    destroy(app, args, false)
}

fn destroy(app: &App<'_>, args: &DestroyArgs, asks: bool) -> Result<u8> {
    let ctx = &app.ctx;
    let name = super::existing_name(app, &args.which)?;
    let view = ClusterView::probe(ctx, name.as_str());
    if view
        .provisioner
        .as_deref()
        .is_some_and(|provisioner| provisioner != "qemu")
    {
        return Err(
            Failure::usage(format!("cluster `{name}` was not made with QEMU")).hint(program!(
                "talosctl cluster destroy --name {} --provisioner {}",
                name,
                view.provisioner.unwrap_or_default()
            )),
        );
    }
    check(&view)?;
    let foreign = foreign_entries(ctx, name.as_str());
    if app.is_dry() {
        let found = look(ctx, &view, false);
        let mut plan = first_plan(ctx, &view, &found);
        plan.notes.extend(foreign);
        let unseen = found.unseen.iter();
        plan.notes.extend(unseen.map(|unseen| {
            let causes = unseen.causes.join("; ");
            format!("not looked at: {}: {causes}", unseen.what)
        }));
        app.show(&plan)?;
        return Ok(0);
    }
    ctx.needs_linux("cluster destroy")?;
    let _lock = lock::take_soon(
        &ctx.dirs.state,
        &format!("cluster-{name}"),
        "cluster destroy",
    )?;
    for entry in foreign {
        app.ui.note(&entry);
    }
    let is_there = !view.members.is_empty() || view.has_folder;
    if is_there && asks {
        may_destroy(app, &view)?;
    }
    if !ctx.host.is_root() && (is_there || is_begun(ctx, &view)) {
        foundation::run::become_root(app.ui)?;
    }
    let view = settled(ctx, view);
    check(&view)?;
    let found = look(ctx, &view, false);
    seen(&view, &found)?;
    let plan = first_plan(ctx, &view, &found);
    if plan.steps.is_empty() {
        for doubt in &found.doubts {
            app.ui.note(doubt);
        }
        forget(app, &view)?;
        ui::print(&format!("no cluster {name}: nothing to do\n"));
        return Ok(0);
    }
    finish(app, &view, &plan)
}

/// Destroys a cluster of an earlier run only after a confirmation.
fn may_destroy(app: &App<'_>, view: &ClusterView) -> Result<()> {
    let nodes = match view.nodes.len() {
        1 => "1 node".to_owned(),
        count => format!("{count} nodes"),
    };
    let age = view.age().map_or_else(String::new, |age| {
        format!(", created {} ago", human_span(age.as_secs()))
    });
    let what = format!("cluster `{}` ({nodes}{age})", view.name);
    match app.ui.confirm(&format!("destroy {what}?")) {
        Some(true) => Ok(()),
        Some(false) => Err(Failure::usage(format!("{what} was not destroyed"))
            .cause("the answer was not `y`")
            .hint(typed!("cluster destroy --name {} --yes", view.name))),
        None => Err(Failure::usage(format!("{what} was not destroyed"))
            .cause("there is no terminal to ask on")
            .hint(typed!("cluster destroy --name {} --yes", view.name))),
    }
}

/// Waits until no launcher is setting up a node's network: a launcher that is
/// stopped at that point leaves a namespace that nothing connects with this
/// cluster.
pub(super) fn settled(ctx: &Ctx, mut view: ClusterView) -> ClusterView {
    let is_settled = |view: &ClusterView| !view.nodes.iter().any(NodeView::is_being_launched);
    if !is_settled(&view) {
        let _ = Wait::default().within(SETTLE).look_every(LOOK, || {
            view = ClusterView::probe(ctx, &view.name);
            Ok::<_, Infallible>(is_settled(&view).then_some(()))
        });
    }
    view
}

/// Runs the plan, and plans for what further looks find.
fn finish(app: &App<'_>, view: &ClusterView, plan: &Plan) -> Result<u8> {
    let ctx = &app.ctx;
    let mut result = app
        .runner()
        .run(&first_part(view, plan), Options::default());
    // The doubts would be lost with the folder.
    let mut doubts = view.doubts.clone();
    for _ in 0..ROUNDS {
        if matches!(&result, Err(failure) if failure.exit == Exit::Interrupted) {
            return result.map(|()| 0);
        }
        let now = ClusterView::probe(ctx, &view.name);
        check(&now)?;
        let found = look(ctx, &now, true);
        seen(&now, &found)?;
        let rest = plan_teardown(ctx, &now, &found);
        if rest.steps.is_empty() {
            forget(app, view)?;
            doubts.extend(found.doubts);
            doubts.extend(contexts::remaining(ctx, view));
            gone(app, view, &doubts);
            return Ok(0);
        }
        if let Err(failure) = &result {
            app.ui.note(&format!(
                "{}; taking down what is left piece by piece",
                failure.what
            ));
        }
        result = app
            .runner()
            .run(&first_part(&now, &rest), Options::default());
    }
    let now = ClusterView::probe(ctx, &view.name);
    let mut failure = Failure::step(format!(
        "not all of cluster `{}` could be removed",
        view.name
    ));
    failure.causes.extend(
        now.members
            .iter()
            .map(|member| format!("{} (pid {})", member.describe(), member.process.pid)),
    );
    failure.causes.extend(look(ctx, &now, true).describe());
    failure
        .causes
        .extend(now.has_folder.then(|| now.state_dir.to_string()));
    Err(match result {
        Err(error) => failure.cause(error.what),
        Ok(()) => failure,
    })
}

fn gone(app: &App<'_>, view: &ClusterView, doubts: &[String]) {
    if doubts.is_empty() {
        ui::print(&format!(
            "destroyed cluster {}; nothing is left\n",
            view.name
        ));
        return;
    }
    for doubt in doubts {
        app.ui.note(doubt);
    }
    ui::print(&format!(
        "destroyed cluster {}, except for what could not be shown to belong to it\n",
        view.name
    ));
}

/// Removes the entries from the ledger, after a look has shown that the cluster
/// is gone.
pub(super) fn forget(app: &App<'_>, view: &ClusterView) -> Result<()> {
    app.runner().forget(&Resource::Cluster {
        name: view.name.clone(),
        state_dir: view.state_dir.clone(),
        bridge: view.bridge.clone(),
        cidr: view.cidr.map(|cidr| cidr.to_string()).unwrap_or_default(),
    })?;
    app.runner().forget(&Resource::Start {
        name: view.name.clone(),
        state_dir: view.state_dir.clone(),
        cidr: String::new(),
    })?;
    app.runner().forget(&Resource::Relay {
        state_dir: view.state_dir.clone(),
        cidr: String::new(),
        ports: Vec::new(),
    })
}

/// Returns what removes a cluster whose `create` was stopped.
pub(crate) fn undo(ctx: &Ctx, name: &str, interrupted: bool) -> Undoing {
    let view = ClusterView::probe(ctx, name);
    let whole = matches!(view.state, ClusterState::Running | ClusterState::Degraded);
    if whole && !interrupted {
        return Undoing::Keep(format!(
            "the cluster stays for you to look at: `{}`",
            typed!("cluster logs --name {}", name)
        ));
    }
    match teardown::plan_rest(ctx, &settled(ctx, view)) {
        Ok(rest) if rest.steps.is_empty() => Undoing::Done,
        Ok(rest) => Undoing::Again(rest),
        Err(failure) => {
            let causes = failure.causes.join("; ");
            Undoing::Keep(format!("not undone: {}: {causes}", failure.what))
        }
    }
}

//! `lab down`, and the undo of a start that was stopped: the kernel's kill of
//! a PID namespace, loop devices, the folder. Then look that nothing is left.

use camino::{Utf8Path, Utf8PathBuf};

use super::folder::LabFolder;
use super::locks::LockRequest;
use super::state::{self, Lab, State};
use crate::app::App;
use foundation::ctx::Ctx;
use foundation::ctx::ledger::Ledger;
use foundation::ctx::processes;
use foundation::failure::{Failure, Result};
use foundation::plan::{Action, Effect, Owned, Plan, Resource, Step};
use foundation::run::Options;
use foundation::run::Undoing;
use foundation::typed;
use foundation::ui;

/// Init ends at the first TERM; an init that is still starting ignores it, as
/// the first process of a namespace does.
const GRACE_SECONDS: u64 = 2;

/// # Errors
/// When something of the lab cannot be removed.
pub(super) fn run(app: &App<'_>, lab_folder: &LabFolder) -> Result<()> {
    check_processes()?;
    if app.is_dry() {
        return app.show(&plan(app, lab_folder));
    }
    if plan(app, lab_folder).steps.is_empty() {
        ui::print("no lab: nothing to take down\n");
        return Ok(());
    }
    let _lock = LockRequest::lab(app, lab_folder, "lab down").take()?;
    take_down(app, lab_folder)?;
    ui::print(
        "the lab is down: no process, mount, link or file of it is left; what was built stays\n",
    );
    Ok(())
}

/// Run the plan and look. The caller holds the lab's lock.
pub(super) fn take_down(app: &App<'_>, lab_folder: &LabFolder) -> Result<()> {
    lab_folder.check_ours()?;
    check_processes()?;
    app.runner()
        .run(&plan(app, lab_folder), Options::default())?;
    let left = left(lab_folder);
    if left.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::step("something of the lab is left").hint(typed!("lab down"));
    failure.causes = left;
    Err(failure)
}

/// A lab whose processes cannot be seen is not one without processes.
fn check_processes() -> Result<()> {
    processes::try_scan().map(drop).map_err(|error| {
        Failure::host("cannot tell what runs in the lab")
            .cause(error)
            .hint("mount | grep ' /proc '")
    })
}

pub(super) fn plan(app: &App<'_>, lab_folder: &LabFolder) -> Plan {
    plan_down(&app.ctx, lab_folder)
}

/// Network namespace, bridges, taps, rules and mounts need no step: they go
/// with the last process of their namespace.
fn plan_down(ctx: &Ctx, lab_folder: &LabFolder) -> Plan {
    let lab = Lab::probe(lab_folder);
    let mut plan = Plan::new("take the lab down");
    let ending = |process: &foundation::ctx::processes::Process, why: &str, what: &str| {
        let process = process.identity(&ctx.host, what);
        let action = Action::Stop {
            process,
            grace_seconds: GRACE_SECONDS,
        };
        Step::new(why, action).as_root().effect(Effect::Destroys)
    };
    if let Some(init) = &lab.init {
        let why = "end the lab's init, and with it everything in its namespaces";
        plan.push(ending(init, why, "the lab's init"));
    }
    for helper in &lab.helpers {
        plan.push(ending(
            helper,
            "end what was starting the lab, or holds its namespaces",
            &helper.comm,
        ));
    }
    for device in state::loops(&lab_folder.dir) {
        // One that went with its mount is "no such device": looked at afterwards.
        let why = "detach a loop device on a file of the lab: no namespace holds these";
        let step = Step::run(why, ["losetup", "-d", device.as_str()]);
        plan.push(step.as_root().effect(Effect::Destroys).also_ok(&[1]));
    }
    let cgroups = state::cgroups(lab_folder);
    if !cgroups.is_empty() {
        plan.push(remove_cgroups(&cgroups));
    }
    let resource = Resource::Lab {
        dir: lab_folder.dir.clone(),
    };
    let is_in_ledger = || {
        Ledger::in_dir(&ctx.dirs.state)
            .live()
            // What cannot be read stops the plan when it is carried out.
            .map_or(true, |entries| {
                let mut entries = entries.iter();
                entries.any(|entry| entry.resource.key() == resource.key())
            })
    };
    if lab.state != State::Absent || is_in_ledger() {
        let action = Action::RemoveOwned {
            path: lab_folder.dir.clone(),
            owned: Owned::Lab,
        };
        // Not ours where sudo made what is in it.
        let step = Step::new("remove the lab's folder", action);
        let step = if lab.state == State::Absent {
            step
        } else {
            step.as_root()
        };
        plan.push(step.unmakes(resource));
    }
    plan
}

fn remove_cgroups(folders: &[Utf8PathBuf]) -> Step {
    let mut argv: Vec<&str> = vec!["find"];
    argv.extend(folders.iter().map(|path| path.as_str()));
    argv.extend(["-depth", "-type", "d", "-exec", "rmdir", "{}", "+"]);
    let why = "remove the cgroup folders of containers that are gone";
    // Some go with their last process; looked at afterwards.
    Step::run(why, argv)
        .as_root()
        .effect(Effect::Destroys)
        .also_ok(&[1])
}

/// What is still found after the plan, as text.
fn left(lab_folder: &LabFolder) -> Vec<String> {
    let lab = Lab::probe(lab_folder);
    let processes = lab.init.iter().chain(&lab.helpers);
    let mut left: Vec<String> = processes
        .map(|process| format!("process {} ({})", process.pid, process.argv.join(" ")))
        .collect();
    left.extend(state::loops(&lab_folder.dir));
    left.extend(
        state::cgroups(lab_folder)
            .into_iter()
            .map(Utf8PathBuf::into_string),
    );
    if std::fs::symlink_metadata(&lab_folder.dir).is_ok() {
        left.push(lab_folder.dir.to_string());
    }
    left
}

/// A lab that was stopped while it started is taken down the same way.
pub(crate) fn undo(ctx: &Ctx, dir: &Utf8Path) -> Undoing {
    let lab_folder = LabFolder {
        dir: dir.to_owned(),
        parts: ctx.dirs.cache.join("parts"),
        shared_parent: false,
    };
    Undoing::Do(plan_down(ctx, &lab_folder))
}

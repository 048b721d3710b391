//! The lab: real talosctl, QEMU and CNI in PID, mount and network namespaces of
//! our own, with a stand-in guest in the nodes. `--lab` runs any other command
//! in there; those commands know nothing of it, because the lab's folder holds
//! a small checkout with the right settings.

mod build;
mod carried;
mod docker;
mod docker_parts;
mod down;
mod inside;
pub(crate) use inside::{is_inside, of_this_process};
mod locks;
mod packages;
mod parts;
mod place;
mod start;
mod state;
mod status;
mod up;
pub(crate) use up::own_executable;

use crate::cli::{Command, LabCommand, LabUpArgs};
use crate::commands::App;
use foundation::failure::{Failure, Result};
use place::Place;

/// `cargo xtask lab …`.
pub(crate) fn run(app: &App<'_>, command: LabCommand) -> Result<u8> {
    match command {
        LabCommand::Unpack { to, folders } => {
            for folder in folders {
                carried::unpack(&folder, &to)?;
            }
            return Ok(0);
        }
        LabCommand::Relay { argv } => return foundation::run::relay(&argv, app.signals),
        _ => {}
    }
    if inside::is_inside() {
        return Err(Failure::usage("this is inside the lab already").hint("leave it first: `exit`"));
    }
    let place = Place::of(&app.ctx)?;
    match command {
        LabCommand::Up(args) => {
            if up::ensure(app, &place, &args)?.is_some() {
                status::run(app, &place, false);
            }
        }
        LabCommand::Down => down::run(app, &place)?,
        LabCommand::Status { json } => status::run(app, &place, json),
        LabCommand::Shell { command } => return inside::shell(app, &place, &command),
        LabCommand::Unpack { .. } | LabCommand::Relay { .. } => {}
    }
    Ok(0)
}

/// What builds, pushes or serves images; nobody else waits for Docker.
fn needs_docker(command: &Command) -> bool {
    matches!(
        command,
        Command::Build(_)
            | Command::Builder(_)
            | Command::Installer(_)
            | Command::Registry(_)
            | Command::Proxies(_)
            | Command::Setup(_)
    )
}

/// `cargo xtask --lab COMMAND …`: run it inside, starting the lab first.
pub(crate) fn enter(app: &App<'_>, command: &Command) -> Result<u8> {
    if matches!(command, Command::Lab(_)) {
        return Err(
            Failure::usage("`--lab lab` makes no sense: the lab is managed from outside")
                .hint("leave `--lab` out"),
        );
    }
    if inside::is_inside() {
        return Err(Failure::usage("this is inside the lab already").hint("leave `--lab` out"));
    }
    let place = Place::of(&app.ctx)?;
    let args = LabUpArgs {
        docker: needs_docker(command),
        ..LabUpArgs::default()
    };
    let Some(lab) = up::ensure(app, &place, &args)? else {
        app.ui.note(
            "that is the plan for `lab up`; the plan of the command itself needs the lab running",
        );
        return Ok(0);
    };
    inside::ourselves(app, &place, &lab)
}

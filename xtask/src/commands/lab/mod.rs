//! The lab: real talosctl, QEMU and CNI in PID, mount and network namespaces of
//! our own, with a stand-in guest or Talos itself in the nodes. `--lab` runs any other command
//! in there; those commands know nothing of it, because the lab's folder holds
//! a small checkout with the right settings.

mod build;
mod carried;
mod docker;
mod docker_parts;
pub(crate) mod down;
mod inside;
mod integration_test;
pub(crate) use inside::of_this_process;
mod folder;
mod locks;
mod packages;
mod parts;
mod real_parts;
mod start;
mod state;
mod status;
mod up;
pub use up::LabUpArgs;

use clap::Subcommand;

use crate::app::App;
use camino::Utf8PathBuf;
use folder::LabFolder;
use foundation::ctx::inside_lab::is_inside_lab;
use foundation::failure::{Exit, Failure, Result};
use foundation::typed;
use state::Lab;

#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Install and build the missing parts of the lab, and start it
    Up(LabUpArgs),
    /// Stop and remove the lab; built parts are kept
    Down,
    /// Show whether the lab is running, and its parts
    Status {
        /// Also list what differs from Talos as it is released
        #[arg(short, long)]
        verbose: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Open a shell inside the lab
    Shell {
        /// Command to run instead of a shell
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Write embedded sources to a folder
    #[command(hide = true)]
    Unpack {
        to: Utf8PathBuf,
        #[arg(required = true)]
        folders: Vec<String>,
    },
    /// Stand in for a process inside, so that signals reach it
    #[command(hide = true)]
    Relay {
        #[arg(last = true, required = true)]
        argv: Vec<String>,
    },
}

/// `cargo xtask lab …`.
pub(crate) fn run(app: &App<'_>, command: LabCommand) -> Result<u8> {
    if let LabCommand::Unpack { to, folders } = command {
        for folder in folders {
            carried::unpack(&folder, &to)?;
        }
        return Ok(0);
    }
    if is_inside_lab() {
        return Err(Failure::usage("already inside the lab").hint("leave it first: `exit`"));
    }
    let lab_folder = LabFolder::locate(&app.ctx)?;
    match command {
        LabCommand::Up(args) => {
            if up::ensure(app, &lab_folder, &args)?.is_some() {
                status::run(app, &lab_folder, false, false);
            }
        }
        LabCommand::Down => down::run(app, &lab_folder)?,
        LabCommand::Status { verbose, json } => status::run(app, &lab_folder, verbose, json),
        LabCommand::Shell { command } => return inside::shell(app, &lab_folder, &command),
        LabCommand::Unpack { .. } | LabCommand::Relay { .. } => {}
    }
    Ok(0)
}

/// Why `--lab lab …` is refused.
pub(crate) fn managed_from_outside() -> Failure {
    Failure::usage("`--lab` cannot be combined with `lab`").hint("drop `--lab`")
}

/// What a command needs of the lab in which it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LabNeed {
    /// Only looks at what a running lab has; starts none.
    Running,
    Started,
    /// Started, with Docker in it.
    Docker,
    /// Started, with the integration tests of what its nodes run.
    IntegrationTest,
}

/// `cargo xtask --lab COMMAND …`: run it inside, starting the lab first.
pub(crate) fn enter(app: &App<'_>, need: LabNeed) -> Result<u8> {
    if is_inside_lab() {
        return Err(Failure::usage("already inside the lab").hint("drop `--lab`"));
    }
    let lab_folder = LabFolder::locate(&app.ctx)?;
    if need == LabNeed::Running && Lab::probe(&lab_folder).running().is_none() {
        return Err(
            Failure::new(Exit::Checks, "the lab is not running, so it has no cluster")
                .hint(typed!("--lab cluster")),
        );
    }
    let docker = need == LabNeed::Docker;
    let args = LabUpArgs {
        docker,
        nodes: app.global.lab.flatten(),
        ..LabUpArgs::default()
    };
    let mut lab = up::ensure(app, &lab_folder, &args)?;
    if need == LabNeed::IntegrationTest
        && app.global.talos_dir.is_none()
        && let Some(started) = lab
    {
        lab = integration_test::ensure(app, &lab_folder, started)?;
    }
    let Some(lab) = lab else {
        app.ui.note(
            "that is the plan for `lab up`; the plan of the command itself needs the lab running",
        );
        return Ok(0);
    };
    inside::ourselves(app, &lab_folder, &lab)
}

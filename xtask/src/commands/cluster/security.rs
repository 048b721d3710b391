//! SELinux of the nodes: arguments of the kernel that set it, and what a node reports
//! after it has booted.

use std::time::Duration;

use serde_json::Value;
use talos::selinux::{AUDIT_TO_CONSOLE, ENFORCING};

use super::settings::Settings;
use super::{UpArgs, reach};
use crate::app::App;
use foundation::ctx::cluster::{ClusterView, NodeView};
use foundation::ctx::node_api::NodeApi;
use foundation::failure::{Because, Exit, Failure, Result};
use foundation::typed;
use foundation::wait::{Wait, Waited};

/// A note for plans.
pub(super) const LOST_AFTER_INSTALL: &str = "with a bootloader the kernel arguments are lost once a node boots from \
    disk: the installer image needs them too, by IMAGER_ARGS with `--extra-kernel-arg` for each";
const REPORTING: &str = "enabled, enforcing";
/// The resource is there soon after the API is.
const SOON: Duration = Duration::from_mins(1);
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Arguments for the first boot: of each option all of them.
pub(super) fn kernel_args(args: &UpArgs) -> Vec<&'static str> {
    let mut words = Vec::new();
    if args.selinux_debug {
        words.extend(AUDIT_TO_CONSOLE);
    }
    if args.enforcing {
        words.push(ENFORCING);
    }
    words
}

/// `enabled, enforcing` and the like; `None` if the node does not report it yet.
pub(in crate::commands) fn selinux_state(api: &NodeApi) -> Result<Option<String>> {
    let states = api.resources("securitystate");
    let states = states.because(|| "its security state cannot be read".to_owned())?;
    // Talos leaves the value out where it is the first of its kind.
    let state = |state: &Value| {
        state["spec"]["selinuxState"]
            .as_str()
            .unwrap_or("disabled")
            .to_owned()
    };
    Ok(states.first().map(state))
}

/// Verifies on each node that it booted with what the settings ask for.
///
/// # Errors
/// Exit code 1 with the state of each node where it is not so, or cannot be read.
pub(super) fn verify(app: &App<'_>, settings: &Settings, view: &ClusterView) -> Result<()> {
    if settings.kernel_args.is_empty() {
        return Ok(());
    }
    let problems: Vec<String> = view
        .nodes
        .iter()
        .filter_map(|node| {
            let failure = verify_node(app, settings, node).err()?;
            Some(format!("{}: {}", node.name, failure.in_one_line()))
        })
        .collect();
    if problems.is_empty() {
        return Ok(());
    }
    let what = format!(
        "cluster `{}` runs, but not with the SELinux settings that were asked for",
        view.name
    );
    let failure = problems
        .iter()
        .fold(Failure::new(Exit::Checks, what), Failure::cause);
    let failure = if settings.with_bootloader || settings.secure_boot {
        failure.cause(LOST_AFTER_INSTALL)
    } else {
        failure
    };
    Err(failure.hint(typed!("cluster destroy --name {}", view.name)))
}

fn verify_node(app: &App<'_>, settings: &Settings, node: &NodeView) -> Result<()> {
    let ip = node
        .ip
        .ok_or_else(|| Failure::host("its address is unknown"))?;
    let api = reach::api_of(&app.ctx, &settings.name, ip)?;
    let command_line = api.read("/proc/cmdline".into());
    let command_line = command_line.because(|| "its kernel arguments cannot be read".to_owned())?;
    let has = |word: &&str| command_line.split_whitespace().any(|it| it == *word);
    let asked = &settings.kernel_args;
    let missing: Vec<&str> = asked.iter().copied().filter(|word| !has(word)).collect();
    if !missing.is_empty() {
        return Err(Failure::host(format!(
            "it booted without the kernel arguments {}",
            missing.join(" ")
        )));
    }
    if !asked.contains(&ENFORCING) {
        return Ok(());
    }
    let look = || selinux_state(&api);
    let limit = Wait::default().within(SOON).or_signal(app.signals);
    match limit.look_every(LOOK_AGAIN, look)? {
        Waited::Found(state) if state == REPORTING => Ok(()),
        Waited::Found(state) => Err(Failure::host(format!("SELinux is {state}"))),
        Waited::TimedOut => Err(Failure::host("it does not report the state of SELinux")),
        Waited::Interrupted => Err(Failure::new(Exit::Interrupted, "interrupted")),
    }
}

//! Root for one step: the step as JSON to a helper under sudo, whose standard
//! input then is our lifeline. A set-uid exec clears the parent-death signal
//! and a user cannot signal root's processes, so the helper stops its child
//! when that pipe closes, however we ended.

use std::io::{BufRead, Read};
use std::time::Duration;

use super::child::{How, supervise};
use super::signals::Signals;
use super::{DEADLINE, child, perform, spawn};
use crate::ctx::host::Host;
use crate::failure::{Because, Failure, Result};
use crate::plan::{Action, Step};
use crate::ui::Ui;

/// Ask for the password now, in the foreground, so that no later step stops at
/// a prompt that nobody sees.
///
/// # Errors
/// Exit code 3 when there is no sudo or it refuses.
pub fn become_root(ui: &Ui) -> Result<()> {
    if Host::which("sudo").is_none() {
        return Err(Failure::host("steps need root, and there is no `sudo`")
            .hint("run as root, or install sudo"));
    }
    let words = |words: &[&str]| {
        words
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    if crate::ctx::probe::stdout(&["sudo", "-n", "true"], None).is_some() {
        return Ok(());
    }
    if !ui.is_interactive() {
        return Err(
            Failure::host("steps need root, and `sudo` asks for a password")
                .hint("run it on a terminal, or type `sudo -v` first"),
        );
    }
    ui.note("some steps need root: asking sudo now");
    match child::interactive(&words(&["sudo", "-v"]))? {
        0 => Ok(()),
        _ => Err(Failure::host("sudo refused")),
    }
}

/// Our side: hand the step over and supervise the helper.
pub(super) fn run_step(step: &Step, how: How<'_>) -> Result<()> {
    let log = how.log.clone();
    let own = std::env::current_exe().because(|| "cannot find our own executable".to_owned())?;
    let mut request = serde_json::to_vec(&with_environment(step))
        .because(|| "cannot hand a step to root".to_owned())?;
    request.push(b'\n');
    let mut command = spawn::command("sudo");
    command
        .args(["-n", "--"])
        .arg(own)
        .args(["internal", "root-step"]);
    let (status, tail) = supervise(&mut command, "sudo", how, Some(&request))?;
    if status.success() {
        return Ok(());
    }
    let mut failure = Failure::step(format!("step \"{}\" failed as root ({status})", step.why));
    failure.excerpt = tail;
    if let Some(log) = log {
        failure = failure.cause(format!("its whole output is in {log}"));
    }
    Err(failure)
}

/// sudo forgets the environment: the child gets HOME, PATH and what is listed.
fn with_environment(step: &Step) -> Step {
    let mut step = step.clone();
    if let Action::Run(run) = &mut step.action {
        for name in ["HOME", "PATH"] {
            if let Ok(mut value) = std::env::var(name)
                && !run.env.iter().any(|(set, _)| set == name)
            {
                // ip, iptables and the like are outside a plain user's PATH.
                if name == "PATH" {
                    value.push_str(":/usr/local/sbin:/usr/sbin:/sbin");
                }
                run.env.push((name.to_owned(), value));
            }
        }
    }
    step
}

/// The helper's side, as root: read one step, do it, stop when the lifeline
/// closes.
///
/// # Errors
/// The step's.
pub fn serve_root_step(ui: &Ui, signals: &'static Signals) -> Result<()> {
    let mut line = String::new();
    let mut input = std::io::stdin().lock();
    input
        .read_line(&mut line)
        .because(|| "no step on standard input".to_owned())?;
    let step: Step = serde_json::from_str(&line).because(|| "not a step".to_owned())?;
    let deadline = step.deadline.map_or(DEADLINE, Duration::from_secs);
    let boot_id = Host::probe().boot_id;
    drop(input);
    // Detached: it ends with the pipe, which our caller holds open for as long
    // as we live.
    std::thread::spawn(|| {
        let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
        signals.raise();
    });
    let how = How {
        log: None,
        deadline,
        observer: None,
        signals,
        ui,
    };
    perform(&step, &boot_id, how)
}

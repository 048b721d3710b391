//! Probes that need root: packet filter rules and processes in a network
//! namespace. For other users they go through the root helper that also runs
//! steps, so that a narrow sudoers rule for it is enough. sudo never prompts
//! here.

use std::io::Write;

use super::own_executable::own_executable;
use super::probe::{LIMIT, Probe, ProbeError};
use crate::plan::{Action, Effect, Step};

/// Returns the trimmed output of a read-only command.
///
/// # Errors
/// If the command fails, or sudo needs a password.
pub fn answer(argv: &[&str]) -> Result<String, ProbeError> {
    if rustix::process::geteuid().is_root() {
        return Probe::new(argv).stdout();
    }
    let failed = |said: String| ProbeError::Failed {
        program: argv.join(" "),
        said,
    };
    let own = own_executable().map_err(|failure| failed(failure.in_one_line()))?;
    let mut request = serde_json::to_vec(&step(argv)).map_err(|error| failed(error.to_string()))?;
    request.push(b'\n');
    // The helper ends when this pipe closes.
    let (input, mut lifeline) = std::io::pipe().map_err(|error| failed(error.to_string()))?;
    lifeline
        .write_all(&request)
        .map_err(|error| failed(error.to_string()))?;
    let words = ["sudo", "-n", "--", own.as_str(), "internal", "root-step"];
    let output = Probe::new(words).stdin(input).run()?;
    drop(lifeline);
    if output.success {
        return Ok(output.stderr.trim().to_owned());
    }
    let said = output.stderr.trim().lines().last().unwrap_or_default();
    Err(failed(said.to_owned()))
}

/// sudo resets the environment, and `ip` and `iptables` are not on an ordinary
/// user's PATH.
fn step(argv: &[&str]) -> Step {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut step = Step::run("look as root", argv.iter().copied())
        .as_root()
        .effect(Effect::Reads)
        .deadline(LIMIT.as_secs());
    if let Action::Run(run) = &mut step.action {
        let path = format!("{path}:/usr/local/sbin:/usr/sbin:/sbin");
        run.env.push(("PATH".to_owned(), path));
    }
    step
}

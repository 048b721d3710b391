//! Standing in for a child in another PID namespace: same terminal, same
//! process group, and both end with the same exit code.

use std::os::unix::process::CommandExt;
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};

use super::child::End;
use super::{exit_code, spawn, step};
use crate::failure::{Because, Failure, Result};
use crate::signals::{Caught, STOPPING};
use crate::wait::runtime;

/// Runs `argv` and passes on the signals that reach this process alone. Returns
/// the child's exit code, 128 + N for a signal, as a shell does.
///
/// # Errors
/// When it cannot be started.
pub fn pass_through(argv: &[String]) -> Result<u8> {
    let (program, rest) = argv
        .split_first()
        .ok_or_else(|| Failure::usage("no command"))?;
    let status = runtime()?.block_on(async {
        // In this thread: a process whose children enter another PID namespace
        // cannot start threads.
        let caught =
            Caught::new(&STOPPING).because(|| "cannot install signal handlers".to_owned())?;
        let mut command = spawn::command(program);
        let mut child = spawn::spawn_here(command.args(rest))
            .map_err(|error| step::cannot_start(program, &error))?;
        until_ended(&child, caught)
            .await
            .and_then(|()| child.wait())
            .because(|| "cannot wait for a child".to_owned())
    })?;
    Ok(exit_code::of(status))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a child of this process, which nothing else reaps"
)]
async fn until_ended(child: &Child, mut caught: Caught) -> std::io::Result<()> {
    // The pid in this namespace: the child has another number in its own.
    let pid = Pid::from_child(child);
    let end = End::of(pid)?;
    // A Ctrl-C reaches every process on a terminal, and a second one would mean
    // "at once".
    let has_terminal = std::fs::File::open("/dev/tty").is_ok();
    loop {
        tokio::select! {
            biased;
            () = end.wait() => return Ok(()),
            signal = caught.next() => if signal != Signal::INT || !has_terminal {
                let _ = kill_process(pid, signal);
            }
        }
    }
}

/// Becomes `argv`; returns only if that is impossible.
pub fn replace_process(argv: &[String]) -> Failure {
    let Some((program, rest)) = argv.split_first() else {
        return Failure::usage("no command");
    };
    let error = spawn::command(program).args(rest).exec();
    step::cannot_start(program, &error)
}

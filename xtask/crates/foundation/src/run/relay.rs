//! Standing in for a child in another PID namespace: same terminal, same
//! process group, its exit code is ours, our end is its end.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::{Signals, child, spawn, watched};
use crate::failure::{Because, Failure, Result};

/// A wake-up may come between the look and the wait.
const LOOK: Duration = Duration::from_millis(500);

/// Run `argv` and hand on the signals that reach us alone. Returns its exit
/// code, 128 + N for a signal, as a shell does.
///
/// # Errors
/// When it cannot be started.
#[expect(
    clippy::disallowed_methods,
    reason = "a child of ours, which nobody else reaps"
)]
pub fn relay(argv: &[String], signals: &Signals) -> Result<u8> {
    let (program, rest) = argv
        .split_first()
        .ok_or_else(|| Failure::usage("no command"))?;
    let _attention = signals.attend();
    let handed_on = handed_on().because(|| "cannot install signal handlers".to_owned())?;
    // From here on a signal is the child's.
    let _attention = signals.attend();
    let mut command = spawn::command(program);
    let mut child = spawn::spawn_here(command.args(rest))
        .map_err(|error| child::cannot_start(program, &error))?;
    // By number as seen from here: the child does not know this one itself.
    let pid = Pid::from_child(&child);
    let status = loop {
        if let Some(status) = ended(&mut child)? {
            break status;
        }
        for (signal, seen) in &handed_on {
            if seen.swap(false, Ordering::SeqCst) {
                let _ = kill_process(pid, *signal);
            }
        }
        watched::wait_for_news(signals, LOOK);
    };
    let code = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(u8::try_from(code).unwrap_or(u8::MAX))
}

fn ended(child: &mut Child) -> Result<Option<ExitStatus>> {
    child
        .try_wait()
        .because(|| "cannot wait for a child".to_owned())
}

/// A Ctrl-C reaches everyone on the terminal by itself; two would mean "at
/// once". Without a terminal nobody else gets it.
fn handed_on() -> std::io::Result<Vec<(Signal, Arc<AtomicBool>)>> {
    let mut signals = vec![(Signal::TERM, SIGTERM), (Signal::HUP, SIGHUP)];
    if std::fs::File::open("/dev/tty").is_err() {
        signals.push((Signal::INT, SIGINT));
    }
    signals
        .into_iter()
        .map(|(signal, number)| {
            let seen = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register(number, Arc::clone(&seen))?;
            Ok((signal, seen))
        })
        .collect()
}

/// Become `argv`; comes back only when that is impossible.
pub fn replace_process(argv: &[String]) -> Failure {
    let Some((program, rest)) = argv.split_first() else {
        return Failure::usage("no command");
    };
    let error = spawn::command(program).args(rest).exec();
    child::cannot_start(program, &error)
}

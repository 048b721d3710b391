//! Ends a process that is not our child: only the identified process, through a
//! pidfd, never by a bare pid.

#[cfg(target_os = "linux")]
use {
    super::core::{more_than, until},
    super::spawn,
    crate::ctx::processes::Process,
    crate::failure::{Because, Failure},
    crate::program,
    rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
    std::os::fd::OwnedFd,
    std::time::{Duration, Instant},
    tokio::io::unix::AsyncFd,
};

use super::step::StepContext;
use crate::failure::Result;
use crate::plan::ProcessIdentity;

/// Seconds after SIGKILL: a process may have to finish writing to a disk.
#[cfg(target_os = "linux")]
const LAST_WAIT: u64 = 10;

#[cfg(target_os = "linux")]
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that signals others"
)]
pub(super) fn stop(
    process: &ProcessIdentity,
    boot_id: &str,
    grace_seconds: u64,
    context: &StepContext<'_>,
) -> Result<()> {
    if process.boot_id != boot_id {
        return Ok(());
    }
    let Some(pid) = Pid::from_raw(process.pid) else {
        return Ok(());
    };
    // Open first and check second: the descriptor always means the same process.
    let fd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(fd) => fd,
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(error) => {
            return Err(Failure::step(format!("cannot open {}", process.what)).cause(error));
        }
    };
    let now = match Process::probe(process.pid) {
        Some(now) if now.start_ticks == process.start_ticks && now.is_alive() => now,
        _ => return Ok(()),
    };
    // Only root may read the owner of every process.
    if let Some(cluster) = &process.cluster
        && rustix::process::geteuid().is_root()
        && !crate::ctx::cluster::is_of(&now, cluster)
        // It may have ended since, and could not be read then.
        && Process::probe(process.pid).is_some_and(|again| again.is_alive())
    {
        return Err(Failure::step(format!(
            "{} (pid {}) was left alone: it does not belong to the cluster in `{cluster}`",
            process.what, process.pid
        ))
        .hint(program!("ls -l /proc/{}/fd/1", process.pid)));
    }
    let fd = {
        let _context = context.runtime.enter();
        spawn::awaitable(fd).because(|| format!("cannot wait for {}", process.what))?
    };
    for (signal, limit) in [(Signal::TERM, grace_seconds), (Signal::KILL, LAST_WAIT)] {
        match pidfd_send_signal(fd.get_ref(), signal) {
            Ok(()) if ends_within(&fd, Duration::from_secs(limit), context)? => return Ok(()),
            Ok(()) => {}
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            Err(error) => return Err(error).because(|| format!("cannot signal {}", process.what)),
        }
    }
    Err(Failure::step(format!(
        "{} (pid {}) does not end",
        process.what, process.pid
    )))
}

/// Whether the process of the pidfd `fd` ends within `limit`.
///
/// # Errors
/// When the user has asked to stop.
#[cfg(target_os = "linux")]
fn ends_within(fd: &AsyncFd<OwnedFd>, limit: Duration, context: &StepContext<'_>) -> Result<bool> {
    let end = Instant::now().checked_add(limit);
    let mut stop = context.signals.subscribe();
    context.runtime.block_on(async {
        tokio::select! {
            biased;
            _ = fd.readable() => Ok(true),
            _ = more_than(&mut stop, 0) => Err(super::interrupted()),
            () = until(end) => Ok(false),
        }
    })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn stop(process: &ProcessIdentity, _: &str, _: u64, _: &StepContext<'_>) -> Result<()> {
    Err(crate::failure::Failure::host(format!(
        "cannot identify {} on this system",
        process.what
    )))
}

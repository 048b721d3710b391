//! Ending a process that is not our child: only the one that was identified,
//! through a pidfd, never by a bare pid.

use super::child::How;
use crate::failure::Result;
use crate::plan::ProcessIdentity;
#[cfg(target_os = "linux")]
use crate::program;

/// After SIGKILL; a process in the middle of disk work takes its time.
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
    how: &How<'_>,
) -> Result<()> {
    use crate::ctx::processes::Process;
    use crate::failure::{Because, Failure};
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
    use std::time::Duration;

    if process.boot_id != boot_id {
        return Ok(());
    }
    let Some(pid) = Pid::from_raw(process.pid) else {
        return Ok(());
    };
    // Open first, look second: the descriptor cannot come to mean another.
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
    // Only root may read of every process what tells whose it is.
    if let Some(cluster) = &process.cluster
        && rustix::process::geteuid().is_root()
        && !crate::ctx::cluster::is_of(&now, cluster)
        // It may have ended since: then nothing of it could be read.
        && Process::probe(process.pid).is_some_and(|again| again.is_alive())
    {
        return Err(Failure::step(format!(
            "{} (pid {}) was left alone: it is not of the cluster in `{cluster}`",
            process.what, process.pid
        ))
        .hint(program!("ls -l /proc/{}/fd/1", process.pid)));
    }
    for (signal, limit) in [(Signal::TERM, grace_seconds), (Signal::KILL, LAST_WAIT)] {
        match pidfd_send_signal(&fd, signal) {
            Ok(()) if ends_within(&fd, Duration::from_secs(limit), how)? => return Ok(()),
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

/// Signals of our own, such as the end of a child, only interrupt the wait.
#[cfg(target_os = "linux")]
fn ends_within(
    fd: &std::os::fd::OwnedFd,
    limit: std::time::Duration,
    how: &How<'_>,
) -> Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use std::time::Instant;
    // A number of seconds from a file must not overflow the clock.
    let end = Instant::now() + limit.min(super::child::FOR_EVER);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let wake = how.signals.fd();
        let mut fds = [
            PollFd::new(fd, PollFlags::IN),
            PollFd::new(&wake, PollFlags::IN),
        ];
        let polled = poll(&mut fds, Timespec::try_from(left).ok().as_ref());
        if polled.is_ok() && !fds[0].revents().is_empty() {
            return Ok(true);
        }
        how.signals.drain();
        if how.signals.count() > 0 {
            return Err(super::interrupted());
        }
        if left.is_zero() {
            return Ok(false);
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn stop(process: &ProcessIdentity, _: &str, _: u64, _: &How<'_>) -> Result<()> {
    Err(crate::failure::Failure::host(format!(
        "cannot identify {} on this system",
        process.what
    )))
}

//! Ending a process that is not our child: only the one that was identified,
//! through a pidfd, never by a bare pid.

use crate::failure::Result;
use crate::plan::ProcessIdentity;

#[cfg(target_os = "linux")]
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that signals others"
)]
pub(super) fn stop(process: &ProcessIdentity, boot_id: &str, grace_seconds: u64) -> Result<()> {
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
    match Process::probe(process.pid) {
        Some(now) if now.start_ticks == process.start_ticks && now.is_alive() => {}
        _ => return Ok(()),
    }
    let ends_within = |limit: Duration| {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let timeout = Timespec::try_from(limit).ok();
        matches!(
            poll(&mut [PollFd::new(&fd, PollFlags::IN)], timeout.as_ref()),
            Ok(1)
        )
    };
    for (signal, limit) in [(Signal::TERM, grace_seconds), (Signal::KILL, 10)] {
        match pidfd_send_signal(&fd, signal) {
            Ok(()) if ends_within(Duration::from_secs(limit)) => return Ok(()),
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

#[cfg(not(target_os = "linux"))]
pub(super) fn stop(process: &ProcessIdentity, _: &str, _: u64) -> Result<()> {
    Err(crate::failure::Failure::host(format!(
        "cannot identify {} on this system",
        process.what
    )))
}

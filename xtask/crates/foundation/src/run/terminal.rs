//! A pseudo-terminal for the standard error of a child: buildx draws its progress
//! only on a terminal, and all of it must still go to the log.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Both ends; this process closes the child's end after the start.
pub(super) struct Terminal {
    pub(super) ours: OwnedFd,
    pub(super) childs: OwnedFd,
}

/// A pseudo-terminal of the size of ours. None if standard error is not a
/// terminal, or if none can be opened: a pipe is used then.
#[expect(clippy::disallowed_methods, reason = "only its size is read")]
pub(super) fn like_ours() -> Option<Terminal> {
    let stderr = std::io::stderr();
    if !rustix::termios::isatty(stderr.as_fd()) {
        return None;
    }
    open(stderr.as_fd()).ok()
}

fn open(like: impl AsFd) -> std::io::Result<Terminal> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    #[cfg(target_os = "linux")]
    let flags = flags | OpenptFlags::CLOEXEC;
    let ours = openpt(flags)?;
    // Again, for systems whose `openpt` does not know the flag.
    rustix::io::fcntl_setfd(&ours, rustix::io::FdFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let name = ptsname(&ours, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let childs = rustix::fs::open(name.as_c_str(), flags, Mode::empty())?;
    rustix::termios::tcsetwinsize(&childs, rustix::termios::tcgetwinsize(like)?)?;
    Ok(Terminal { ours, childs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_child_writes_can_be_read() {
        let first = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&first).unwrap();
        unlockpt(&first).unwrap();
        let terminal = open(&first).unwrap();
        assert!(rustix::termios::isatty(&terminal.childs));
        rustix::io::write(&terminal.childs, b"drawn\n").unwrap();
        let mut buffer = [0; 16];
        let read = rustix::io::read(&terminal.ours, &mut buffer).unwrap();
        assert_eq!(&buffer[..read], b"drawn\r\n");
    }
}

//! Ctrl-C, SIGTERM and SIGHUP as a count, and a pipe that wakes a waiting
//! `poll` for them and for children that end.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

use super::spawn;
use crate::failure::{Because, Result};

/// Installed once, by `main`.
#[derive(Debug)]
pub struct Signals {
    wake: UnixStream,
    waker: UnixStream,
    count: Arc<AtomicUsize>,
}

impl Signals {
    /// # Errors
    /// When the system has no file descriptors left.
    pub fn install() -> Result<Self> {
        let count = Arc::new(AtomicUsize::new(0));
        let install = || -> std::io::Result<(UnixStream, UnixStream)> {
            let (wake, waker) = UnixStream::pair()?;
            wake.set_nonblocking(true)?;
            waker.set_nonblocking(true)?;
            for signal in [SIGINT, SIGTERM, SIGHUP] {
                // Counted, not flagged: the second one means something else.
                spawn::count_signal(signal, Arc::clone(&count))?;
                signal_hook::low_level::pipe::register(signal, waker.try_clone()?)?;
            }
            signal_hook::low_level::pipe::register(SIGCHLD, waker.try_clone()?)?;
            Ok((wake, waker))
        };
        let (wake, waker) = install().because(|| "cannot install signal handlers".to_owned())?;
        Ok(Self { wake, waker, count })
    }

    /// How often the user has asked to stop since the last `forgive`.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Begin anew, for the undo that a first Ctrl-C starts.
    pub fn forgive(&self) {
        self.count.store(0, Ordering::SeqCst);
    }

    /// As if the user had pressed Ctrl-C: whoever asked for this work is gone.
    pub fn raise(&self) {
        use std::io::Write;
        self.count.fetch_add(1, Ordering::SeqCst);
        let _ = (&self.waker).write(&[0]);
    }

    /// Readable when a signal or the end of a child has come.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Forget the wake-ups so far; counts stay.
    pub fn drain(&self) {
        let mut buffer = [0; 64];
        while matches!((&self.wake).read(&mut buffer), Ok(read) if read > 0) {}
    }
}

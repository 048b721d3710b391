//! Ctrl-C, SIGTERM and SIGHUP as a count, and a pipe that wakes a waiting
//! `poll` for them and for children that end. While nobody attends to the
//! count, nothing is half made, and a signal ends us at once.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use std::time::Instant;

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

use super::spawn;
use crate::failure::{Because, Exit, Result};

/// Installed once, by `main`.
#[derive(Debug)]
pub struct Signals {
    wake: UnixStream,
    waker: UnixStream,
    count: Arc<AtomicUsize>,
    /// Whether nobody attends.
    idle: Arc<AtomicBool>,
    attending: AtomicUsize,
}

/// As long as it lives, signals are counted and do not end us.
#[derive(Debug)]
#[must_use]
pub struct Attention<'a>(&'a Signals);

impl Drop for Attention<'_> {
    fn drop(&mut self) {
        if self.0.attending.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.idle.store(true, Ordering::SeqCst);
        }
    }
}

impl Signals {
    /// # Errors
    /// When the system has no file descriptors left.
    pub fn install() -> Result<Self> {
        let count = Arc::new(AtomicUsize::new(0));
        let idle = Arc::new(AtomicBool::new(true));
        let install = || -> std::io::Result<(UnixStream, UnixStream)> {
            let (wake, waker) = UnixStream::pair()?;
            wake.set_nonblocking(true)?;
            waker.set_nonblocking(true)?;
            let ignored = ignored();
            for signal in [SIGINT, SIGTERM, SIGHUP] {
                // `nohup` and a shell's background jobs mean it.
                if ignored >> (signal - 1) & 1 == 1 {
                    continue;
                }
                let code = i32::from(Exit::Interrupted.code());
                signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(&idle))?;
                // Counted, not flagged: the second one means something else.
                spawn::count_signal(signal, Arc::clone(&count))?;
                signal_hook::low_level::pipe::register(signal, waker.try_clone()?)?;
            }
            signal_hook::low_level::pipe::register(SIGCHLD, waker.try_clone()?)?;
            Ok((wake, waker))
        };
        let (wake, waker) = install().because(|| "cannot install signal handlers".to_owned())?;
        Ok(Self {
            wake,
            waker,
            count,
            idle,
            attending: AtomicUsize::new(0),
        })
    }

    /// For whoever looks at the count: from now on a signal is theirs.
    pub fn attend(&self) -> Attention<'_> {
        self.attending.fetch_add(1, Ordering::SeqCst);
        self.idle.store(false, Ordering::SeqCst);
        Attention(self)
    }

    /// How often the user has asked to stop since the last `forgive`.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Begin anew, for the undo that a first Ctrl-C starts. Returns the count
    /// until now.
    pub fn forgive(&self) -> usize {
        self.count.swap(0, Ordering::SeqCst)
    }

    /// As if the user had pressed Ctrl-C: whoever asked for this work is gone.
    pub fn raise(&self) {
        use std::io::Write;
        self.count.fetch_add(1, Ordering::SeqCst);
        let _ = (&self.waker).write(&[0]);
    }

    /// Wait for a moment; a signal that is ours to attend to ends it early.
    pub fn wait_until(&self, end: Instant) {
        while self.count() == 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            super::watched::wait_for_news(self, left);
        }
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

/// The signals that our parent has set to be ignored, one bit each.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_raised_is_counted_and_wakes() {
        let signals = Signals::install().unwrap();
        let before = std::time::Instant::now();
        signals.raise();
        super::super::watched::wait_for_news(&signals, std::time::Duration::from_secs(5));
        assert!(before.elapsed().as_secs() < 5);
        signals.raise();
        assert_eq!((signals.forgive(), signals.count()), (2, 0));
    }

    #[test]
    fn attention_is_counted_too() {
        let signals = Signals::install().unwrap();
        let idle = || signals.idle.load(Ordering::SeqCst);
        assert!(idle());
        let outer = signals.attend();
        let inner = signals.attend();
        drop(inner);
        assert!(!idle());
        drop(outer);
        assert!(idle());
    }
}

//! SIGINT, SIGTERM and SIGHUP as a count, which callers read, await or sleep
//! on. While no caller attends to the count, nothing is half made, and a signal
//! ends the process at once.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::runtime::Builder;
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::watch;

use crate::failure::{Because, Exit, Result};

/// The signals that ask a run to stop.
pub(crate) const STOPPING: [Signal; 3] = [Signal::INT, Signal::TERM, Signal::HUP];
/// The thread that counts may be later than the end of a child that got the
/// same signal from the terminal.
const SETTLED: Duration = Duration::from_millis(100);

/// The count of signals since the last [`Self::forgive`].
#[derive(Debug, Default)]
pub struct Signals {
    count: watch::Sender<usize>,
    attending: AtomicUsize,
    /// For callers that sleep without a runtime.
    sleeping: Mutex<()>,
    counted: Condvar,
}

/// As long as it lives, signals are counted and do not end the process.
#[derive(Debug)]
#[must_use]
pub struct Attention<'a>(&'a Signals);

impl Drop for Attention<'_> {
    fn drop(&mut self) {
        self.0.attending.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Signals {
    /// Counts the signals of this process, in a thread. Once, by `main`, and not
    /// in a process that unshares its PID namespace.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn install() -> Result<&'static Self> {
        // The handler outlives every borrower.
        let signals: &'static Self = Box::leak(Box::default());
        let cannot = || "cannot install signal handlers".to_owned();
        if STOPPING.iter().any(|signal| is_ignored(*signal)) {
            // Under `nohup`, or in a shell's background job. ctrlc would refuse
            // all three signals for the one that must stay ignored.
            signals.count_unignored().because(cannot)?;
        } else {
            ctrlc::try_set_handler(|| signals.caught()).because(cannot)?;
        }
        Ok(signals)
    }

    fn count_unignored(&'static self) -> std::io::Result<()> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let mut caught = {
            let _context = runtime.enter();
            Caught::new(&STOPPING)?
        };
        let count = async move {
            loop {
                caught.next().await;
                self.caught();
            }
        };
        let thread = std::thread::Builder::new().name("signals".to_owned());
        thread.spawn(move || runtime.block_on(count))?;
        Ok(())
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "nothing is half made while no caller attends"
    )]
    fn caught(&self) {
        if self.is_idle() {
            std::process::exit(Exit::Interrupted.code().into());
        }
        self.raise();
    }

    fn is_idle(&self) -> bool {
        self.attending.load(Ordering::SeqCst) == 0
    }

    /// Counts signals, instead of ending at the first, until the result is
    /// dropped.
    pub fn attend(&self) -> Attention<'_> {
        self.attending.fetch_add(1, Ordering::SeqCst);
        Attention(self)
    }

    /// How often the user has asked to stop since the last [`Self::forgive`].
    pub fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Resets the count, for the undo that a first Ctrl-C starts. Returns the
    /// count until now.
    pub fn forgive(&self) -> usize {
        self.count.send_replace(0)
    }

    /// Counts one more, as if the user had pressed Ctrl-C.
    pub fn raise(&self) {
        self.count.send_modify(|count| *count += 1);
        let _sleeping = self.sleeping.lock().unwrap_or_else(PoisonError::into_inner);
        self.counted.notify_all();
    }

    /// Sleeps until `end`, or until the count is not zero.
    pub fn wait_until(&self, end: Instant) {
        let sleeping = self.sleeping.lock().unwrap_or_else(PoisonError::into_inner);
        let left = end.saturating_duration_since(Instant::now());
        let _ = self
            .counted
            .wait_timeout_while(sleeping, left, |()| self.count() == 0);
    }

    /// Whether a foreground child failed because the user pressed Ctrl-C, which
    /// this process was sent as well.
    pub(crate) fn explain_failure(&self) -> bool {
        self.wait_until(Instant::now() + SETTLED);
        self.count() > 0
    }

    /// The count, to be awaited.
    pub fn subscribe(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }
}

/// Signals by their number: for a process that hands them on, or that must not
/// have a second thread. What the parent process ignores is not caught, but for
/// SIGCHLD.
#[derive(Debug)]
pub(crate) struct Caught(Vec<(Signal, unix::Signal)>);

impl Caught {
    /// Catches `signals`, in the context of a runtime.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub(crate) fn new(signals: &[Signal]) -> std::io::Result<Self> {
        let signals = signals
            .iter()
            .filter(|signal| **signal == Signal::CHILD || !is_ignored(**signal));
        signals
            .map(|signal| {
                Ok((
                    *signal,
                    unix::signal(SignalKind::from_raw(signal.as_raw()))?,
                ))
            })
            .collect::<std::io::Result<_>>()
            .map(Self)
    }

    /// The next signal; pending without end when all are ignored.
    pub(crate) async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            let mut signals = self.0.iter_mut();
            let caught = signals.find_map(|(signal, stream)| {
                stream.poll_recv(context).is_ready().then_some(*signal)
            });
            caught.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// Whether the parent process has set `signal` to be ignored.
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_raised_is_counted_and_wakes() {
        let signals = Signals::default();
        std::thread::scope(|scope| {
            scope.spawn(|| signals.raise());
            // Longer than a test may take.
            signals.wait_until(Instant::now() + Duration::from_hours(1));
        });
        let runtime = Builder::new_current_thread().build().unwrap();
        let mut count = signals.subscribe();
        signals.raise();
        let count = runtime.block_on(count.wait_for(|count| *count > 1));
        assert_eq!(*count.unwrap(), 2);
        assert_eq!((signals.forgive(), signals.count()), (2, 0));
    }

    #[test]
    fn attention_is_counted_too() {
        let signals = Signals::default();
        assert!(signals.is_idle());
        let outer = signals.attend();
        let inner = signals.attend();
        drop(inner);
        assert!(!signals.is_idle());
        drop(outer);
        assert!(signals.is_idle());
    }
}

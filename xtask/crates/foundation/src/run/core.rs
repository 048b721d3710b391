//! The one loop that follows a child to its end: output, signals, deadline,
//! observer and requests to stop. Steps, test binaries, the helpers for root
//! and the linking of tests differ only in what they pass to [`follow`].

use std::future::{pending, poll_fn};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};

use super::child::{Ask, Child, Reach, State};
use super::pipe::Pipe;
use crate::failure::Failure;
use crate::signals::Caught;

/// How long a pipe may stay open after the child has ended: a process that it
/// left behind may hold the pipe.
const DRAIN: Duration = Duration::from_millis(300);

/// How long a child has to end after SIGINT, and then after SIGTERM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grace {
    pub interrupt: Duration,
    pub terminate: Duration,
}

impl Default for Grace {
    fn default() -> Self {
        Self {
            interrupt: Duration::from_secs(10),
            terminate: Duration::from_secs(5),
        }
    }
}

/// When a child is made to end, and how.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) deadline: Duration,
    /// The first request at the deadline.
    pub(super) at_deadline: Ask,
    /// The first request in all other cases.
    pub(super) first: Ask,
    pub(super) grace: Grace,
    /// How often the user has asked to stop.
    pub(super) stop: watch::Receiver<usize>,
    /// The count at which the child is killed at once.
    pub(super) kill_at: usize,
    /// Signals at which the child is asked to print its goroutines.
    pub(super) dump: Option<Caught>,
    /// How often [`Follow::look`] is called.
    pub(super) look: Duration,
}

impl Limits {
    /// Limits without a deadline, with the default grace.
    pub(super) fn new(stop: watch::Receiver<usize>) -> Self {
        Self {
            deadline: Duration::MAX,
            at_deadline: Ask::Interrupt,
            first: Ask::Interrupt,
            grace: Grace::default(),
            stop,
            kill_at: 2,
            dump: None,
            look: Duration::from_millis(100),
        }
    }
}

/// One of a child's output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Out,
    Err,
}

/// Takes a child's output, and looks at other things meanwhile.
pub(super) trait Follow {
    /// Whole lines, or what has no line end.
    fn output(&mut self, stream: Stream, bytes: &[u8]);

    /// Several times a second. A failure ends the child.
    fn look(&mut self) -> Option<Failure> {
        None
    }

    fn note(&mut self, _text: &str) {}
}

/// Why a child was made to end.
#[derive(Debug)]
pub(super) enum Stopped {
    Interrupted,
    Deadline,
    Failed(Failure),
}

/// A child that is made to end.
struct Stopping {
    why: Stopped,
    asked: Ask,
    since: Instant,
}

impl Stopping {
    /// When to ask more strongly, and for what.
    fn next(&self, grace: Grace) -> Option<(Instant, Ask)> {
        let (patience, ask) = match self.asked {
            Ask::Interrupt | Ask::Dump => (grace.interrupt, Ask::Terminate),
            Ask::Terminate => (grace.terminate, Ask::Kill),
            Ask::Kill => return None,
        };
        Some((self.since.checked_add(patience)?, ask))
    }
}

/// The outputs of a child.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    out: Pipe,
    err: Pipe,
}

impl Pipes {
    /// # Errors
    /// I/O errors.
    pub(super) fn new([out, err]: [Option<OwnedFd>; 2]) -> std::io::Result<Self> {
        Ok(Self {
            out: Pipe::new(out)?,
            err: Pipe::new(err)?,
        })
    }

    async fn ready(&self) {
        poll_fn(|context| {
            let out = self.out.poll_ready(context);
            let err = self.err.poll_ready(context);
            if out.is_ready() { out } else { err }
        })
        .await;
    }

    /// Errors are read last: of what was printed at the same time they belong
    /// at the end.
    fn read(&mut self, follow: &mut dyn Follow) {
        self.out.read(|bytes| follow.output(Stream::Out, bytes));
        self.err.read(|bytes| follow.output(Stream::Err, bytes));
    }

    /// Reads until both are closed.
    async fn drain(&mut self, follow: &mut dyn Follow) {
        self.read(follow);
        while self.out.is_open() || self.err.is_open() {
            self.ready().await;
            self.read(follow);
        }
    }

    fn finish(&mut self, follow: &mut dyn Follow) {
        self.read(follow);
        self.out.finish(|bytes| follow.output(Stream::Out, bytes));
        self.err.finish(|bytes| follow.output(Stream::Err, bytes));
    }
}

/// Follows `child` to its end and reaps it. Returns its status and, when it was
/// made to end, why.
///
/// # Errors
/// When the system refuses to wait for it.
pub(super) async fn follow<R: Reach>(
    child: &mut Child<R>,
    mut pipes: Pipes,
    mut limits: Limits,
    follow: &mut dyn Follow,
) -> std::io::Result<(ExitStatus, Option<Stopped>)> {
    let stopped = until_ended(child, &mut pipes, &mut limits, follow).await;
    // A pipe that another process holds open must not delay the end.
    let _ = timeout(DRAIN, pin!(pipes.drain(follow))).await;
    child.reach.exchange();
    let status = child.reap()?;
    pipes.finish(follow);
    Ok((status, stopped))
}

async fn until_ended<R: Reach>(
    child: &mut Child<R>,
    pipes: &mut Pipes,
    limits: &mut Limits,
    follow: &mut dyn Follow,
) -> Option<Stopped> {
    // None where the clock does not go that far.
    let deadline = Instant::now().checked_add(limits.deadline);
    let mut looks = interval(limits.look);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stopping: Option<Stopping> = None;
    let (mut stops, mut is_suspended) = (0, false);
    loop {
        let more = stopping.as_ref().and_then(|now| now.next(limits.grace));
        let ask = tokio::select! {
            biased;
            () = child.ended() => break,
            count = more_than(&mut limits.stop, stops) => {
                stops = count;
                let at_once = stopping.is_some() || count >= limits.kill_at;
                let ask = if at_once { Ask::Kill } else { limits.first };
                Some((ask, Some(Stopped::Interrupted)))
            }
            () = until(deadline), if stopping.is_none() => {
                Some((limits.at_deadline, Some(Stopped::Deadline)))
            }
            () = dump(&mut limits.dump) => Some((Ask::Dump, None)),
            () = until(more.map(|(at, _)| at)) => more.map(|(_, ask)| (ask, None)),
            () = poll_fn(|context| child.reach.poll_ready(context)) => {
                child.reach.exchange();
                None
            }
            () = pipes.ready() => {
                pipes.read(follow);
                // Timers do not advance until this yields.
                yield_now().await;
                None
            }
            _ = looks.tick() => {
                // Incomplete lines may have become stale.
                pipes.read(follow);
                let failed = suspended(child, stopping.is_some(), &mut is_suspended, follow);
                let seen = follow.look().filter(|_| stopping.is_none());
                let failed = failed.or(seen);
                failed.map(|failure| (limits.first, Some(Stopped::Failed(failure))))
            }
        };
        if let Some((ask, why)) = ask {
            child.ask(ask);
            let before = stopping.take().map(|stopping| stopping.why);
            stopping = why.or(before).map(|why| Stopping {
                why,
                asked: ask,
                since: Instant::now(),
            });
        }
    }
    stopping.map(|stopping| stopping.why)
}

/// The system suspends a child that reads from the terminal in the background, and
/// it would never go on. A child that was suspended otherwise may be continued.
fn suspended<R: Reach>(
    child: &Child<R>,
    is_stopping: bool,
    was_noted: &mut bool,
    follow: &mut dyn Follow,
) -> Option<Failure> {
    let State::Suspended(signal) = child.look() else {
        return None;
    };
    if is_stopping || std::mem::replace(was_noted, true) {
        return None;
    }
    if signal == Signal::TTIN.as_raw() || signal == Signal::TTOU.as_raw() {
        return Some(
            Failure::step("it asks something on the terminal, which a step does not have")
                .hint("answer beforehand: log in, or unlock the key, and try again"),
        );
    }
    let pid = child.pid().as_raw_nonzero();
    follow.note(&format!(
        "the step is suspended; `kill -CONT {pid}` continues it"
    ));
    None
}

/// Waits until the user has asked to stop more than `seen` times. Returns how often.
pub(super) async fn more_than(stop: &mut watch::Receiver<usize>, seen: usize) -> usize {
    match stop.wait_for(|count| *count > seen).await {
        Ok(count) => *count,
        Err(_) => pending().await,
    }
}

/// Waits for the next of these signals.
async fn dump(caught: &mut Option<Caught>) {
    match caught {
        Some(caught) => drop(caught.next().await),
        None => pending().await,
    }
}

/// Waits until `at`, or without a limit.
pub(super) async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => pending().await,
    }
}

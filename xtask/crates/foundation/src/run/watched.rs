//! Supervising a child: its output goes to the log and the terminal, its end is
//! one of exited, died with a node, deadline, interrupted.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, ChildStdin, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::child::{FOR_EVER, Grace, How};
use super::stream::{Stream, never_wait};
use super::tee::Tee;
use super::{interrupted, signals::Signals, spawn};
use crate::failure::{Because, Exit, Failure, Result};
use crate::ui::Ui;

/// How often an observer looks, and at most how long a signal is overlooked.
const LOOK: Duration = Duration::from_millis(100);
/// How long a pipe may stay open after the child that we started has ended:
/// something that forked away may hold it for ever.
const DRAIN: Duration = Duration::from_millis(300);
/// A root helper answers with one line.
const ANSWER_LIMIT: usize = 1 << 20;

/// A running child.
pub(super) struct Watched {
    child: Child,
    reaped: bool,
    /// Ends the whole group should we be killed.
    warden: Option<Child>,
    helper: Option<Helper>,
    out: Stream,
    err: Stream,
    answer: Vec<u8>,
    /// Why, since when, and how strongly we have asked so far.
    stopping: Option<(Failure, Instant, usize)>,
    seen_interrupts: usize,
    told_of_stop: bool,
}

/// The standard input of a root helper: the request, then one byte for each
/// time it is asked to stop. Its end says that we are gone.
struct Helper {
    stdin: ChildStdin,
    pending: VecDeque<u8>,
}

impl Helper {
    /// As much as it takes without waiting.
    fn write(&mut self) {
        while !self.pending.is_empty() {
            let (chunk, _) = self.pending.as_slices();
            match rustix::io::write(&self.stdin, chunk) {
                Ok(written) => drop(self.pending.drain(..written)),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                // It has ended: the wait will see it.
                Err(_) => return self.pending.clear(),
            }
        }
    }
}

/// What a look at the child shows.
enum Seen {
    Running,
    /// By which signal.
    Suspended(i32),
    Ended,
}

impl Watched {
    /// `drawn` is read in place of the child's standard error.
    pub(super) fn new(
        mut child: Child,
        request: Option<&[u8]>,
        drawn: Option<OwnedFd>,
    ) -> Result<Self> {
        let warden = if request.is_none() {
            spawn::warden(&child)
        } else {
            None
        };
        let (stdin, out) = (child.stdin.take(), child.stdout.take());
        let err = drawn.or_else(|| child.stderr.take().map(OwnedFd::from));
        let helper = stdin.zip(request).map(|(stdin, request)| Helper {
            stdin,
            pending: request.iter().copied().collect(),
        });
        let cannot = || "cannot read a child's output".to_owned();
        // From here on dropping it ends the child.
        let mut watched = Self {
            child,
            reaped: false,
            warden,
            helper,
            out: Stream::default(),
            err: Stream::default(),
            answer: Vec::new(),
            stopping: None,
            seen_interrupts: 0,
            told_of_stop: false,
        };
        watched.out = Stream::new(out).because(cannot)?;
        watched.err = Stream::new(err).because(cannot)?;
        if let Some(helper) = &watched.helper {
            never_wait(&helper.stdin).because(cannot)?;
        }
        Ok(watched)
    }

    /// Returns why it was stopped, or nothing when it ended by itself.
    pub(super) fn wait(&mut self, how: &mut How<'_>, tee: &mut Tee<'_>) -> Option<Failure> {
        let end = Instant::now() + how.deadline.min(FOR_EVER);
        let mut next_look = Instant::now();
        loop {
            self.transfer(tee);
            match self.look() {
                Seen::Ended => return self.stopping.take().map(|(failure, ..)| failure),
                Seen::Suspended(signal) => self.suspended(signal, how.ui),
                Seen::Running => {}
            }
            let interrupts = how.signals.count();
            if interrupts > self.seen_interrupts {
                self.seen_interrupts = interrupts;
                let at_once = self.stopping.is_some() || interrupts >= how.kill_at;
                self.escalate(interrupted(), at_once);
            } else if self.stopping.is_none() && Instant::now() > end {
                let limit = how.deadline.as_secs();
                let failure = Failure::new(Exit::Deadline, format!("not done after {limit} s"));
                if how.tests {
                    let _ = kill_process_group(pid(&self.child), Signal::QUIT);
                    self.stopping = Some((failure, Instant::now(), 0));
                } else {
                    self.escalate(failure, false);
                }
            } else if self.stopping.is_none() && Instant::now() >= next_look {
                next_look = Instant::now() + LOOK;
                if let Some(death) = how.observer.as_mut().and_then(|look| look()) {
                    self.escalate(death, false);
                }
            }
            self.press_on(how.grace);
            tee.tick();
            self.wait_for_news(how.signals, LOOK);
        }
    }

    /// Errors last: of what came at once they belong at the end.
    fn transfer(&mut self, tee: &mut Tee<'_>) {
        if let Some(helper) = &mut self.helper {
            helper.write();
            self.out.read_to(&mut self.answer, ANSWER_LIMIT);
        } else {
            self.out.read_output(tee);
        }
        self.err.read_into(tee);
    }

    /// Ended but not reaped: its process group cannot be another's yet.
    fn look(&self) -> Seen {
        let options = WaitIdOptions::EXITED
            | WaitIdOptions::STOPPED
            | WaitIdOptions::NOHANG
            | WaitIdOptions::NOWAIT;
        match waitid(WaitId::Pid(pid(&self.child)), options) {
            Ok(None) | Err(rustix::io::Errno::INTR) => Seen::Running,
            Ok(Some(status)) if status.stopped() => {
                Seen::Suspended(status.stopping_signal().unwrap_or(0))
            }
            Ok(Some(_)) | Err(_) => Seen::Ended,
        }
    }

    /// A child that asks on the terminal from the background is suspended by
    /// the system and would be waited for in vain. Whoever else suspended it
    /// may want to continue it.
    fn suspended(&mut self, signal: i32, ui: &Ui) {
        let asks = signal == Signal::TTIN.as_raw() || signal == Signal::TTOU.as_raw();
        if self.stopping.is_some() || self.told_of_stop {
            return;
        }
        self.told_of_stop = true;
        let pid = self.child.id();
        if asks {
            let failure =
                Failure::step("it asks something on the terminal, which a step does not have")
                    .hint("answer beforehand: log in, or unlock the key, and try again");
            self.escalate(failure, false);
        } else {
            ui.note(&format!(
                "the step is suspended; `kill -CONT {pid}` continues it"
            ));
        }
    }

    fn escalate(&mut self, failure: Failure, at_once: bool) {
        let level = if at_once { 2 } else { 0 };
        self.ask(level);
        self.stopping = Some((failure, Instant::now(), level));
    }

    /// A child that does not listen is asked more strongly.
    fn press_on(&mut self, grace: Grace) {
        let limits = [grace.interrupt, grace.terminate];
        let Some((_, since, level)) = &mut self.stopping else {
            return;
        };
        if limits
            .get(*level)
            .is_some_and(|limit| since.elapsed() > *limit)
        {
            *level += 1;
            *since = Instant::now();
            let level = *level;
            self.ask(level);
        }
    }

    /// A root helper cannot be signalled by a user: it is told, and has the
    /// same patience as we have.
    fn ask(&mut self, level: usize) {
        match &mut self.helper {
            Some(helper) if level != 1 => {
                helper.pending.push_back(b'\n');
                helper.write();
            }
            Some(_) => {}
            None => signal_group(&self.child, level),
        }
    }

    /// Until a signal, output or the end of a child, at most `limit`.
    fn wait_for_news(&self, signals: &Signals, limit: Duration) {
        let wake = signals.fd();
        let mut fds = vec![PollFd::new(&wake, PollFlags::IN)];
        let outputs: Vec<BorrowedFd<'_>> = [&self.out, &self.err]
            .into_iter()
            .filter_map(Stream::fd)
            .collect();
        fds.extend(outputs.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
        if let Some(helper) = self
            .helper
            .as_ref()
            .filter(|helper| !helper.pending.is_empty())
        {
            fds.push(PollFd::from_borrowed_fd(
                helper.stdin.as_fd(),
                PollFlags::OUT,
            ));
        }
        let _ = poll(&mut fds, Timespec::try_from(limit).ok().as_ref());
        signals.drain();
    }

    /// Until both streams are closed, at most `DRAIN`.
    pub(super) fn drain(&mut self, how: &How<'_>, tee: &mut Tee<'_>) {
        let end = Instant::now() + DRAIN;
        self.transfer(tee);
        while (self.out.fd().is_some() || self.err.fd().is_some()) && Instant::now() < end {
            self.wait_for_news(how.signals, end.saturating_duration_since(Instant::now()));
            self.transfer(tee);
        }
    }

    /// What is left in the group goes too, while the group is still ours.
    pub(super) fn reap(&mut self) -> std::io::Result<ExitStatus> {
        signal_group(&self.child, 2);
        self.reaped = true;
        let status = self.child.wait();
        if let Some(mut warden) = self.warden.take() {
            let _ = warden.wait();
        }
        status
    }

    /// The last of the output, and the answer.
    pub(super) fn finish(mut self, tee: &mut Tee<'_>) -> Vec<u8> {
        self.transfer(tee);
        if self.helper.is_none() {
            self.out.finish_output(tee);
        }
        self.err.finish(tee);
        std::mem::take(&mut self.answer)
    }
}

impl Drop for Watched {
    /// An error of ours must not leave a child behind.
    fn drop(&mut self) {
        if !self.reaped {
            self.helper = None;
            let _ = self.reap();
        }
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

fn signal_group(child: &Child, level: usize) {
    let signal = [Signal::INT, Signal::TERM, Signal::KILL][level.min(2)];
    let _ = kill_process_group(pid(child), signal);
    // One that is suspended could not even end.
    let _ = kill_process_group(pid(child), Signal::CONT);
}

/// Until a signal or the end of a child, at most `limit`.
pub(super) fn wait_for_news(signals: &Signals, limit: Duration) {
    let fd = signals.fd();
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let _ = poll(&mut fds, Timespec::try_from(limit).ok().as_ref());
    signals.drain();
}

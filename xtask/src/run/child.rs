//! One child process, supervised: its output goes to the log and the terminal,
//! its end is one of exited, died with a node, deadline, interrupted.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::tee::{Stream, Tee};
use super::{Observer, interrupted, signals::Signals, spawn};
use crate::failure::{Because, Exit, Failure, Result};
use crate::plan::Run;
use crate::ui::Ui;

/// How a child is run and watched.
pub(super) struct How<'a> {
    pub(super) log: Option<Utf8PathBuf>,
    pub(super) deadline: Duration,
    pub(super) observer: Option<&'a mut Observer>,
    pub(super) signals: &'a Signals,
    pub(super) ui: &'a Ui,
    pub(super) grace: Grace,
    /// The child gets the listed environment and nothing of ours.
    pub(super) only_listed: bool,
    /// The count of Ctrl-C at which nothing is waited for any more.
    pub(super) kill_at: usize,
}

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

/// How a child came to its end.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// Its last lines.
    pub(super) tail: Vec<String>,
    /// What a root helper said to us.
    pub(super) answer: Vec<u8>,
    /// Set when we made it end, and why.
    pub(super) stopped: Option<Failure>,
}

/// How often an observer looks, and at most how long a signal is overlooked.
const LOOK: Duration = Duration::from_millis(100);
/// How long a pipe may stay open after the child that we started has ended:
/// something that forked away may hold it for ever.
const DRAIN: Duration = Duration::from_millis(300);
/// After this no deadline is meant.
pub(super) const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// A root helper answers with one line.
const ANSWER_LIMIT: usize = 1 << 20;

/// Run to the end, or to one of the other ends.
pub(super) fn run(run: &Run, why: &str, how: How<'_>) -> Result<()> {
    let log = how.log.clone();
    let Some((program, rest)) = run.argv.split_first() else {
        return Err(Failure::step(format!("step \"{why}\" has no command")));
    };
    let mut command = spawn::command(program);
    command.args(rest).stdin(Stdio::null());
    if how.only_listed {
        command.env_clear();
    }
    command.envs(run.env.iter().map(|(name, value)| (name, value)));
    if let Some(cwd) = &run.cwd {
        // Else the system's error would read as if the program were missing.
        if !cwd.is_dir() {
            return Err(Failure::step(format!("step \"{why}\" failed: there is no folder `{cwd}`")));
        }
        command.current_dir(cwd);
    }
    let ended = supervise(&mut command, program, how, None)?;
    let is_fine = |status: ExitStatus| status.code().is_some_and(|code| code == 0 || run.also_ok.contains(&code));
    match ended.stopped {
        Some(failure) => Err(stopped(failure, why, ended.tail, log.as_deref())),
        None if is_fine(ended.status) => Ok(()),
        None => Err(ended_badly(why, program, ended.status, ended.tail, log.as_deref())),
    }
}

/// Evidence for an end that we brought about.
pub(super) fn stopped(mut failure: Failure, why: &str, tail: Vec<String>, log: Option<&Utf8Path>) -> Failure {
    if failure.exit == Exit::Interrupted || failure.exit == Exit::NodeDied {
        return failure;
    }
    failure.what = format!("step \"{why}\" failed: {}", failure.what);
    if failure.excerpt.is_empty() {
        failure.excerpt = tail;
    }
    in_log(failure, log)
}

pub(super) fn in_log(failure: Failure, log: Option<&Utf8Path>) -> Failure {
    match log {
        Some(log) => failure.cause(format!("its whole output is in {log}")),
        None => failure,
    }
}

fn ended_badly(why: &str, program: &str, status: ExitStatus, tail: Vec<String>, log: Option<&Utf8Path>) -> Failure {
    let name = program.rsplit('/').next().unwrap_or(program);
    let mut failure = Failure::step(format!("step \"{why}\" failed: `{name}` ended with {status}"));
    failure.excerpt = tail;
    in_log(failure, log)
}

/// Start `command` and wait for one of its ends. `request` is written to its
/// standard input, which then stays open until it is to stop, and its standard
/// output is its answer.
pub(super) fn supervise(
    command: &mut std::process::Command,
    name: &str,
    mut how: How<'_>,
    request: Option<&[u8]>,
) -> Result<Ended> {
    let mut tee = Tee::open(how.log.as_deref(), how.ui)?;
    if request.is_some() {
        command.stdin(Stdio::piped());
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = spawn::spawn(command).map_err(|error| cannot_start(name, &error))?;
    let mut watched = Watched::new(child, request)?;
    let stopped = watched.wait(&mut how, &mut tee);
    watched.drain(&how, &mut tee);
    let status = watched.reap().because(|| format!("cannot wait for `{name}`"))?;
    let answer = watched.finish(&mut tee);
    Ok(Ended {
        status,
        tail: tee.tail(),
        answer,
        stopped,
    })
}

pub(super) fn cannot_start(name: &str, error: &std::io::Error) -> Failure {
    let failure = Failure::host(format!("cannot start `{name}`")).cause(error);
    match error.kind() {
        std::io::ErrorKind::NotFound if name.contains('/') && std::path::Path::new(name).exists() => {
            failure.cause("the file is there, but the interpreter in its first line, or its loader, is not")
        }
        std::io::ErrorKind::NotFound => failure.hint("cargo xtask doctor"),
        _ => failure,
    }
}

struct Watched {
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
    fn new(mut child: Child, request: Option<&[u8]>) -> Result<Self> {
        let warden = if request.is_none() { spawn::warden(&child) } else { None };
        let (stdin, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
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
            super::tee::never_wait(&helper.stdin).because(cannot)?;
        }
        Ok(watched)
    }

    /// Returns why it was stopped, or nothing when it ended by itself.
    fn wait(&mut self, how: &mut How<'_>, tee: &mut Tee<'_>) -> Option<Failure> {
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
                self.escalate(failure, false);
            } else if self.stopping.is_none() && Instant::now() >= next_look {
                next_look = Instant::now() + LOOK;
                if let Some(death) = how.observer.as_mut().and_then(|look| look()) {
                    self.escalate(death, false);
                }
            }
            self.press_on(how.grace);
            self.wait_for_news(how.signals, LOOK);
        }
    }

    fn transfer(&mut self, tee: &mut Tee<'_>) {
        self.err.read_into(tee);
        if let Some(helper) = &mut self.helper {
            helper.write();
            self.out.read_to(&mut self.answer, ANSWER_LIMIT);
        } else {
            self.out.read_into(tee);
        }
    }

    /// Ended but not reaped: its process group cannot be another's yet.
    fn look(&self) -> Seen {
        let options = WaitIdOptions::EXITED | WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::Pid(pid(&self.child)), options) {
            Ok(None) | Err(rustix::io::Errno::INTR) => Seen::Running,
            Ok(Some(status)) if status.stopped() => Seen::Suspended(status.stopping_signal().unwrap_or(0)),
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
            let failure = Failure::step("it asks something on the terminal, which a step does not have")
                .hint("answer beforehand: log in, or unlock the key, and try again");
            self.escalate(failure, false);
        } else {
            ui.note(&format!("the step is suspended; `kill -CONT {pid}` continues it"));
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
        let Some((_, since, level)) = &mut self.stopping else { return };
        if limits.get(*level).is_some_and(|limit| since.elapsed() > *limit) {
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
        let outputs: Vec<BorrowedFd<'_>> = [&self.out, &self.err].into_iter().filter_map(Stream::fd).collect();
        fds.extend(outputs.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
        if let Some(helper) = self.helper.as_ref().filter(|helper| !helper.pending.is_empty()) {
            fds.push(PollFd::from_borrowed_fd(helper.stdin.as_fd(), PollFlags::OUT));
        }
        let _ = poll(&mut fds, Timespec::try_from(limit).ok().as_ref());
        signals.drain();
    }

    /// Until both streams are closed, at most `DRAIN`.
    fn drain(&mut self, how: &How<'_>, tee: &mut Tee<'_>) {
        let end = Instant::now() + DRAIN;
        self.transfer(tee);
        while (self.out.fd().is_some() || self.err.fd().is_some()) && Instant::now() < end {
            self.wait_for_news(how.signals, end.saturating_duration_since(Instant::now()));
            self.transfer(tee);
        }
    }

    /// What is left in the group goes too, while the group is still ours.
    fn reap(&mut self) -> std::io::Result<ExitStatus> {
        signal_group(&self.child, 2);
        self.reaped = true;
        let status = self.child.wait();
        if let Some(mut warden) = self.warden.take() {
            let _ = warden.wait();
        }
        status
    }

    /// The last of the output, and the answer.
    fn finish(mut self, tee: &mut Tee<'_>) -> Vec<u8> {
        self.transfer(tee);
        self.err.finish(tee);
        if self.helper.is_none() {
            self.out.finish(tee);
        }
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

/// Run with the terminal: same process group, streams inherited. Returns the
/// child's own exit code, 128 + N for a signal, as a shell does.
///
/// # Errors
/// When it cannot be started.
pub fn interactive(argv: &[String]) -> Result<u8> {
    let (program, args) = argv.split_first().ok_or_else(|| Failure::usage("no command"))?;
    let mut command = spawn::command(program);
    let status = spawn::spawn_here(command.args(args))
        .and_then(|mut child| child.wait())
        .map_err(|error| cannot_start(program, &error))?;
    Ok(shell_code(status))
}

/// An exit status as a shell has it in `$?`.
pub(super) fn shell_code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code).unwrap_or(u8::MAX)
}

#[cfg(test)]
#[path = "child_tests.rs"]
mod tests;

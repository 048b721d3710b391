//! One child process, supervised: its output goes to the log and the terminal,
//! its end is one of exited, died with a node, deadline, interrupted.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::process::{Child, ChildStderr, ChildStdout, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

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
}

/// After SIGINT, then after SIGTERM, before the next stronger signal.
const GRACE: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(5)];
/// How often an observer looks.
const LOOK: Duration = Duration::from_millis(100);
/// How long a pipe may stay open after the child that we started has ended:
/// something that forked away may hold it for ever.
const DRAIN: Duration = Duration::from_millis(300);
/// A log is evidence, not a disk filler.
const LOG_LIMIT: usize = 64 << 20;
/// Last lines kept for the error message.
const TAIL: usize = 12;

/// Run to the end, or to one of the other ends.
pub(super) fn run(run: &Run, why: &str, how: How<'_>) -> Result<()> {
    let log = how.log.clone();
    let mut command = spawn::command(program(run)?);
    command.args(&run.argv[1..]).stdin(Stdio::null());
    command.envs(run.env.iter().map(|(name, value)| (name, value)));
    if let Some(cwd) = &run.cwd {
        command.current_dir(cwd);
    }
    let (status, tail) = supervise(&mut command, &run.argv[0], how, None)?;
    if status.success()
        || status
            .code()
            .is_some_and(|code| run.also_ok.contains(&code))
    {
        return Ok(());
    }
    Err(ended_badly(why, &run.argv, status, tail, log.as_deref()))
}

fn program(run: &Run) -> Result<&str> {
    run.argv
        .first()
        .map(String::as_str)
        .ok_or_else(|| Failure::step("a step without a command"))
}

fn ended_badly(
    why: &str,
    argv: &[String],
    status: ExitStatus,
    tail: Vec<String>,
    log: Option<&Utf8Path>,
) -> Failure {
    let name = argv
        .first()
        .map_or("", |program| program.rsplit('/').next().unwrap_or(program));
    let mut failure = Failure::step(format!(
        "step \"{why}\" failed: `{name}` ended with {status}"
    ));
    failure.excerpt = tail;
    if let Some(log) = log {
        failure = failure.cause(format!("its whole output is in {log}"));
    }
    failure
}

/// Start `command` and wait for one of its ends. `lifeline` is written to its
/// standard input, which then stays open until it is to stop.
pub(super) fn supervise(
    command: &mut std::process::Command,
    name: &str,
    how: How<'_>,
    lifeline: Option<&[u8]>,
) -> Result<(ExitStatus, Vec<String>)> {
    if lifeline.is_some() {
        command.stdin(Stdio::piped());
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn::spawn(command).map_err(|error| cannot_start(name, &error))?;
    let input = match (child.stdin.take(), lifeline) {
        (Some(mut stdin), Some(first)) => stdin.write_all(first).is_ok().then_some(stdin),
        _ => None,
    };
    let mut tee = Tee::open(how.log.as_deref(), how.ui)?;
    let lines = read_lines(child.stdout.take(), child.stderr.take());
    let mut watched = Watched {
        child,
        input,
        stopping: None,
        seen_interrupts: 0,
    };
    let end = watched.wait(how, &lines, &mut tee);
    tee.drain(&lines, DRAIN);
    let status = watched.reap()?;
    end.map(|()| (status, tee.tail.into()))
}

pub(super) fn cannot_start(name: &str, error: &std::io::Error) -> Failure {
    let failure = Failure::host(format!("cannot start `{name}`")).cause(error);
    if error.kind() == std::io::ErrorKind::NotFound {
        failure.hint("cargo xtask doctor")
    } else {
        failure
    }
}

struct Watched {
    child: Child,
    /// Closing it tells a root helper that we want it to stop.
    input: Option<std::process::ChildStdin>,
    /// Why, since when, and how strongly we have asked so far.
    stopping: Option<(Failure, Instant, usize)>,
    seen_interrupts: usize,
}

impl Watched {
    fn wait(
        &mut self,
        mut how: How<'_>,
        lines: &mpsc::Receiver<Vec<u8>>,
        tee: &mut Tee<'_>,
    ) -> Result<()> {
        let end = Instant::now() + how.deadline;
        loop {
            tee.take(lines);
            if self.has_ended() {
                return self
                    .stopping
                    .take()
                    .map_or(Ok(()), |(failure, ..)| Err(failure));
            }
            let interrupts = how.signals.count();
            if interrupts > self.seen_interrupts {
                self.seen_interrupts = interrupts;
                self.escalate(interrupted(), interrupts > 1);
            } else if self.stopping.is_none() && Instant::now() > end {
                let limit = how.deadline.as_secs();
                let failure = Failure::new(Exit::Deadline, format!("not done after {limit} s"));
                self.escalate(failure, false);
            } else if self.stopping.is_none()
                && let Some(death) = how.observer.as_mut().and_then(|look| look())
            {
                self.escalate(death, false);
            }
            self.press_on();
            wait_for_news(how.signals, LOOK);
        }
    }

    /// Ended but not reaped: its process group cannot be another's yet.
    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(pid(&self.child)), options), Ok(None))
    }

    fn escalate(&mut self, failure: Failure, at_once: bool) {
        self.input = None;
        let level = if at_once { 2 } else { 0 };
        signal_group(&self.child, level);
        match &mut self.stopping {
            Some((_, since, so_far)) => {
                *since = Instant::now();
                *so_far = (*so_far).max(level);
            }
            None => self.stopping = Some((failure, Instant::now(), level)),
        }
    }

    /// A child that does not listen is asked more strongly.
    fn press_on(&mut self) {
        if let Some((_, since, level)) = &mut self.stopping
            && GRACE
                .get(*level)
                .is_some_and(|grace| since.elapsed() > *grace)
        {
            *level += 1;
            *since = Instant::now();
            signal_group(&self.child, *level);
        }
    }

    /// What is left in the group goes too, while the group is still ours.
    fn reap(&mut self) -> Result<ExitStatus> {
        signal_group(&self.child, 2);
        self.child
            .wait()
            .because(|| "cannot wait for a child".to_owned())
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

fn signal_group(child: &Child, level: usize) {
    let signal = [Signal::INT, Signal::TERM, Signal::KILL][level.min(2)];
    let _ = kill_process_group(pid(child), signal);
}

/// Until a signal or the end of a child, at most `limit`.
pub(super) fn wait_for_news(signals: &Signals, limit: Duration) {
    let fd = signals.fd();
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let timeout = Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(limit.subsec_nanos()),
    };
    let _ = poll(&mut fds, Some(&timeout));
    signals.drain();
}

/// Whole lines of both streams, in the order they came.
fn read_lines(out: Option<ChildStdout>, err: Option<ChildStderr>) -> mpsc::Receiver<Vec<u8>> {
    // Bounded: a child that floods waits for us, not the other way round.
    let (sender, receiver) = mpsc::sync_channel(256);
    let streams: [Option<Box<dyn Read + Send>>; 2] =
        [out.map(|s| Box::new(s) as _), err.map(|s| Box::new(s) as _)];
    for mut stream in streams.into_iter().flatten() {
        let sender = sender.clone();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            let mut partial = Vec::new();
            while let Ok(read @ 1..) = stream.read(&mut buffer) {
                partial.extend_from_slice(&buffer[..read]);
                // Progress bars end their lines with a carriage return only.
                let cut = partial
                    .iter()
                    .rposition(|byte| matches!(byte, b'\n' | b'\r'));
                let whole = match cut {
                    Some(cut) => partial.drain(..=cut).collect(),
                    None if partial.len() > 64 << 10 => std::mem::take(&mut partial),
                    None => continue,
                };
                if sender.send(whole).is_err() {
                    return;
                }
            }
            let _ = sender.send(partial);
        });
    }
    receiver
}

/// Log, terminal and the last lines for an error message.
struct Tee<'a> {
    log: Option<std::fs::File>,
    logged: usize,
    ui: &'a Ui,
    tail: VecDeque<String>,
}

impl<'a> Tee<'a> {
    #[expect(clippy::disallowed_methods, reason = "`run` writes the step's log")]
    fn open(log: Option<&Utf8Path>, ui: &'a Ui) -> Result<Self> {
        let log = match log {
            Some(path) => {
                Some(std::fs::File::create(path).because(|| format!("cannot write `{path}`"))?)
            }
            None => None,
        };
        Ok(Self {
            log,
            logged: 0,
            ui,
            tail: VecDeque::new(),
        })
    }

    fn take(&mut self, lines: &mpsc::Receiver<Vec<u8>>) {
        // Bounded, so that a flood cannot keep us from looking at signals.
        for chunk in lines.try_iter().take(256) {
            self.write(&chunk);
        }
    }

    /// Until both streams are closed, at most `limit`.
    fn drain(&mut self, lines: &mpsc::Receiver<Vec<u8>>, limit: Duration) {
        let end = Instant::now() + limit;
        while let Ok(chunk) = lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.write(&chunk);
        }
    }

    fn write(&mut self, chunk: &[u8]) {
        if let Some(log) = &mut self.log
            && self.logged < LOG_LIMIT
        {
            self.logged += chunk.len();
            let _ = log.write_all(chunk);
            if self.logged >= LOG_LIMIT {
                let _ = log.write_all(b"\n[log ends here: 64 MiB]\n");
            }
        }
        self.ui.child_output(chunk);
        for line in String::from_utf8_lossy(chunk)
            .split(['\n', '\r'])
            .filter(|line| !line.is_empty())
        {
            self.tail.push_back(line.to_owned());
            if self.tail.len() > TAIL {
                self.tail.pop_front();
            }
        }
    }
}

/// Run with the terminal: same process group, streams inherited. Returns the
/// child's own exit code, 128 + N for a signal, as a shell does.
///
/// # Errors
/// When it cannot be started.
pub fn interactive(argv: &[String]) -> Result<u8> {
    use std::os::unix::process::ExitStatusExt;
    let (program, args) = argv
        .split_first()
        .ok_or_else(|| Failure::usage("no command"))?;
    let status = spawn::command(program)
        .args(args)
        .status()
        .map_err(|error| cannot_start(program, &error))?;
    let code = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(u8::try_from(code).unwrap_or(u8::MAX))
}

//! One running test binary.

use std::io::{PipeReader, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use gotest::events::{Event, Exit, Framer, Package, Verdict, What};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::{Finished, Job, Seen};
use crate::failure::{Because, Failure, Result};
use crate::run::exec_root::{Answer, Request, RootTest};
use crate::run::{spawn, stream};

/// For the goroutines of a test that hangs; then it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// How long a pipe may stay open after the binary has ended: something that
/// forked away may hold it.
const DRAIN: Duration = Duration::from_millis(300);
/// Read at once, and at most so often before others have their turn.
const BLOCK: usize = 64 << 10;
const TURN: usize = 16;
/// A log is evidence, not a disk filler.
const LOG_LIMIT: usize = 256 << 20;

enum Kind {
    User {
        child: Child,
        warden: Option<Child>,
    },
    Root {
        test: RootTest,
        begun: bool,
        ended: Option<(u8, bool)>,
    },
}

pub(super) struct Running {
    pub(super) job: Job,
    pub(super) began: Instant,
    kind: Kind,
    out: Option<PipeReader>,
    framer: Framer,
    results: Package,
    log: Option<std::fs::File>,
    logged: usize,
    exit: Option<(Exit, Instant)>,
    /// Since when it has been asked to end, and whether it was killed.
    stopping: Option<(Instant, bool)>,
    timed_out: bool,
    broken: Option<Failure>,
    left: Vec<String>,
}

impl Running {
    /// # Errors
    /// When the binary, or the helper for root, cannot be started.
    pub(super) fn start(job: Job) -> Result<Self> {
        let cannot = || format!("cannot run the tests of `{}`", job.package);
        let (out, theirs) = std::io::pipe().because(cannot)?;
        stream::never_wait(&out).because(cannot)?;
        let both = theirs.try_clone().because(cannot)?;
        let kind = if job.as_root {
            let test = RootTest::start(&request(&job), theirs.into(), both.into())?;
            Kind::Root {
                test,
                begun: false,
                ended: None,
            }
        } else {
            let mut command = spawn::command(job.binary.as_str());
            command
                .args(&job.arguments)
                .envs(job.environment.iter().cloned())
                .env("PWD", &job.folder)
                .current_dir(&job.folder)
                .stdin(Stdio::null())
                .stdout(theirs)
                .stderr(both);
            let child = spawn::spawn(&mut command).because(cannot)?;
            let warden = spawn::warden(&child);
            Kind::User { child, warden }
        };
        Ok(Self {
            began: Instant::now(),
            kind,
            out: Some(out),
            framer: Framer::default(),
            results: Package::new(job.package.clone()),
            log: crate::record::own::create(&job.log, 0o600).ok(),
            logged: 0,
            exit: None,
            stopping: None,
            timed_out: false,
            broken: None,
            left: Vec::new(),
            job,
        })
    }

    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        use std::os::fd::AsFd;
        let channel = match &self.kind {
            Kind::Root { test, .. } if self.exit.is_none() => Some(test.fd()),
            _ => None,
        };
        self.out
            .as_ref()
            .map(AsFd::as_fd)
            .into_iter()
            .chain(channel)
    }

    /// Read what there is. Returns whether there may be more.
    pub(super) fn read(&mut self, see: &mut dyn FnMut(Seen<'_>)) -> bool {
        let mut buffer = vec![0; BLOCK];
        for _ in 0..TURN {
            let Some(out) = &self.out else { return false };
            match rustix::io::read(out, &mut buffer) {
                Ok(0) => {
                    self.out = None;
                    return false;
                }
                Ok(read) => self.take(&buffer[..read], see),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return false,
                Err(_) => {
                    self.out = None;
                    return false;
                }
            }
        }
        true
    }

    fn take(&mut self, bytes: &[u8], see: &mut dyn FnMut(Seen<'_>)) {
        if let Some(log) = &mut self.log
            && self.logged < LOG_LIMIT
        {
            self.logged += bytes.len();
            // A full disk must not stop the tests.
            let _ = log.write_all(bytes);
        }
        let results = &mut self.results;
        self.framer
            .feed(bytes, &mut |event| told(results, event, see));
    }

    /// Look at its end and its clock. Returns whether it is over.
    pub(super) fn look(&mut self) -> bool {
        if self.exit.is_none() {
            self.look_at_end();
        }
        if self.exit.is_none()
            && self.stopping.is_none()
            && self.began.elapsed() > self.job.deadline
        {
            self.timed_out = true;
            self.signal(Signal::QUIT);
            self.stopping = Some((Instant::now(), false));
        }
        if let Some((since, false)) = self.stopping
            && since.elapsed() > GRACE
        {
            self.stopping = Some((since, true));
            self.signal(Signal::KILL);
        }
        match &self.exit {
            Some((_, at)) => self.out.is_none() || at.elapsed() > DRAIN,
            None => false,
        }
    }

    fn look_at_end(&mut self) {
        let exit = match &mut self.kind {
            Kind::User { child, .. } => {
                // Not reaped: its group cannot be another's yet.
                let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
                match waitid(WaitId::Pid(Pid::from_child(child)), options) {
                    Ok(None) | Err(rustix::io::Errno::INTR) => return,
                    _ => {}
                }
                let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
                match child.wait() {
                    Ok(status) => exit_of(status),
                    Err(_) => Exit::Unknown,
                }
            }
            Kind::Root { test, begun, ended } => {
                let status = test.try_wait();
                for answer in test.answers() {
                    match answer {
                        Answer::Begun => *begun = true,
                        Answer::Refused { what, hint } => {
                            self.broken = Some(Answer::refusal(&what, hint.as_deref()));
                        }
                        Answer::Left(names) => self.left = names,
                        Answer::Ended { code, timed_out } => *ended = Some((code, timed_out)),
                    }
                }
                match (status, &ended) {
                    (Ok(None), _) => return,
                    (_, Some((code, timed_out))) => {
                        self.timed_out |= timed_out;
                        if let Err(failure) = test.delivered() {
                            self.broken.get_or_insert(failure);
                        }
                        match code {
                            129.. => Exit::Signal(i32::from(code - 128)),
                            code => Exit::Code(i32::from(*code)),
                        }
                    }
                    (status, None) => {
                        let how = status.ok().flatten();
                        let how = how.map_or_else(String::new, |status| format!(" ({status})"));
                        let what = if *begun {
                            Failure::step(format!("the helper of tests as root ended early{how}"))
                        } else {
                            Failure::host(format!("sudo refused a test as root{how}"))
                                .hint("sudo -v")
                        };
                        self.broken.get_or_insert(what);
                        Exit::Unknown
                    }
                }
            }
        };
        self.exit = Some((exit, Instant::now()));
        if let Kind::User { warden, .. } = &mut self.kind
            && let Some(mut warden) = warden.take()
        {
            let _ = warden.wait();
        }
    }

    fn signal(&self, signal: Signal) {
        match &self.kind {
            Kind::User { child, .. } if self.exit.is_none() => {
                let _ = kill_process_group(Pid::from_child(child), signal);
                let _ = kill_process_group(Pid::from_child(child), Signal::CONT);
            }
            Kind::User { .. } => {}
            Kind::Root { test, .. } if signal == Signal::QUIT => test.dump(),
            // Asked a second time it is killed.
            Kind::Root { test, .. } => test.interrupt(),
        }
    }

    /// The user wants it to end; at the second time at once.
    pub(super) fn stop(&mut self) {
        match self.stopping {
            None => {
                self.signal(Signal::INT);
                self.stopping = Some((Instant::now(), false));
            }
            Some((since, _)) => {
                self.signal(Signal::KILL);
                self.stopping = Some((since, true));
            }
        }
    }

    pub(super) fn finish(mut self, see: &mut dyn FnMut(Seen<'_>)) -> Finished {
        self.read(see);
        let mut results = self.results;
        let last = self
            .framer
            .finish(&mut |event| told(&mut results, event, see));
        results.seconds = self.began.elapsed().as_secs_f64();
        let exit = self.exit.map_or(Exit::Unknown, |(exit, _)| exit);
        if self.timed_out {
            results.close(Verdict::TimedOut);
        } else if self.stopping.is_some() && matches!(exit, Exit::Signal(_)) {
            results.close(Verdict::Stopped);
        } else {
            results.end(exit, last);
        }
        Finished {
            job: self.job,
            results,
            broken: self.broken,
            left: self.left,
        }
    }
}

/// One event into results, and to whoever follows.
pub fn told(results: &mut Package, event: Event, see: &mut dyn FnMut(Seen<'_>)) {
    match (&event.what, &event.test) {
        (What::End(..), Some(test)) => {
            let test = test.clone();
            results.see(event);
            see(Seen::Ended(&test, results));
        }
        (What::Output(_), _) | (_, None) => results.see(event),
        _ => {
            see(Seen::Event(&event));
            results.see(event);
        }
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Unknown,
    }
}

fn request(job: &Job) -> Request {
    Request {
        binary: job.binary.clone(),
        arguments: job.arguments.clone(),
        folder: job.folder.clone(),
        environment: job.environment.clone(),
        isolate: job.pool == super::Pool::Isolated,
        // Ours comes first: it says that it was the clock.
        deadline: job.deadline.saturating_add(2 * GRACE).as_secs(),
    }
}

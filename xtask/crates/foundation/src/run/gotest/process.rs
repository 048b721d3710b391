//! One running test binary.

use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use gotest::events::{End as Ended, Event, Exit, Framer, Package, Verdict, What, json_line};
use tokio::sync::watch::Receiver;

use super::{Finished, Job, Seen};
use crate::failure::{Because, Failure, Result};
use crate::run::child::{Ask, Child, Reach};
use crate::run::core::{self, Follow, Grace, Limits, Pipes, Stopped, Stream};
use crate::run::exec_root::{self, Request};
use crate::run::log::Log;
use crate::run::{exit_code, spawn};

/// Time for a hanging test to print its goroutines, before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// Takes what a binary prints.
struct Following<'a> {
    framer: Framer,
    results: Package,
    log: Log,
    events: Option<Events>,
    see: &'a mut dyn FnMut(Seen<'_>),
}

impl Follow for Following<'_> {
    fn output(&mut self, _: Stream, bytes: &[u8]) {
        // A full disk must not stop the tests.
        let _ = self.log.write(bytes);
        let (results, see) = (&mut self.results, &mut *self.see);
        let events = &mut self.events;
        self.framer.feed(bytes, &mut |event| {
            if let Some(events) = events {
                events.write(Some(&event));
            }
            told(results, event, see);
        });
    }
}

/// Writes events as `go test -json` prints them.
struct Events {
    package: String,
    file: Log,
}

impl Events {
    /// `None`: the package begins.
    fn write(&mut self, event: Option<&Event>) {
        let now = jiff::Timestamp::now().to_string();
        let line = json_line(&now, &self.package, event);
        // A full disk must not stop the tests.
        let _ = self.file.write(line.as_bytes());
    }

    /// The package's result, with the line that go prints for it.
    fn end(&mut self, results: &Package) {
        let is_ok = results.verdict.as_ref().is_some_and(Verdict::is_ok);
        let (word, end) = if is_ok {
            ("ok  ", Ended::Pass)
        } else {
            ("FAIL", Ended::Fail)
        };
        let line = format!("{word}\t{}\t{:.3}s\n", self.package, results.seconds);
        let whats = [
            What::Output(line.into_bytes()),
            What::End(end, Some(results.seconds)),
        ];
        for what in whats {
            self.write(Some(&Event { test: None, what }));
        }
    }
}

/// How a binary came to its end.
struct End {
    exit: Exit,
    stopped: Option<Stopped>,
    broken: Option<Failure>,
    left: Vec<String>,
}

impl End {
    fn broken(failure: Failure) -> Self {
        Self {
            exit: Exit::Unknown,
            stopped: None,
            broken: Some(failure),
            left: Vec::new(),
        }
    }
}

/// Runs `job` to its end; `see` gets its events.
pub(super) async fn run(
    job: Job,
    stop: Receiver<usize>,
    see: &mut dyn FnMut(Seen<'_>),
) -> Finished {
    let began = Instant::now();
    let mut following = Following {
        framer: Framer::default(),
        results: Package::new(job.attempt.package.clone()),
        log: Log::create(&job.log).unwrap_or_default(),
        events: job.events.as_ref().map(|path| Events {
            package: job.attempt.package.clone(),
            file: Log::create(path).unwrap_or_default(),
        }),
        see,
    };
    following.results.keep_all = job.keeps_all;
    let now = jiff::Timestamp::now();
    following.results.started = Some(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    if let Some(events) = &mut following.events {
        events.write(None);
    }
    let ended = if job.attempt.as_root {
        as_root(&job, stop, &mut following).await
    } else {
        as_user(&job, stop, &mut following).await
    };
    let (is_started, end) = match ended {
        Ok(end) => (true, end),
        Err(failure) => (false, End::broken(failure)),
    };
    let Following {
        framer,
        mut results,
        mut events,
        see,
        ..
    } = following;
    let last = framer.finish(&mut |event| {
        if let Some(events) = &mut events {
            events.write(Some(&event));
        }
        told(&mut results, event, see);
    });
    results.seconds = began.elapsed().as_secs_f64();
    match (end.stopped, end.exit) {
        _ if !is_started => results.close(Verdict::Incomplete),
        (Some(Stopped::Deadline), _) => results.close(Verdict::TimedOut),
        (Some(_), Exit::Signal(_)) => results.close(Verdict::Stopped),
        (_, exit) => results.end(exit, last),
    }
    if let Some(events) = &mut events {
        events.end(&results);
    }
    Finished {
        attempt: job.attempt,
        results,
        broken: end.broken,
        left: end.left,
    }
}

async fn as_user(job: &Job, stop: Receiver<usize>, following: &mut Following<'_>) -> Result<End> {
    let cannot = || format!("cannot run the tests of `{}`", job.attempt.package);
    let (ours, theirs) = std::io::pipe().because(cannot)?;
    let mut child = {
        let mut command = spawn::command(job.binary.as_str());
        command
            .args(&job.arguments)
            .envs(job.environment.iter().cloned())
            .env("PWD", &job.folder)
            .current_dir(&job.folder)
            .stdin(Stdio::null())
            .stdout(theirs.try_clone().because(cannot)?)
            .stderr(theirs);
        Child::start(&mut command).because(cannot)?
    };
    let pipes = Pipes::new([Some(ours.into()), None]).because(cannot)?;
    let (status, stopped) = follow(&mut child, pipes, job, stop, following).await?;
    let mut end = End {
        exit: exit_code::to_exit(status),
        stopped,
        broken: None,
        left: Vec::new(),
    };
    if let Some(Stopped::Failed(failure)) = &end.stopped {
        end.broken = Some(failure.clone());
    }
    Ok(end)
}

async fn as_root(job: &Job, stop: Receiver<usize>, following: &mut Following<'_>) -> Result<End> {
    let cannot = || format!("cannot run the tests of `{}`", job.attempt.package);
    let (ours, theirs) = std::io::pipe().because(cannot)?;
    let both = theirs.try_clone().because(cannot)?;
    let mut child = exec_root::start(&request(job), theirs.into(), both.into())?;
    let pipes = Pipes::new([Some(ours.into()), None]).because(cannot)?;
    let (status, mut stopped) = follow(&mut child, pipes, job, stop, following).await?;
    let outcome = child.reach.outcome(status);
    let exit = match outcome.ended {
        Some((code, timed_out)) => {
            if timed_out {
                stopped = Some(Stopped::Deadline);
            }
            exit_code::to_test_exit(code)
        }
        None => Exit::Unknown,
    };
    Ok(End {
        exit,
        stopped,
        broken: outcome.broken,
        left: outcome.left,
    })
}

async fn follow<R: Reach>(
    child: &mut Child<R>,
    pipes: Pipes,
    job: &Job,
    stop: Receiver<usize>,
    following: &mut Following<'_>,
) -> Result<(ExitStatus, Option<Stopped>)> {
    let limits = Limits {
        deadline: job.deadline,
        at_deadline: Ask::Dump,
        grace: Grace {
            interrupt: GRACE,
            terminate: Duration::ZERO,
        },
        ..Limits::new(stop)
    };
    core::follow(child, pipes, limits, following)
        .await
        .because(|| format!("cannot wait for the tests of `{}`", job.attempt.package))
}

/// Adds one event to the results, and passes it to `see`.
pub fn told(results: &mut Package, event: Event, see: &mut dyn FnMut(Seen<'_>)) {
    match (&event.what, &event.test) {
        (What::End(..), Some(test)) => {
            let test = test.clone();
            results.apply(event);
            see(Seen::Ended(&test, results));
        }
        (What::Output(_), _) | (_, None) => results.apply(event),
        _ => {
            see(Seen::Event(&event));
            results.apply(event);
        }
    }
}

fn request(job: &Job) -> Request {
    Request {
        binary: job.binary.clone(),
        arguments: job.arguments.clone(),
        folder: job.folder.clone(),
        environment: job.environment.clone(),
        isolate: job.pool == super::Pool::Isolated,
        // The deadline of this side comes first: only it knows the reason.
        deadline: job.deadline.saturating_add(2 * GRACE).as_secs(),
    }
}

//! All links and jobs of a run: what may run beside what, and one loop that
//! waits for whatever comes next. One thread, which outlives them all.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::link::{Link, Linked, Linking};
use super::process::Running;
use super::{Finished, Job, Pool, Seen};
use crate::failure::Result;
use crate::run::Signals;

/// How often clocks are looked at and the picture is drawn.
const TICK: Duration = Duration::from_millis(100);
/// Freshly linked binaries are seen by looking at files.
const LINK_TICK: Duration = Duration::from_millis(20);

/// What the run of a crew ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// All is done.
    Done,
    Interrupted,
}

/// Who follows a run, and says what comes of it.
pub trait Observe {
    /// A package can be run, or cannot be built: the jobs to run for it.
    fn linked(&mut self, linked: Linked) -> Vec<Job>;
    fn started(&mut self, job: &Job, number: usize);
    fn seen(&mut self, number: usize, seen: Seen<'_>);
    /// Returns more to run: tests again.
    fn finished(&mut self, number: usize, finished: Finished) -> Vec<Job>;
    /// Several times a second.
    fn tick(&mut self, waiting: &[Job]);
    /// Whether enough has failed.
    fn wants_to_stop(&self) -> bool;
}

/// Runs links one after the other, and jobs beside them.
#[derive(Debug)]
pub struct Crew<'a> {
    pub signals: &'a Signals,
    /// How many jobs at once.
    pub size: usize,
}

/// What is to be done, and what is being done.
struct Work {
    /// The next one last.
    links: Vec<Link>,
    linking: Option<Linking>,
    waiting: Vec<Job>,
    /// With their numbers.
    running: Vec<(usize, Running)>,
}

impl Work {
    /// The next link, where none runs.
    fn start_link(&mut self) -> Result<()> {
        if self.linking.is_none()
            && let Some(link) = self.links.pop()
        {
            self.linking = Some(Linking::start(link)?);
        }
        Ok(())
    }

    /// What has been linked since the last look.
    fn linked(&mut self) -> Result<Vec<Linked>> {
        let Some(now) = &mut self.linking else {
            return Ok(Vec::new());
        };
        let (linked, over) = now.look()?;
        if over {
            self.linking = None;
        }
        Ok(linked)
    }

    /// Begin nothing more, and end what runs.
    fn stop(&mut self) {
        self.waiting.clear();
        self.links.clear();
        if let Some(linking) = &mut self.linking {
            linking.stop();
        }
        for (_, job) in &mut self.running {
            job.stop();
        }
    }

    fn is_done(&self) -> bool {
        self.running.is_empty()
            && self.waiting.is_empty()
            && self.linking.is_none()
            && self.links.is_empty()
    }
}

impl Crew<'_> {
    /// Until all is done, or the user has had enough.
    ///
    /// # Errors
    /// When go cannot be started, or the system refuses to wait.
    pub fn run(&self, mut links: Vec<Link>, observe: &mut dyn Observe) -> Result<Stop> {
        let _attention = self.signals.attend();
        links.reverse();
        let mut work = Work {
            links,
            linking: None,
            waiting: Vec::new(),
            running: Vec::new(),
        };
        let (mut numbers, mut seen, mut stopped) = (0, 0, false);
        loop {
            work.start_link()?;
            for linked in work.linked()? {
                if !stopped {
                    work.waiting.extend(observe.linked(linked));
                }
            }
            while !stopped && let Some(at) = next(&work.waiting, &work.running, self.size) {
                let job = work.waiting.swap_remove(at);
                numbers += 1;
                observe.started(&job, numbers);
                match Running::start(job.clone()) {
                    Ok(job) => work.running.push((numbers, job)),
                    Err(failure) => {
                        let finished = broken(job, failure);
                        work.waiting.extend(observe.finished(numbers, finished));
                    }
                }
            }
            let more = self.attend(&mut work, observe);
            let interrupts = self.signals.count();
            let enough = observe.wants_to_stop() && !stopped;
            if interrupts > seen || enough {
                seen = interrupts;
                stopped = true;
                work.stop();
            }
            if work.is_done() {
                let interrupted = stopped && self.signals.count() > 0;
                return Ok(if interrupted {
                    Stop::Interrupted
                } else {
                    Stop::Done
                });
            }
            observe.tick(&work.waiting);
            if !more {
                self.wait(&work);
            }
        }
    }

    /// Read, look, take off what has ended. Returns whether there is more to
    /// read at once.
    fn attend(&self, work: &mut Work, observe: &mut dyn Observe) -> bool {
        let mut more = false;
        let mut over = Vec::new();
        for (at, (number, job)) in work.running.iter_mut().enumerate() {
            more |= job.read(&mut |seen| observe.seen(*number, seen));
            if job.look() {
                over.push(at);
            }
        }
        for at in over.into_iter().rev() {
            let (number, job) = work.running.swap_remove(at);
            let finished = job.finish(&mut |seen| observe.seen(number, seen));
            let again = observe.finished(number, finished);
            if self.signals.count() == 0 {
                work.waiting.extend(again);
            }
        }
        more
    }

    fn wait(&self, work: &Work) {
        let wake = self.signals.fd();
        let outputs = work.running.iter().flat_map(|(_, job)| job.fds());
        let fds: Vec<BorrowedFd<'_>> = std::iter::once(wake)
            .chain(outputs)
            .chain(work.linking.iter().flat_map(Linking::fds))
            .collect();
        let mut fds: Vec<PollFd<'_>> = fds
            .iter()
            .map(|fd| PollFd::new(fd, PollFlags::IN))
            .collect();
        let limit = if work.linking.is_some() {
            LINK_TICK
        } else {
            TICK
        };
        let _ = poll(&mut fds, Timespec::try_from(limit).ok().as_ref());
        self.signals.drain();
    }
}

/// The job to start now: again before new, longest first.
fn next(waiting: &[Job], running: &[(usize, Running)], size: usize) -> Option<usize> {
    if running.len() >= size.max(1) {
        return None;
    }
    let is_taken = |pool: Pool| {
        pool == Pool::Host && running.iter().any(|(_, job)| job.job.pool == Pool::Host)
    };
    let order = |job: &Job| (job.again.is_some(), job.expected);
    waiting
        .iter()
        .enumerate()
        .filter(|(_, job)| !is_taken(job.pool))
        .max_by(|(_, a), (_, b)| {
            let (a, b) = (order(a), order(b));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        })
        .map(|(at, _)| at)
}

fn broken(job: Job, failure: crate::failure::Failure) -> Finished {
    let mut results = gotest::events::Package::new(job.package.clone());
    results.close(gotest::events::Verdict::Incomplete);
    Finished {
        job,
        results,
        broken: Some(failure),
        left: Vec::new(),
    }
}

//! All links and jobs of a run: which may run at the same time, and one loop that
//! waits for all of them, in one thread that outlives them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch::{self, Receiver};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::fresh::Inputs;
use super::link::{self, Link, Linked};
use super::{Finished, Job, Pool, Seen, process};
use crate::failure::Result;
use crate::run::core::more_than;
use crate::signals::Signals;
use crate::wait::runtime;

/// How often [`Observe::tick`] is called.
const TICK: Duration = Duration::from_millis(100);

/// How the run of a crew ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// All jobs have ended.
    Done,
    Interrupted,
}

/// Follows a run and decides what is run next.
pub trait Observe {
    /// A package can be run, or cannot be built: the jobs to run for it.
    fn linked(&mut self, linked: Linked) -> Vec<Job>;
    fn started(&mut self, job: &Job, number: usize);
    fn seen(&mut self, number: usize, seen: Seen<'_>);
    /// Returns more jobs to run: tests again.
    fn finished(&mut self, number: usize, finished: Finished) -> Vec<Job>;
    /// Several times a second.
    fn tick(&mut self, waiting: &[Job]);
    /// Returns whether to stop, since enough tests have failed.
    fn wants_to_stop(&self) -> bool;
}

/// Runs links one after the other, and jobs beside them.
#[derive(Debug)]
pub struct Crew<'a> {
    pub signals: &'a Signals,
    /// How many jobs at once.
    pub size: usize,
    /// Whether jobs wait until all packages are built, as benchmarks do with go.
    pub builds_first: bool,
}

/// A job that runs.
struct Running<'a> {
    number: usize,
    pool: Pool,
    end: Pin<Box<dyn Future<Output = Finished> + 'a>>,
}

impl Crew<'_> {
    /// Runs until all is done, or the user interrupts. All links have the same flags.
    ///
    /// # Errors
    /// When go cannot be started, or the system refuses to wait.
    pub fn run(&self, links: Vec<Link>, observe: &mut dyn Observe) -> Result<Stop> {
        let _attention = self.signals.attend();
        runtime()?.block_on(self.until_done(links, &RefCell::new(observe)))
    }

    async fn until_done(
        &self,
        links: Vec<Link>,
        observe: &RefCell<&mut dyn Observe>,
    ) -> Result<Stop> {
        // Before go reads anything: what is edited meanwhile counts as changed.
        let inputs = match links.first().cloned() {
            Some(link) => spawn_blocking(move || Inputs::of(&link))
                .await
                .ok()
                .flatten(),
            None => None,
        };
        let mut links = VecDeque::from(links);
        let (sender, mut linked) = unbounded_channel();
        let mut linking: Option<Pin<Box<dyn Future<Output = Result<()>>>>> = None;
        let mut waiting: Vec<Job> = Vec::new();
        let mut running: Vec<Running<'_>> = Vec::new();
        // How often all running jobs were asked to stop.
        let stop = watch::Sender::new(0);
        let mut interrupts = self.signals.subscribe();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut numbers, mut seen, mut stopped) = (0, 0, false);
        loop {
            if linking.is_none()
                && let Some(link) = links.pop_front()
            {
                linking = Some(Box::pin(link::run(
                    link,
                    inputs.clone(),
                    stop.subscribe(),
                    sender.clone(),
                )));
            }
            while (!self.builds_first || linking.is_none())
                && let Some(at) = next(&waiting, &running, self.size)
            {
                let job = waiting.swap_remove(at);
                numbers += 1;
                observe.borrow_mut().started(&job, numbers);
                running.push(start(job, numbers, stop.subscribe(), observe));
            }
            if running.is_empty() && linking.is_none() && linked.is_empty() {
                let interrupted = stopped && self.signals.count() > 0;
                return Ok(if interrupted {
                    Stop::Interrupted
                } else {
                    Stop::Done
                });
            }
            let mut is_enough = false;
            tokio::select! {
                biased;
                count = more_than(&mut interrupts, seen) => {
                    seen = count;
                    is_enough = true;
                }
                ended = ended(&mut linking) => {
                    linking = None;
                    ended?;
                }
                Some(linked) = linked.recv() => {
                    if !stopped {
                        waiting.extend(observe.borrow_mut().linked(linked));
                    }
                }
                (number, finished) = first(&mut running) => {
                    let again = observe.borrow_mut().finished(number, finished);
                    if !stopped && self.signals.count() == 0 {
                        waiting.extend(again);
                    }
                }
                _ = ticks.tick() => {}
            }
            if is_enough || (!stopped && observe.borrow().wants_to_stop()) {
                // Begin nothing more, and end what runs.
                stopped = true;
                waiting.clear();
                links.clear();
                stop.send_modify(|count| *count += 1);
            }
            observe.borrow_mut().tick(&waiting);
        }
    }
}

fn start<'a>(
    job: Job,
    number: usize,
    stop: Receiver<usize>,
    observe: &'a RefCell<&mut dyn Observe>,
) -> Running<'a> {
    Running {
        number,
        pool: job.pool,
        end: Box::pin(async move {
            let mut see = |seen: Seen<'_>| observe.borrow_mut().seen(number, seen);
            process::run(job, stop, &mut see).await
        }),
    }
}

/// The end of the go command; pending when it does not run.
async fn ended(linking: &mut Option<Pin<Box<dyn Future<Output = Result<()>>>>>) -> Result<()> {
    match linking {
        Some(linking) => linking.await,
        None => pending().await,
    }
}

/// The first job to end, taken off `running`; pending when none runs.
async fn first(running: &mut Vec<Running<'_>>) -> (usize, Finished) {
    let (at, finished) = poll_fn(|context| {
        for (at, job) in running.iter_mut().enumerate() {
            if let Poll::Ready(finished) = job.end.as_mut().poll(context) {
                return Poll::Ready((at, finished));
            }
        }
        Poll::Pending
    })
    .await;
    (running.swap_remove(at).number, finished)
}

/// The job to start now: again before new, longest first.
fn next(waiting: &[Job], running: &[Running<'_>], size: usize) -> Option<usize> {
    if running.len() >= size.max(1) {
        return None;
    }
    let is_taken =
        |pool: Pool| pool == Pool::Host && running.iter().any(|running| running.pool == Pool::Host);
    let order = |job: &Job| (job.attempt.again.is_some(), job.attempt.expected);
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

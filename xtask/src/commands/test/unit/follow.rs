//! Follows a run of unit tests: linked packages become jobs, failed tests are
//! retried, and the session gets all results.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;

use super::jobs::Shared;
use crate::commands::test::results::live::shown;
use crate::commands::test::results::selected::SelectedPackage;
use crate::commands::test::results::session::Session;
use foundation::record::runs::{Event, Record};
use foundation::run::gotest::{Built, Finished, Job, Link, Linked, Observe, Seen, Unbuilt};
use gotest::events::{Verdict, json_lines_of_build, json_lines_unbuilt};

pub(super) struct Following<'a> {
    pub(super) session: Session<'a>,
    pub(super) shared: &'a Shared<'a>,
    pub(super) packages: &'a BTreeMap<String, SelectedPackage>,
    /// Packages that were built and vetted, and have nothing to run.
    pub(super) built: BTreeSet<String>,
    /// Whether a folder without files for this platform is an error, as with go where
    /// it is named and not matched by `...`.
    pub(super) is_each_named: bool,
    /// Binaries by package.
    pub(super) binaries: BTreeMap<String, Utf8PathBuf>,
    /// Whether to stop after the first package that fails.
    pub(super) fail_fast: bool,
    /// Whether tests run again until one fails, and how often at most; 0 for no limit.
    pub(super) until_fail: Option<u32>,
    /// How often the job with this log ran again.
    pub(super) rounds: BTreeMap<Utf8PathBuf, u32>,
    /// Events of packages that cannot be built, for `--jsonfile`.
    pub(super) events: String,
    /// The builds whose events are among them.
    pub(super) unbuilt: BTreeSet<String>,
    /// Whether packages without tests are named.
    pub(super) names_untested: bool,
    /// Running jobs, by number.
    pub(super) running: BTreeMap<usize, Job>,
    pub(super) steps: Steps,
}

/// Records when the steps of the plan began and ended.
pub(super) struct Steps {
    pub(super) record: Record,
    /// Of each link, which packages are left, and how many cannot be built.
    links: Vec<(BTreeSet<String>, usize)>,
    /// Of each job, by the name of its log, its step.
    jobs: BTreeMap<String, usize>,
    /// When the link that runs began: they run one after the other.
    began: Instant,
    /// When each job began, by step.
    running: BTreeMap<usize, Instant>,
}

impl Steps {
    /// # Arguments
    /// `jobs`: in the order of the plan.
    pub(super) fn new(record: Record, links: &[Link], jobs: &[Job]) -> Self {
        let of_link = |link: &Link| {
            let packages = link.packages.iter().map(|(package, _)| package);
            (packages.chain(&link.untested).cloned().collect(), 0)
        };
        let steps = jobs
            .iter()
            .enumerate()
            .map(|(at, job)| (of_job(job), links.len() + at + 1));
        Self {
            record,
            links: links.iter().map(of_link).collect(),
            jobs: steps.collect(),
            began: Instant::now(),
            running: BTreeMap::new(),
        }
    }

    fn linked(&mut self, linked: &Linked) {
        for (at, (left, failed)) in self.links.iter_mut().enumerate() {
            if !left.remove(&linked.package) {
                continue;
            }
            *failed += usize::from(matches!(linked.result, Built::Failed(_)));
            if left.is_empty() {
                let began = std::mem::replace(&mut self.began, Instant::now());
                let failed = (*failed > 0).then(|| format!("{failed} package(s) cannot be built"));
                self.record.event(finish(at + 1, began.elapsed(), failed));
            }
        }
    }

    fn cached(&mut self, job: &Job) {
        if let Some(step) = self.jobs.get(&of_job(job)) {
            self.record.event(finish(*step, Duration::ZERO, None));
        }
    }

    /// A job that runs tests again is part of the step of the first.
    fn started(&mut self, job: &Job) {
        if let Some(&step) = self.jobs.get(&of_job(job)) {
            self.record.event(Event::Start { step });
            self.running.insert(step, Instant::now());
        }
    }

    fn finished(&mut self, job: &Job, finished: &Finished) {
        let step = self.jobs.get(&of_job(job));
        let Some((step, began)) = step.and_then(|step| self.running.remove_entry(step)) else {
            return;
        };
        let failure = match (&finished.broken, &finished.results.verdict) {
            (Some(failure), _) => Some(failure.in_one_line()),
            (None, Some(verdict)) if verdict.is_ok() => None,
            (None, Some(verdict)) => Some(verdict.describe()),
            (None, None) => Some("it did not end".to_owned()),
        };
        self.record.event(finish(step, began.elapsed(), failure));
    }
}

fn of_job(job: &Job) -> String {
    job.log.file_name().unwrap_or_default().to_owned()
}

fn finish(step: usize, took: Duration, failure: Option<String>) -> Event {
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    Event::Finish { step, ms, failure }
}

impl Following<'_> {
    /// Returns the job to run once more for `--until-fail`.
    fn next_round(&mut self, number: usize, finished: &Finished) -> Option<Job> {
        let limit = self.until_fail?;
        let is_ok = finished.results.verdict == Some(Verdict::Passed) && finished.broken.is_none();
        if !is_ok || self.session.has_any_failed() {
            return None;
        }
        let job = self.running.get(&number)?.clone();
        let rounds = self.rounds.entry(job.log.clone()).or_default();
        if limit > 0 && *rounds + 1 >= limit {
            return None;
        }
        *rounds += 1;
        Some(job)
    }
}

impl Following<'_> {
    /// Adds the events of a package that cannot be built, and those of the builds that have
    /// failed, once each.
    fn write_unbuilt(&mut self, package: &str, unbuilt: &Unbuilt) {
        let mut outputs = unbuilt.outputs.clone();
        if outputs.is_empty() && !self.unbuilt.contains(&unbuilt.build) {
            outputs.push((unbuilt.build.clone(), unbuilt.errors.clone()));
        }
        for (build, output) in outputs {
            if self.unbuilt.insert(build.clone()) {
                self.events.push_str(&json_lines_of_build(&build, &output));
            }
        }
        let now = jiff::Timestamp::now().to_string();
        let lines = json_lines_unbuilt(&now, package, &unbuilt.build);
        self.events.push_str(&lines);
    }
}

impl Observe for Following<'_> {
    fn linked(&mut self, linked: Linked) -> Vec<Job> {
        self.steps.linked(&linked);
        let live = &mut self.session.live;
        live.to_link = live.to_link.saturating_sub(1);
        let name = linked.package;
        match linked.result {
            Built::Failed(unbuilt) => {
                let words = &unbuilt.errors;
                let excluded = format!("package {name}: build constraints exclude all Go files");
                if self.is_each_named || !words.contains(&excluded) {
                    if self.shared.writes_events {
                        self.write_unbuilt(&name, &unbuilt);
                    }
                    self.session.unbuilt(&name, unbuilt.errors);
                }
                return Vec::new();
            }
            Built::NoTestFiles => {
                if self.names_untested {
                    let text = format!("?    {}  [no test files]\n", shown(&name));
                    self.session.say(&text);
                }
                self.built.insert(name);
                return Vec::new();
            }
            Built::Binary => {}
        }
        let binary = self.binaries.get(&name);
        let package = self.packages.get(&name);
        let (cached, jobs) = match package.zip(binary) {
            Some((package, binary)) => {
                let jobs = self.shared.jobs(package, binary);
                self.shared.split_cached(package, jobs)
            }
            None => (Vec::new(), Vec::new()),
        };
        if jobs.is_empty() && cached.is_empty() {
            self.built.insert(name);
        } else {
            for (job, results) in cached {
                self.steps.cached(&job);
                self.session.cached(results);
            }
            self.session.expect(&name, jobs.len());
        }
        jobs
    }

    fn started(&mut self, job: &Job, number: usize) {
        self.session.started(&job.attempt, number);
        self.steps.started(job);
        self.running.insert(number, job.clone());
    }

    fn seen(&mut self, number: usize, seen: Seen<'_>) {
        self.session.seen(number, seen);
    }

    fn finished(&mut self, number: usize, finished: Finished) -> Vec<Job> {
        if let Some(job) = self.running.get(&number) {
            self.steps.finished(job, &finished);
        }
        if let Some(job) = self.next_round(number, &finished) {
            self.session.forget(number);
            self.running.remove(&number);
            return vec![job];
        }
        let is_whole = finished.attempt.again.is_none() && finished.left.is_empty();
        if is_whole
            && finished.results.verdict == Some(Verdict::Passed)
            && let Some(job) = self.running.get(&number)
        {
            self.shared.keep(job, &finished.results);
        }
        let again = self.session.finished(number, finished);
        let Some(job) = self.running.remove(&number) else {
            return Vec::new();
        };
        let again = again.into_iter();
        again
            .map(|attempt| self.shared.again(&job, attempt))
            .collect()
    }

    fn tick(&mut self, waiting: &[Job]) {
        let left = waiting.iter().map(|job| job.attempt.expected).sum();
        self.session.tick(left);
    }

    fn wants_to_stop(&self) -> bool {
        (self.fail_fast || self.until_fail.is_some()) && self.session.has_failed()
    }
}

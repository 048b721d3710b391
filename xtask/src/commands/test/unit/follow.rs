//! Follows a run of unit tests: linked packages become jobs, failed tests are
//! retried, and the session gets all results.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;

use super::jobs::Shared;
use crate::commands::test::results::live::shown;
use crate::commands::test::results::selected::SelectedPackage;
use crate::commands::test::results::session::Session;
use foundation::run::gotest::{Built, Finished, Job, Linked, Observe, Seen, Unbuilt};
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
            for results in cached {
                self.session.cached(results);
            }
            self.session.expect(&name, jobs.len());
        }
        jobs
    }

    fn started(&mut self, job: &Job, number: usize) {
        self.session.started(&job.attempt, number);
        self.running.insert(number, job.clone());
    }

    fn seen(&mut self, number: usize, seen: Seen<'_>) {
        self.session.seen(number, seen);
    }

    fn finished(&mut self, number: usize, finished: Finished) -> Vec<Job> {
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

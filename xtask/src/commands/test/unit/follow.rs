//! Follows a run of unit tests: linked packages become jobs, failed tests are
//! retried, and the session gets all results.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;

use super::jobs::Shared;
use crate::commands::test::results::selected::SelectedPackage;
use crate::commands::test::results::session::Session;
use foundation::run::gotest::{Built, Finished, Job, Linked, Observe, Seen};

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
    /// Running jobs, by number.
    pub(super) running: BTreeMap<usize, Job>,
}

impl Observe for Following<'_> {
    fn linked(&mut self, linked: Linked) -> Vec<Job> {
        let live = &mut self.session.live;
        live.to_link = live.to_link.saturating_sub(1);
        let name = linked.package;
        match linked.result {
            Built::Failed(words) => {
                let excluded = format!("package {name}: build constraints exclude all Go files");
                if self.is_each_named || !words.contains(&excluded) {
                    self.session.unbuilt(&name, words);
                }
                return Vec::new();
            }
            Built::NoTestFiles => {
                self.built.insert(name);
                return Vec::new();
            }
            Built::Binary => {}
        }
        let binary = self.binaries.get(&name);
        let package = self.packages.get(&name);
        let jobs = package.zip(binary);
        let jobs = jobs.map_or_else(Vec::new, |(package, binary)| {
            self.shared.jobs(package, binary)
        });
        if jobs.is_empty() {
            self.built.insert(name);
        } else {
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
        self.fail_fast && self.session.has_failed()
    }
}

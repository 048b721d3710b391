//! A run as it goes: what comes of each package, what is run again, what is
//! said about it at once.

use std::collections::{BTreeMap, HashSet};

use camino::Utf8Path;
use gotest::events::{Package, State, Verdict};

use super::super::args::ResultArgs;
use super::live::{Live, short, shown};
use super::select::Package as Chosen;
use foundation::failure::Failure;
use foundation::run::gotest::{Finished, Job, Linked, Observe, Seen};
use foundation::ui::Ui;

/// What came of one package.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The first run of each of its jobs.
    pub(super) runs: Vec<Package>,
    /// Tests that were run again: the results by test function.
    pub(super) again: BTreeMap<String, Vec<Package>>,
    /// Its tests could not be run at all.
    pub(super) broken: Option<Failure>,
    /// Jobs that have not ended.
    pending: usize,
}

impl Outcome {
    /// Test functions that failed and did not pass later; what was cut off when
    /// that broke on which tests run has not failed.
    pub(super) fn failed(&self) -> Vec<&str> {
        let roots = self.runs.iter().flat_map(Package::failed_roots);
        let tests = self.runs.iter().flat_map(|run| &run.tests);
        let by_itself: HashSet<&str> = tests
            .filter(|test| self.broken.is_some() && test.state == State::Failed)
            .map(|test| test.name.as_str())
            .collect();
        roots
            .filter(|root| {
                !self.is_flaky(root) && (self.broken.is_none() || by_itself.contains(root))
            })
            .collect()
    }

    /// Test functions that failed first and passed later.
    pub(super) fn flaky(&self) -> Vec<&str> {
        let roots = self.runs.iter().flat_map(Package::failed_roots);
        roots.filter(|root| self.is_flaky(root)).collect()
    }

    /// Of these tests those that did not come to a good end.
    pub(super) fn not_passed(&self, tests: &[String]) -> Vec<String> {
        let all = self.runs.iter().flat_map(|run| &run.tests);
        let good: HashSet<&str> = all
            .filter(|it| matches!(it.state, State::Passed | State::Skipped))
            .map(|it| it.name.as_str())
            .collect();
        tests
            .iter()
            .filter(|name| !good.contains(name.as_str()))
            .cloned()
            .collect()
    }

    /// Of what failed, by its root: whether it or all that it failed for passed
    /// later.
    pub(super) fn forgiven(&self) -> impl Fn(&str) -> bool {
        let (flaky, failed) = (at_or_above(&self.flaky()), at_or_above(&self.failed()));
        move |root| flaky.contains(root) && !failed.contains(root)
    }

    /// Names of all tests that began.
    pub(super) fn began(&self) -> HashSet<&str> {
        let tests = self.runs.iter().flat_map(|run| &run.tests);
        tests.map(|test| test.name.as_str()).collect()
    }

    fn is_flaky(&self, root: &str) -> bool {
        self.again.get(root).is_some_and(|again| {
            again.iter().any(|run| {
                run.verdict.as_ref().is_some_and(Verdict::is_ok) && run.counts().passed > 0
            })
        })
    }

    /// Whether something failed that no test of it can be blamed for.
    pub(super) fn failed_by_itself(&self) -> Option<&Verdict> {
        let verdicts = self.runs.iter().filter_map(|run| run.verdict.as_ref());
        let mut bad = verdicts.filter(|verdict| verdict.cut_short());
        bad.next().or_else(|| {
            let by_itself = self.runs.iter().find(|run| run.failed_by_itself());
            by_itself.and_then(|run| run.verdict.as_ref())
        })
    }
}

/// These tests, and those that they are subtests of.
fn at_or_above<'a>(names: &[&'a str]) -> HashSet<&'a str> {
    let above = names.iter().flat_map(|name| {
        let ends = name.match_indices('/').map(|(at, _)| &name[..at]);
        ends.chain([*name])
    });
    above.collect()
}

/// Of a package whose tests fail so often it is no chance, and to run all of
/// them again takes as many starts.
const MOST_AGAIN: usize = 500;

/// Where starts of binaries come from.
pub(super) trait Source {
    /// Those of one package's binary.
    fn jobs(&self, package: &Chosen, binary: &Utf8Path) -> Vec<Job>;

    /// The same binary for one test; `time` from 1.
    fn again(&self, job: &Job, root: &str, time: u32) -> Job;
}

pub(super) struct Session<'a> {
    pub(super) args: &'a ResultArgs,
    pub(super) ui: &'a Ui,
    pub(super) source: &'a dyn Source,
    /// Whether the first package that fails is the last.
    pub(super) fail_fast: bool,
    pub(super) packages: &'a BTreeMap<String, Chosen>,
    pub(super) binaries: BTreeMap<String, camino::Utf8PathBuf>,
    pub(super) outcomes: BTreeMap<String, Outcome>,
    pub(super) live: Live<'a>,
    pub(super) size: usize,
    /// What was said of a test at once, so that it is said once.
    pub(super) said: BTreeMap<usize, HashSet<String>>,
    /// A package that cannot be built, and the compiler's words about it: what
    /// is wrong with all is said once.
    pub(super) unbuilt: Option<(String, String)>,
    jobs: BTreeMap<usize, (String, Option<(String, u32)>)>,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        args: &'a ResultArgs,
        ui: &'a Ui,
        source: &'a dyn Source,
        packages: &'a BTreeMap<String, Chosen>,
        to_link: usize,
        size: usize,
    ) -> Self {
        let mut live = Live::new(ui);
        live.to_link = to_link;
        Self {
            args,
            ui,
            source,
            fail_fast: false,
            packages,
            binaries: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            live,
            size,
            said: BTreeMap::new(),
            unbuilt: None,
            jobs: BTreeMap::new(),
        }
    }

    fn count(&mut self, results: &Package) {
        let counts = results.counts();
        if results.depth == 0 {
            self.live.passed += counts.passed;
            self.live.failed += counts.failed;
            self.live.skipped += counts.skipped;
        }
    }

    /// Not for what could be worse than a test's mood: races, panics, packages
    /// that ended early.
    fn again(&self, finished: &Finished) -> Vec<Job> {
        let verdict = finished.results.verdict.as_ref();
        if finished.broken.is_some() {
            return Vec::new();
        }
        match &finished.job.again {
            None if verdict == Some(&Verdict::Failed) && self.args.retries > 0 => {
                let roots = finished.results.failed_roots();
                if roots.len() > MOST_AGAIN {
                    self.ui.note(&format!(
                        "{} tests of {} failed: they are not run again",
                        roots.len(),
                        shown(&finished.job.package)
                    ));
                    return Vec::new();
                }
                let again = roots.into_iter();
                again
                    .map(|root| self.source.again(&finished.job, root, 1))
                    .collect()
            }
            Some((root, time))
                if verdict == Some(&Verdict::Failed) && *time < self.args.retries =>
            {
                vec![self.source.again(&finished.job, root, time + 1)]
            }
            _ => Vec::new(),
        }
    }
}

impl Observe for Session<'_> {
    fn linked(&mut self, linked: Linked) -> Vec<Job> {
        self.live.to_link = self.live.to_link.saturating_sub(1);
        let Some(chosen) = self.packages.get(&linked.package) else {
            return Vec::new();
        };
        let outcome = self.outcomes.entry(linked.package.clone()).or_default();
        if let Some(words) = linked.failed {
            let mut results = Package::new(linked.package.clone());
            results.output.push(words.as_bytes());
            results.close(Verdict::BuildFailed);
            outcome.runs.push(results);
            self.live.failed += 1;
            self.say_unbuilt(&linked.package, words);
            return Vec::new();
        }
        let Some(binary) = self.binaries.get(&linked.package) else {
            return Vec::new();
        };
        let jobs = self.source.jobs(chosen, binary);
        outcome.pending += jobs.len();
        jobs
    }

    fn started(&mut self, job: &Job, number: usize) {
        self.live
            .started(number, &job.package, job.as_root, job.expected);
        self.jobs
            .insert(number, (job.package.clone(), job.again.clone()));
    }

    fn seen(&mut self, number: usize, seen: Seen<'_>) {
        match seen {
            Seen::Event(event) => self.live.event(number, event),
            Seen::Ended(test, results) => {
                self.live.test_ended(number, test);
                let state = results.tests.iter().rev().find(|it| it.name == test);
                let failed = state.is_some_and(|test| test.state == State::Failed);
                let depth = test.matches('/').count();
                if results.depth > 0 && depth == results.depth {
                    self.live.count(state.map(|test| test.state));
                }
                if failed && depth == results.depth {
                    let again = self.jobs.get(&number).and_then(|(_, again)| again.clone());
                    self.said.entry(number).or_default().insert(test.to_owned());
                    self.say_failed(number, results, test, again.map(|(_, time)| time));
                }
                if depth + 1 == results.depth {
                    self.say_suite(results, test);
                }
            }
        }
    }

    fn finished(&mut self, number: usize, finished: Finished) -> Vec<Job> {
        self.live.ended(number);
        self.jobs.remove(&number);
        if let Some(failure) = &finished.broken {
            let cut = if finished.results.tests.is_empty() {
                "cannot run"
            } else {
                "cut off:"
            };
            let text = format!("{cut} {}: {failure}\n", short(&finished.job.package));
            self.say(&text);
        } else {
            self.say_package(number, &finished);
        }
        let again = self.again(&finished);
        if finished.job.again.is_none() {
            self.count(&finished.results);
        }
        let outcome = self
            .outcomes
            .entry(finished.job.package.clone())
            .or_default();
        outcome.pending = (outcome.pending + again.len()).saturating_sub(1);
        if let Some(failure) = finished.broken {
            outcome.broken.get_or_insert(failure);
            // What was seen before counts.
            if finished.job.again.is_none() && !finished.results.tests.is_empty() {
                outcome.runs.push(finished.results);
            }
        } else if let Some((root, _)) = finished.job.again {
            outcome
                .again
                .entry(root)
                .or_default()
                .push(finished.results);
        } else {
            outcome.runs.push(finished.results);
        }
        again
    }

    fn tick(&mut self, waiting: &[Job]) {
        let left = waiting.iter().map(|job| job.expected).sum();
        self.live.tick(left, self.size);
    }

    fn wants_to_stop(&self) -> bool {
        self.fail_fast
            && self.outcomes.values().any(|outcome| {
                outcome.pending == 0
                    && (!outcome.failed().is_empty() || outcome.failed_by_itself().is_some())
            })
    }
}

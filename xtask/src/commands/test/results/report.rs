//! The report of a run: JSON and XML, and the history to store.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use gotest::events::{Counts, Package, State, Test, Verdict};
use serde_json::{Value, json};

use super::selected::SelectedPackage;
use super::session::Outcome;
use super::suites;
use crate::commands::test::leg::Leg;
use foundation::record::results::{Failed, Outcome as Remembered};
use foundation::ui;

/// All results of a run.
#[derive(Debug)]
pub(in crate::commands::test) struct Report<'a> {
    pub(in crate::commands::test) outcomes: &'a BTreeMap<String, Outcome>,
    pub(in crate::commands::test) chosen: &'a BTreeMap<String, SelectedPackage>,
    pub(in crate::commands::test) seconds: f64,
    pub(in crate::commands::test) interrupted: bool,
    /// Packages that were built and vetted, and have nothing to run.
    pub(in crate::commands::test) built: &'a BTreeSet<String>,
    /// The shard, of several machines.
    pub(in crate::commands::test) leg: Option<&'a Leg>,
    /// Number of slow tests to name.
    pub(in crate::commands::test) slowest: Option<usize>,
    /// Percent of statements that the tests covered.
    pub(in crate::commands::test) coverage: Option<f64>,
    /// Whether the summary is only about failures.
    pub(in crate::commands::test) is_short: bool,
}

impl Report<'_> {
    /// Counts tests and subtests. A flaky test has not failed.
    pub(in crate::commands::test) fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for outcome in self.outcomes.values() {
            let forgiven = outcome.forgiven();
            for run in &outcome.runs {
                let counts = run.counts();
                let forgiven = run
                    .tests
                    .iter()
                    .filter(|test| test.state.is_failure() && forgiven(run.root(&test.name)));
                sum.total += counts.total;
                sum.passed += counts.passed;
                sum.failed += counts.failed - forgiven.count();
                sum.failed += usize::from(run.failed_by_itself());
                sum.skipped += counts.skipped;
            }
        }
        sum
    }

    pub(in crate::commands::test) fn runs(&self) -> impl Iterator<Item = &Package> {
        self.outcomes.values().flat_map(|outcome| &outcome.runs)
    }

    /// Whether nothing was run; also if a function ran none of its suites.
    pub(in crate::commands::test) fn is_empty(&self) -> bool {
        let mut runs = self.runs();
        !runs.any(|run| {
            if run.verdict == Some(Verdict::NoTests) {
                return false;
            }
            let mut names = run.tests.iter().map(|test| &test.name);
            names.any(|name| run.depth == 0 || name.contains('/'))
        })
    }

    /// Import paths and test functions.
    pub(in crate::commands::test) fn failed(&self) -> Vec<(&str, &str)> {
        self.each(|outcome| outcome.failed())
    }

    /// A failed subtest without failed subtests of its own: its package, and the pattern
    /// that runs it alone.
    pub(in crate::commands::test) fn failed_subtest(&self) -> Option<(&str, String)> {
        self.outcomes.iter().find_map(|(package, outcome)| {
            let roots: HashSet<&str> = outcome.failed().into_iter().collect();
            let root_of = |test: &Test| test.name.split_once('/').map(|(root, _)| root.to_owned());
            let runs = outcome.runs.iter().filter(|run| run.depth == 0);
            let failed = runs
                .flat_map(|run| &run.tests)
                .filter(|test| test.state == State::Failed && test.name.contains('/'));
            let mut first = failed.clone().filter_map(root_of);
            let first = first.find(|root| roots.contains(root.as_str()))?;
            let of_first = failed.filter(|test| root_of(test).as_ref() == Some(&first));
            let deepest = of_first.max_by_key(|test| test.depth())?;
            let parts: Vec<String> = deepest.name.split('/').map(suites::exactly).collect();
            Some((package.as_str(), parts.join("/")))
        })
    }

    pub(in crate::commands::test) fn flaky(&self) -> Vec<(&str, &str)> {
        self.each(|outcome| outcome.flaky())
    }

    fn each<'b>(&'b self, of: impl Fn(&'b Outcome) -> Vec<&'b str>) -> Vec<(&'b str, &'b str)> {
        let each = self.outcomes.iter();
        each.flat_map(|(package, outcome)| {
            let tests = of(outcome).into_iter();
            tests.map(move |test| (package.as_str(), test))
        })
        .collect()
    }

    /// Package, test and reason.
    pub(in crate::commands::test) fn left_out(&self) -> Vec<(&str, &str, &str)> {
        let each = self.chosen.iter();
        each.flat_map(|(package, chosen)| {
            let left_out = chosen.left_out();
            left_out.map(move |(test, reason)| (package.as_str(), test, reason))
        })
        .collect()
    }

    /// Tests of binaries that failed or ended before these tests began.
    pub(in crate::commands::test) fn not_run(&self) -> Vec<(&str, &str)> {
        let mut out = Vec::new();
        for (package, outcome) in self.outcomes {
            let mut verdicts = outcome.runs.iter().filter_map(|run| run.verdict.as_ref());
            let is_bad = |verdict: &Verdict| !verdict.is_ok() && *verdict != Verdict::BuildFailed;
            if !verdicts.any(is_bad) {
                continue;
            }
            let Some(chosen) = self.chosen.get(package) else {
                continue;
            };
            let began = outcome.began();
            let roots = chosen.roots.iter().filter(|root| {
                root.left_out.is_none()
                    && root.name.starts_with("Test")
                    && !began.contains(root.name.as_str())
            });
            out.extend(roots.map(|root| (package.as_str(), root.name.as_str())));
        }
        out
    }

    pub(in crate::commands::test) fn json(&self) -> Value {
        let counts = self.counts();
        let packages: Vec<Value> = self
            .outcomes
            .iter()
            .map(|(name, outcome)| package_json(name, outcome))
            .collect();
        let left_out: Vec<Value> = self
            .left_out()
            .into_iter()
            .map(|(package, test, reason)| json!({"package": package, "test": test, "reason": reason}))
            .collect();
        let not_run: Vec<Value> = self
            .not_run()
            .into_iter()
            .map(|(package, test)| json!({"package": package, "test": test}))
            .collect();
        let mut value = ui::with_schema(json!({
            "seconds": self.seconds,
            "interrupted": self.interrupted,
            "counts": {
                "total": counts.total, "passed": counts.passed, "failed": counts.failed,
                "skipped": counts.skipped, "flaky": self.flaky().len(),
                "left_out": left_out.len(), "not_run": not_run.len(),
            },
            "packages": packages,
            "left_out": left_out,
            "not_run": not_run,
            "built_only": self.built,
        }));
        if let Some(percent) = self.coverage {
            value["coverage"] = json!(percent);
        }
        if let Some(leg) = self.leg {
            value["shard"] = json!(leg);
        }
        value
    }

    /// # Arguments
    /// `properties`: keys and values about the run.
    pub(in crate::commands::test) fn junit(&self, properties: &[(&str, String)]) -> String {
        let outcomes = self.outcomes.iter();
        let forgiven: BTreeMap<&str, _> = outcomes
            .map(|(package, outcome)| (package.as_str(), outcome.forgiven()))
            .collect();
        gotest::events::junit(self.runs(), properties, |package, root| {
            forgiven.get(package).is_some_and(|forgiven| forgiven(root))
        })
    }

    /// Results to store: test functions, methods and whole packages.
    pub(in crate::commands::test) fn remembered(&self) -> Vec<Remembered> {
        let mut out = Vec::new();
        for (name, outcome) in self.outcomes {
            let forgiven = outcome.forgiven();
            // What shards are balanced by.
            if outcome
                .runs
                .iter()
                .any(|run| run.seconds > 0.0 && !run.tests.is_empty() && !run.cached)
            {
                let is_bad = outcome.failed_by_itself().is_some() || !outcome.failed().is_empty();
                out.push(Remembered {
                    package: name.clone(),
                    test: String::new(),
                    last: if is_bad { "failed" } else { "passed" },
                    seconds: outcome.runs.iter().map(|run| run.seconds).sum(),
                });
            }
            for run in outcome.runs.iter().filter(|run| !run.cached) {
                for test in &run.tests {
                    if test.name.matches('/').count() > run.depth.max(1) {
                        continue;
                    }
                    let is_flaky = test.state == State::Failed && forgiven(run.root(&test.name));
                    out.push(Remembered {
                        package: name.clone(),
                        test: test.name.clone(),
                        last: if is_flaky { "flaky" } else { test.state.word() },
                        seconds: test.seconds,
                    });
                }
            }
        }
        out
    }

    /// Returns what `--rerun-failed` runs next. Failures of tests that were not
    /// run this time are kept.
    pub(in crate::commands::test) fn next_failed(&self, before: Option<Failed>) -> Failed {
        let mut failed = before.unwrap_or_default();
        failed.packages.retain(|name, _| !self.built.contains(name));
        let not_run = self.not_run();
        for (name, outcome) in self.outcomes {
            if outcome.runs.is_empty() && outcome.broken.is_none() {
                continue;
            }
            let ran = outcome.began();
            let mut tests: Vec<String> = failed.packages.remove(name).unwrap_or_default();
            tests.retain(|test| !ran.contains(test.as_str()));
            tests.extend(outcome.failed().into_iter().map(str::to_owned));
            let not_run = not_run.iter().filter(|(package, _)| package == name);
            tests.extend(not_run.map(|(_, test)| (*test).to_owned()));
            tests.sort();
            tests.dedup();
            let whole = outcome.failed_by_itself().is_some() || outcome.broken.is_some();
            if whole {
                let only = self.chosen.get(name).and_then(|it| it.only.as_ref());
                let again = only.map_or_else(Vec::new, |only| outcome.not_passed(only));
                failed.packages.insert(name.clone(), again);
            } else if !tests.is_empty() {
                failed.packages.insert(name.clone(), tests);
            }
        }
        failed
    }
}

fn package_json(name: &str, outcome: &Outcome) -> Value {
    let forgiven = outcome.forgiven();
    let tests: Vec<Value> = outcome
        .runs
        .iter()
        .flat_map(|run| run.tests.iter().map(move |test| (run, test)))
        .map(|(run, test)| {
            let is_flaky = test.state == State::Failed && forgiven(run.root(&test.name));
            let mut value = json!({
                "name": test.name,
                "state": if is_flaky { "flaky" } else { test.state.word() },
                "seconds": test.seconds,
            });
            if let Some(reason) = &test.reason {
                value["reason"] = json!(reason);
            }
            if test.raced {
                value["raced"] = json!(true);
            }
            if !test.attributes.is_empty() {
                let attributes = test.attributes.iter();
                let attributes: serde_json::Map<String, Value> = attributes
                    .map(|(key, text)| (key.clone(), json!(text)))
                    .collect();
                value["attributes"] = Value::Object(attributes);
            }
            if test.state.is_failure() {
                value["output"] = json!(test.output.text());
            }
            let runs = outcome
                .again
                .get(&test.name)
                .map_or(1, |again| 1 + again.len());
            if runs > 1 {
                value["runs"] = json!(runs);
            }
            value
        })
        .collect();
    let bad = outcome.failed_by_itself();
    let verdict = outcome.runs.iter().filter_map(|run| run.verdict.as_ref());
    let verdict = bad.or_else(|| verdict.max_by_key(|verdict| !verdict.is_ok()));
    let mut value = json!({
        "package": name,
        "verdict": verdict.map_or("not-run", |verdict| verdict.word()),
        "detail": verdict.map(Verdict::describe),
        "seconds": outcome.runs.iter().map(|run| run.seconds).sum::<f64>(),
        "failed": outcome.failed(),
        "flaky": outcome.flaky(),
        "tests": tests,
    });
    if outcome.runs.iter().any(|run| run.cached) {
        value["cached"] = json!(true);
    }
    if let Some(broken) = &outcome.broken {
        value["broken"] = json!(broken.to_string());
    }
    if verdict.is_some_and(|verdict| !verdict.is_ok()) {
        let output: String = outcome.runs.iter().map(|run| run.output.text()).collect();
        value["output"] = json!(output);
    }
    if let Some(started) = outcome.runs.iter().find_map(|run| run.started.as_ref()) {
        value["started"] = json!(started);
    }
    let benchmarks: Vec<Value> = outcome
        .runs
        .iter()
        .flat_map(|run| &run.benchmarks)
        .map(|it| {
            let metrics = it.metrics.iter();
            let metrics: serde_json::Map<String, Value> = metrics
                .map(|(value, unit)| (unit.clone(), json!(value)))
                .collect();
            json!({"name": it.name, "iterations": it.iterations, "metrics": metrics})
        })
        .collect();
    if !benchmarks.is_empty() {
        value["benchmarks"] = json!(benchmarks);
    }
    if let Some(seed) = outcome.runs.iter().find_map(Package::shuffle_seed) {
        value["shuffle"] = json!(seed);
    }
    value
}

//! Test results per user: the duration and failures of each test, and the tests
//! that failed last in a checkout.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::own;
use super::runs::now_ms;
use crate::ctx::own_files;
use crate::failure::{Because, Failure, Result};
use crate::files;
use crate::hash::Name;

/// Maximum number of tests, more than Talos has; the oldest are dropped.
const MOST: usize = 100_000;
/// The weight of a new duration.
const WEIGHT: f64 = 0.3;

/// The history of a test.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Past {
    /// `passed`, `failed`, `skipped`, `aborted`, `flaky`.
    pub last: String,
    /// Milliseconds since 1970.
    pub at: u64,
    /// Mean duration, weighted towards recent runs.
    pub seconds: f64,
    pub runs: u32,
    pub failed: u32,
    /// Number of runs in which it failed and then passed.
    pub flaky: u32,
}

impl Past {
    /// The share of runs that were flaky, 0 to 1.
    pub fn flake_rate(&self) -> f64 {
        f64::from(self.flaky) / f64::from(self.runs.max(1))
    }
}

/// One result to store.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Import path.
    pub package: String,
    /// `TestA/b`; empty for the package as a whole.
    pub test: String,
    pub last: &'static str,
    pub seconds: f64,
}

/// By import path and test.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    schema: u32,
    #[serde(default)]
    packages: BTreeMap<String, BTreeMap<String, Past>>,
}

impl History {
    /// Reads the stored history; empty if it does not parse, because it only
    /// holds estimates.
    ///
    /// # Errors
    /// If the file exists and cannot be read.
    pub fn load(state: &Utf8Path) -> Result<Self> {
        let path = path(state);
        let text =
            own_files::read(&path, 4 * files::MEDIUM).map_err(|error| unreadable(&path, &error))?;
        Ok(serde_json::from_slice(&text.unwrap_or_default()).unwrap_or_default())
    }

    pub fn of(&self, package: &str, test: &str) -> Option<&Past> {
        self.packages.get(package)?.get(test)
    }

    fn add(&mut self, result: &Outcome) {
        let tests = self.packages.entry(result.package.clone()).or_default();
        let past = tests.entry(result.test.clone()).or_default();
        past.seconds = if past.runs == 0 {
            result.seconds
        } else {
            past.seconds * (1.0 - WEIGHT) + result.seconds * WEIGHT
        };
        result.last.clone_into(&mut past.last);
        past.at = now_ms();
        past.runs += 1;
        past.failed += u32::from(matches!(result.last, "failed" | "aborted"));
        past.flaky += u32::from(result.last == "flaky");
    }

    fn prune(&mut self) {
        let mut times: Vec<u64> = self
            .packages
            .values()
            .flat_map(|tests| tests.values().map(|past| past.at))
            .collect();
        if times.len() <= MOST {
            return;
        }
        times.sort_unstable();
        let oldest = times[times.len() - MOST];
        for tests in self.packages.values_mut() {
            tests.retain(|_, past| past.at >= oldest);
        }
        self.packages.retain(|_, tests| !tests.is_empty());
    }
}

fn path(state: &Utf8Path) -> Utf8PathBuf {
    state.join("tests/history.json")
}

/// Adds results to the stored ones.
///
/// # Errors
/// If it cannot be written, or another run holds the lock for too long.
pub fn remember(state: &Utf8Path, results: &[Outcome]) -> Result<()> {
    let folder = state.join("tests");
    let _lock = super::lock::take(&folder, "history", "remembering test results")?;
    let mut history = History::load(state)?;
    history.schema = 1;
    for result in results {
        history.add(result);
    }
    history.prune();
    let text = serde_json::to_vec(&history).because(|| "cannot write results".to_owned())?;
    own::replace(&path(state), &text, 0o600).because(|| "cannot write results".to_owned())
}

fn unreadable(path: &Utf8Path, error: &std::io::Error) -> Failure {
    Failure::host(format!("cannot read `{path}`")).cause(error)
}

/// The tests that failed last in one checkout.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    schema: u32,
    /// Test functions by import path; none for a package that failed as a whole.
    pub packages: BTreeMap<String, Vec<String>>,
}

impl Failed {
    /// Reads the file; `None` if nothing was run yet.
    ///
    /// # Errors
    /// If the file exists and cannot be read.
    pub fn load(state: &Utf8Path, checkout: &Utf8Path) -> Result<Option<Self>> {
        let path = failed_path(state, checkout);
        let text =
            own_files::read(&path, 4 * files::MEDIUM).map_err(|error| unreadable(&path, &error))?;
        let Some(text) = text else { return Ok(None) };
        let failed = serde_json::from_slice(&text);
        failed
            .map(Some)
            .map_err(|error| Failure::host(format!("cannot parse `{path}`")).cause(error))
    }

    /// # Errors
    /// If it cannot be written.
    pub fn save(mut self, state: &Utf8Path, checkout: &Utf8Path) -> Result<()> {
        self.schema = 1;
        let path = failed_path(state, checkout);
        let text = serde_json::to_vec(&self).because(|| "cannot write results".to_owned())?;
        own::replace(&path, &text, 0o600).because(|| format!("cannot write `{path}`"))
    }
}

fn failed_path(state: &Utf8Path, checkout: &Utf8Path) -> Utf8PathBuf {
    state.join(format!(
        "tests/failed-{}.json",
        Name::default().part(checkout.as_str()).digits(16)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_flakes_are_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let state = Utf8Path::from_path(dir.path()).unwrap();
        let result = |last, seconds| Outcome {
            package: "a/b".to_owned(),
            test: "TestA".to_owned(),
            last,
            seconds,
        };
        remember(state, &[result("passed", 2.0)]).unwrap();
        remember(state, &[result("flaky", 4.0), result("failed", 4.0)]).unwrap();
        let history = History::load(state).unwrap();
        let past = history.of("a/b", "TestA").unwrap();
        assert_eq!((past.runs, past.failed, past.flaky), (3, 1, 1));
        assert!(past.seconds > 2.0 && past.seconds < 4.0);
        assert!((past.flake_rate() - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!(history.of("a/b", "TestB"), None);
    }

    #[test]
    fn what_failed_is_known_per_checkout() {
        let dir = tempfile::tempdir().unwrap();
        let state = Utf8Path::from_path(dir.path()).unwrap();
        let mut failed = Failed::default();
        failed
            .packages
            .insert("a/b".to_owned(), vec!["TestA".to_owned()]);
        failed.clone().save(state, "/src/one".into()).unwrap();
        let loaded = Failed::load(state, "/src/one".into()).unwrap().unwrap();
        assert_eq!(loaded.packages, failed.packages);
        assert_eq!(Failed::load(state, "/src/two".into()).unwrap(), None);
    }
}

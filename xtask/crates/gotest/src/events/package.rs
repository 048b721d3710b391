//! Results of one package, from its events. No output is lost: output of no known test
//! belongs to the package.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Benchmark, End, Event, Exit, Output, State, Test, Verdict, What};

/// Tests of one package; Talos has some thousand in all.
const MOST_TESTS: usize = 300_000;
/// Maximum bytes of one package's output that are kept: tests may print without end.
const MOST_HELD: usize = 256 << 20;
/// Bytes of the names of its tests; each is kept twice.
const MOST_NAMED: usize = 64 << 20;
/// Attributes of one test.
const MOST_ATTRIBUTES: usize = 1000;
/// Bytes at the end of a test's output that are searched for the reason of a skip.
const LONGEST_REASON: usize = 64 << 10;

/// The tests of one package.
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that do not depend on each other"
)]
#[derive(Debug, Clone, Default)]
pub struct Package {
    /// The import path.
    pub name: String,
    /// In the order that they began.
    pub tests: Vec<Test>,
    latest: FxHashMap<String, usize>,
    /// Output of no test, including that of the compiler.
    pub output: Output,
    /// None while it runs.
    pub verdict: Option<Verdict>,
    pub seconds: f64,
    /// Whether it is the result of an earlier run, and nothing has changed since.
    pub cached: bool,
    /// When it was started, as RFC 3339 has it.
    pub started: Option<String>,
    /// The last panic or fatal error that was printed. The exit code decides
    /// whether it ended the binary.
    panic: Option<String>,
    raced: bool,
    /// Tests that ran at a timeout, with their seconds.
    hanging: Option<FxHashMap<String, f64>>,
    is_listing: bool,
    /// Whether the testing package printed that nothing ran: `-run TestA/typo` starts
    /// `TestA`, but no subtest.
    ran_nothing: bool,
    /// Whether some tests are missing in `tests`.
    is_full: bool,
    /// Bytes of all output that is kept, and of all names.
    held: usize,
    named: usize,
    /// Results of benchmarks, in their order.
    pub benchmarks: Vec<Benchmark>,
    /// What the binary printed of its coverage: `50.0% of statements`.
    pub coverage: Option<String>,
    /// Whether what passed keeps its output too.
    pub keep_all: bool,
    /// Depth of the tests that are run again when they fail: 0 for test functions, 2
    /// for `TestIntegration/api.ResetSuite/TestReset`.
    pub depth: usize,
}

/// Numbers of tests, including subtests, as in `go test -json`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub total: usize,
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

impl Package {
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    pub fn apply(&mut self, event: Event) {
        let Some(name) = event.test else {
            if let What::Output(bytes) = &event.what {
                self.notice(bytes);
                self.push_output(bytes);
            }
            return;
        };
        match event.what {
            What::Run => self.begin(name),
            What::Output(bytes) => {
                self.notice(&bytes);
                let races = is_race(&bytes);
                let at = self.latest.get(&name).copied();
                match at {
                    Some(at) => {
                        let test = &mut self.tests[at];
                        test.raced |= races;
                        keep(&mut test.output, &bytes, &mut self.held);
                    }
                    // For example the end of a benchmark that never began.
                    None => self.push_output(&bytes),
                }
            }
            What::Pause => self.change(&name, State::Paused),
            What::Continue => self.change(&name, State::Running),
            What::End(end, seconds) => self.end_test(&name, end, seconds),
            What::Attribute(key, value) => {
                if let Some(at) = self.latest.get(&name)
                    && self.tests[*at].attributes.len() < MOST_ATTRIBUTES
                {
                    self.tests[*at].attributes.push((key, value));
                }
            }
        }
    }

    /// Adds output of no test.
    pub(super) fn push_output(&mut self, bytes: &[u8]) {
        keep(&mut self.output, bytes, &mut self.held);
    }

    fn begin(&mut self, name: String) {
        if self.tests.len() >= MOST_TESTS || self.named >= MOST_NAMED {
            if !self.is_full {
                self.is_full = true;
                let note = format!(
                    "[tests after the first {} are not listed]\n",
                    self.tests.len()
                );
                self.output.push(note.as_bytes());
            }
            // Its output belongs to the package, and its failure shows in the exit
            // code.
            self.latest.remove(&name);
            return;
        }
        self.named += name.len();
        self.latest.insert(name.clone(), self.tests.len());
        self.tests.push(Test {
            name,
            state: State::Running,
            seconds: 0.0,
            output: Output::default(),
            reason: None,
            raced: false,
            attributes: Vec::new(),
        });
    }

    fn change(&mut self, name: &str, state: State) {
        if let Some(at) = self.latest.get(name) {
            self.tests[*at].state = state;
        }
    }

    fn end_test(&mut self, name: &str, end: End, seconds: Option<f64>) {
        // A test that never began cannot end: the line is output of another test.
        let Some(at) = self.latest.get(name).copied() else {
            return;
        };
        let keep_all = self.keep_all;
        let test = &mut self.tests[at];
        test.seconds = seconds.unwrap_or_default();
        test.state = match end {
            End::Pass | End::Bench => State::Passed,
            End::Fail => State::Failed,
            End::Skip => State::Skipped,
        };
        if test.state == State::Skipped {
            test.reason = reason(&test.output);
        }
        if test.raced && test.state == State::Passed {
            // The testing package blames the test that ends next, which may be another.
            let report = test.output.text();
            let line = format!("data race reported while {name} ran, which passed:\n");
            self.push_output(line.as_bytes());
            self.push_output(report.as_bytes());
        }
        let test = &mut self.tests[at];
        if test.state != State::Failed && !keep_all {
            self.held -= test.output.len().min(self.held);
            test.output.clear();
        }
    }

    /// Looks for races and panics in a line.
    fn notice(&mut self, line: &[u8]) {
        self.raced |= is_race(line);
        self.notice_running(line);
        self.ran_nothing |= line.trim_ascii_end() == b"testing: warning: no tests to run";
        if line.starts_with(b"Benchmark") {
            let benchmark = std::str::from_utf8(line).ok().and_then(Benchmark::parse);
            if self.benchmarks.len() < MOST_TESTS {
                self.benchmarks.extend(benchmark);
            }
        } else if let Some(rest) = line.strip_prefix(b"coverage: ") {
            self.coverage = Some(String::from_utf8_lossy(rest).trim_end().to_owned());
        }
        if line.first().is_none_or(u8::is_ascii_whitespace) {
            return;
        }
        let text = String::from_utf8_lossy(line);
        for word in ["panic: ", "fatal error: "] {
            if let Some(at) = text.find(word) {
                let message = text[at..].split(" [recovered").next();
                self.panic = message.map(|message| message.trim_end().to_owned());
            }
        }
    }

    /// Reads the list of a timeout: `running tests:`, then names with their times.
    fn notice_running(&mut self, line: &[u8]) {
        let is_timeout = || {
            let panic = self.panic.as_deref();
            panic.is_some_and(|panic| panic.starts_with("panic: test timed out after"))
        };
        if line.trim_ascii() == b"running tests:" && line.starts_with(b"\t") && is_timeout() {
            self.hanging = Some(FxHashMap::default());
            self.is_listing = true;
            return;
        }
        if !self.is_listing {
            return;
        }
        let text = String::from_utf8_lossy(line);
        let entry = text
            .strip_prefix("\t\t")
            .map(str::trim_end)
            .and_then(|entry| {
                let (name, time) = entry.rsplit_once(" (")?;
                Some((name, time.strip_suffix(')')?))
            });
        match (entry, &mut self.hanging) {
            (Some((name, time)), Some(hanging)) if hanging.len() < MOST_TESTS => {
                hanging.insert(name.to_owned(), seconds(time));
            }
            _ => self.is_listing = false,
        }
    }

    /// Ends the package with its binary; `last` is the result that it printed
    /// last, if any.
    pub fn end(&mut self, exit: Exit, last: Option<End>) {
        let timed_out = self
            .panic
            .as_ref()
            .is_some_and(|panic| panic.starts_with("panic: test timed out after"));
        let failed = self.tests.iter().any(|test| test.state.is_failure());
        let verdict = match exit {
            Exit::Code(0) if last.is_some() && failed => Verdict::Failed,
            Exit::Code(0) if last.is_none() && self.is_anything_running() => Verdict::Exited(0),
            Exit::Code(0) if self.tests.is_empty() || self.ran_nothing => Verdict::NoTests,
            Exit::Code(0) => Verdict::Passed,
            Exit::Code(2) if timed_out => Verdict::TimedOut,
            Exit::Code(2) if last.is_none() && self.panic.is_some() => {
                Verdict::Panicked(self.panic.clone().unwrap_or_default())
            }
            Exit::Signal(signal) => Verdict::Killed(signal),
            // 66 is the race detector's own, of a race outside of tests.
            Exit::Code(1 | 66) if self.raced => Verdict::Raced,
            Exit::Code(_) if failed && last == Some(End::Fail) => Verdict::Failed,
            Exit::Code(code) if !failed && last == Some(End::Pass) => Verdict::FailedAfter(code),
            Exit::Code(code) => Verdict::Exited(code),
            Exit::Unknown => Verdict::Incomplete,
        };
        self.close(verdict);
    }

    /// Judges by the output alone.
    pub(super) fn seems_to_have_panicked(&self) -> bool {
        self.panic.is_some()
    }

    fn is_anything_running(&self) -> bool {
        let is_benchmark = |test: &Test| test.name.starts_with("Benchmark");
        self.tests
            .iter()
            .any(|test| matches!(test.state, State::Running | State::Paused) && !is_benchmark(test))
    }

    /// Sets the verdict and ends all tests that have not ended.
    pub fn close(&mut self, verdict: Verdict) {
        let left = if verdict.is_ok() {
            State::Passed
        } else {
            State::Aborted
        };
        for test in &mut self.tests {
            if let Some(hanging) = &self.hanging
                && matches!(test.state, State::Running | State::Paused)
            {
                // Only those of the list ran; the others waited for them.
                let below = format!("{}/", test.name);
                let time = hanging.iter().filter_map(|(name, time)| {
                    (*name == test.name || name.starts_with(&below)).then_some(*time)
                });
                if let Some(time) = time.reduce(f64::max) {
                    test.seconds = time;
                } else {
                    test.state = State::Paused;
                    continue;
                }
            }
            if matches!(test.state, State::Running | State::Paused) {
                // A benchmark without a result has no end either.
                test.state = left;
            }
        }
        self.verdict = Some(verdict);
    }

    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for test in &self.tests {
            counts.total += 1;
            match test.state {
                State::Passed => counts.passed += 1,
                State::Failed | State::Aborted => counts.failed += 1,
                State::Skipped => counts.skipped += 1,
                State::Running | State::Paused => {}
            }
        }
        counts
    }

    /// Whether it failed without any test of it having failed.
    pub fn failed_by_itself(&self) -> bool {
        self.verdict.as_ref().is_some_and(|it| !it.is_ok())
            && !self.tests.iter().any(|test| test.state.is_failure())
    }

    /// The part of a test's name that is run again when it fails: the test function, or
    /// more of the name with a `depth`.
    pub fn root<'a>(&self, name: &'a str) -> &'a str {
        let end = name.match_indices('/').nth(self.depth);
        end.map_or(name, |(at, _)| &name[..at])
    }

    /// Test functions that failed, each once; with a `depth`, what is so far
    /// below, and what is above and failed by itself.
    pub fn failed_roots(&self) -> Vec<&str> {
        let mut roots: Vec<&str> = Vec::new();
        let mut known: FxHashSet<&str> = FxHashSet::default();
        for test in self.tests.iter().filter(|test| test.state.is_failure()) {
            let root = self.root(&test.name);
            if known.insert(root) {
                roots.push(root);
            }
        }
        if self.depth > 0 {
            // Names that have subtests.
            let above = roots.iter().flat_map(|root| {
                let ends = root.match_indices('/').map(|(at, _)| &root[..at]);
                ends.collect::<Vec<_>>()
            });
            let above: FxHashSet<&str> = above.collect();
            roots.retain(|root| !above.contains(root));
        }
        roots
    }

    /// Output of a test function and of those of its subtests that did not pass.
    pub fn output_of(&self, root: &str) -> String {
        let failed = self
            .tests
            .iter()
            .filter(|test| self.root(&test.name) == root && test.state != State::Passed);
        failed.map(|test| test.output.text()).collect()
    }

    /// Output of no test, without the lines in which the testing package repeats the
    /// result.
    pub fn own_words(&self) -> String {
        let text = self.output.text();
        let words = text
            .lines()
            .filter(|line| !matches!(*line, "PASS" | "FAIL"));
        words.fold(String::new(), |mut out, line| {
            out.push_str(line);
            out.push('\n');
            out
        })
    }

    /// The seed of `-shuffle`.
    pub fn shuffle_seed(&self) -> Option<String> {
        let text = self.output.text();
        let mut seeds = text
            .lines()
            .filter_map(|line| line.strip_prefix("-test.shuffle "));
        seeds.next().map(str::to_owned)
    }

    /// Tests that did not pass, by the root of their names; see [`Self::output_of`].
    pub fn not_passed(&self) -> FxHashMap<&str, Vec<&Test>> {
        let mut all: FxHashMap<&str, Vec<&Test>> = FxHashMap::default();
        for test in self.tests.iter().filter(|test| test.state != State::Passed) {
            all.entry(self.root(&test.name)).or_default().push(test);
        }
        all
    }
}

/// Seconds of a duration as Go prints it rounded: `3s`, `1m30s`, `2h0m1s`.
fn seconds(text: &str) -> f64 {
    let mut sum = 0.0;
    let mut number = String::new();
    for character in text.chars() {
        let factor = match character {
            'h' => 3600.0,
            'm' => 60.0,
            's' => 1.0,
            other => {
                number.push(other);
                continue;
            }
        };
        sum += number.parse().unwrap_or(0.0) * factor;
        number.clear();
    }
    sum
}

fn keep(output: &mut Output, bytes: &[u8], held: &mut usize) {
    if *held >= MOST_HELD {
        return output.leave_out(bytes);
    }
    let before = output.len();
    output.push(bytes);
    *held += output.len() - before;
}

fn is_race(line: &[u8]) -> bool {
    line.starts_with(b"WARNING: DATA RACE")
}

/// The last line of a test's output, without its place.
fn reason(output: &Output) -> Option<String> {
    let text = output.end(LONGEST_REASON);
    let line = text.lines().rev().map(str::trim).find(|line| {
        !line.is_empty() && !line.starts_with("=== ") && !line.starts_with("--- SKIP: ")
    })?;
    let reason = match line.split_once(": ") {
        Some((place, reason)) if place.contains(".go:") => reason,
        _ => line,
    };
    Some(reason.to_owned())
}

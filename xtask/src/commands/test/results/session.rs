//! A run in progress: the result of each package, retries, and what is printed
//! meanwhile: the output of each failed test once and in full, and a line for
//! each package and suite.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;

use camino::{Utf8Path, Utf8PathBuf};
use gotest::events::{Package, State, Test, Verdict};

use super::live::{Live, clock, short, shown};
use crate::commands::test::args::ResultArgs;
use crate::commands::test::unit::Show;
use foundation::failure::Failure;
use foundation::record::results::History;
use foundation::run::exec_root::left;
use foundation::run::gotest::{Attempt, Finished, Seen};
use foundation::ui::text::one_line;
use foundation::ui::{Style, Ui};

/// The results of one package.
#[derive(Debug, Default)]
pub(in crate::commands::test) struct Outcome {
    /// The first run of each of its jobs.
    pub(in crate::commands::test) runs: Vec<Package>,
    /// Results of retries, by test function.
    pub(in crate::commands::test) again: BTreeMap<String, Vec<Package>>,
    /// Set if its tests could not be run at all.
    pub(in crate::commands::test) broken: Option<Failure>,
    /// Number of jobs that have not ended.
    pending: usize,
}

impl Outcome {
    /// Returns test functions that failed and did not pass on a retry; a test
    /// that was cut off when its infrastructure broke has not failed.
    pub(in crate::commands::test) fn failed(&self) -> Vec<&str> {
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

    /// Returns test functions that failed first and passed on a retry.
    pub(in crate::commands::test) fn flaky(&self) -> Vec<&str> {
        let roots = self.runs.iter().flat_map(Package::failed_roots);
        roots.filter(|root| self.is_flaky(root)).collect()
    }

    /// Returns those of `tests` that did not pass.
    pub(in crate::commands::test) fn not_passed(&self, tests: &[String]) -> Vec<String> {
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

    /// Returns, for the root of a failure, whether it passed on a retry, itself
    /// or in all of its failed parts.
    pub(in crate::commands::test) fn forgiven(&self) -> impl Fn(&str) -> bool {
        let (flaky, failed) = (at_or_above(&self.flaky()), at_or_above(&self.failed()));
        move |root| flaky.contains(root) && !failed.contains(root)
    }

    /// Returns the names of all tests that began.
    pub(in crate::commands::test) fn began(&self) -> HashSet<&str> {
        let tests = self.runs.iter().flat_map(|run| &run.tests);
        let tests = tests.filter(|test| test.state != State::Paused);
        tests.map(|test| test.name.as_str()).collect()
    }

    fn is_flaky(&self, root: &str) -> bool {
        self.again.get(root).is_some_and(|again| {
            again.iter().any(|run| {
                run.verdict.as_ref().is_some_and(Verdict::is_ok) && run.counts().passed > 0
            })
        })
    }

    /// Returns the output of a failure that no test of the package explains.
    pub(in crate::commands::test) fn failed_by_itself(&self) -> Option<&Verdict> {
        let verdicts = self.runs.iter().filter_map(|run| run.verdict.as_ref());
        let mut bad = verdicts.filter(|verdict| verdict.cut_short());
        bad.next().or_else(|| {
            let by_itself = self.runs.iter().find(|run| run.failed_by_itself());
            by_itself.and_then(|run| run.verdict.as_ref())
        })
    }
}

/// Returns these tests, and those that they are subtests of.
fn at_or_above<'a>(names: &[&'a str]) -> HashSet<&'a str> {
    let above = names.iter().flat_map(|name| {
        let ends = name.match_indices('/').map(|(at, _)| &name[..at]);
        ends.chain([*name])
    });
    above.collect()
}

/// Maximum number of retries: more failures of a package are not chance, and
/// each retry is a start of the binary.
const MOST_AGAIN: usize = 500;

pub(in crate::commands::test) struct Session<'a> {
    pub(in crate::commands::test) args: &'a ResultArgs,
    pub(in crate::commands::test) ui: &'a Ui,
    pub(in crate::commands::test) history: &'a History,
    pub(in crate::commands::test) outcomes: BTreeMap<String, Outcome>,
    pub(in crate::commands::test) live: Live<'a>,
    pub(in crate::commands::test) size: usize,
    /// Messages printed for each test while it runs, so that each is printed
    /// once.
    pub(in crate::commands::test) said: BTreeMap<usize, HashSet<String>>,
    /// A package that cannot be built, and the compiler's output: an error that
    /// concerns all packages is printed once.
    pub(in crate::commands::test) unbuilt: Option<(String, String)>,
    /// The checkout and the package's folder, by import path.
    pub(in crate::commands::test) folders: BTreeMap<String, (Utf8PathBuf, Utf8PathBuf)>,
    /// What is printed while tests run.
    pub(in crate::commands::test) show: Show,
    /// How many dots the last line has.
    dots: usize,
    /// Running attempts, by number.
    attempts: BTreeMap<usize, Attempt>,
}

impl<'a> Session<'a> {
    pub(in crate::commands::test) fn new(
        args: &'a ResultArgs,
        ui: &'a Ui,
        history: &'a History,
        to_link: usize,
        size: usize,
    ) -> Self {
        let mut live = Live::new(ui);
        live.to_link = to_link;
        Self {
            args,
            ui,
            history,
            outcomes: BTreeMap::new(),
            live,
            size,
            said: BTreeMap::new(),
            unbuilt: None,
            folders: BTreeMap::new(),
            show: Show::default(),
            dots: 0,
            attempts: BTreeMap::new(),
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

    /// Failures that are not retried: races, panics, and packages that ended
    /// early.
    fn again(&self, finished: &Finished) -> Vec<Attempt> {
        let verdict = finished.results.verdict.as_ref();
        if finished.broken.is_some() {
            return Vec::new();
        }
        match &finished.attempt.again {
            None if verdict == Some(&Verdict::Failed) && self.args.retries > 0 => {
                let roots = finished.results.failed_roots();
                if roots.len() > MOST_AGAIN {
                    self.ui.note(&format!(
                        "{} tests of {} failed: they are not run again",
                        roots.len(),
                        shown(&finished.attempt.package)
                    ));
                    return Vec::new();
                }
                let again = roots.into_iter();
                again
                    .map(|root| self.attempt(&finished.attempt, root, 1))
                    .collect()
            }
            Some((root, time))
                if verdict == Some(&Verdict::Failed) && *time < self.args.retries =>
            {
                vec![self.attempt(&finished.attempt, root, time + 1)]
            }
            _ => Vec::new(),
        }
    }

    /// Returns a retry of one test of `before`; `time` counts from 1.
    fn attempt(&self, before: &Attempt, root: &str, time: u32) -> Attempt {
        let past = self.history.of(&before.package, root);
        Attempt {
            again: Some((root.to_owned(), time)),
            expected: past.map_or(0.0, |past| past.seconds),
            ..before.clone()
        }
    }

    /// Reports a package that cannot be built: `words` is the compiler's
    /// output.
    pub(in crate::commands::test) fn unbuilt(&mut self, package: &str, words: String) {
        let mut results = Package::new(package);
        results.output.push(words.as_bytes());
        results.close(Verdict::BuildFailed);
        self.expect(package, 0).runs.push(results);
        self.live.failed += 1;
        self.say_unbuilt(package, words);
    }

    /// Sets the number of attempts at the tests of a package.
    pub(in crate::commands::test) fn expect(
        &mut self,
        package: &str,
        attempts: usize,
    ) -> &mut Outcome {
        let outcome = self.outcomes.entry(package.to_owned()).or_default();
        outcome.pending += attempts;
        outcome
    }

    pub(in crate::commands::test) fn started(&mut self, attempt: &Attempt, number: usize) {
        self.live
            .started(number, &attempt.package, attempt.as_root, attempt.expected);
        self.attempts.insert(number, attempt.clone());
    }

    pub(in crate::commands::test) fn seen(&mut self, number: usize, seen: Seen<'_>) {
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
                    let attempt = self.attempts.get(&number);
                    let again = attempt.and_then(|attempt| attempt.again.clone());
                    self.said.entry(number).or_default().insert(test.to_owned());
                    self.say_failed(number, results, test, again.map(|(_, time)| time));
                }
                let state = state.map(|test| test.state);
                match self.show {
                    Show::Tests if depth == results.depth && !failed => {
                        self.say_whole(results, test);
                    }
                    Show::Dots if depth == results.depth => self.dot(state),
                    _ => {}
                }
                if depth + 1 == results.depth {
                    self.say_suite(results, test);
                }
            }
        }
    }

    /// Stores the result of an earlier run.
    pub(in crate::commands::test) fn cached(&mut self, results: Package) {
        self.count(&results);
        if !matches!(self.show, Show::Dots | Show::Failures) {
            let counts = results.counts();
            let ok = self.paint(Style::Good, "ok  ");
            let mut line = format!("{ok} {}  (cached)", shown(&results.name));
            for (count, word) in [(counts.passed, "passed"), (counts.skipped, "skipped")] {
                if count > 0 {
                    let _ = write!(line, "  {count} {word}");
                }
            }
            line.push('\n');
            self.say(&line);
        }
        let outcome = self.outcomes.entry(results.name.clone()).or_default();
        outcome.runs.push(results);
    }

    /// Stores a result. Returns the retries that it causes.
    pub(in crate::commands::test) fn finished(
        &mut self,
        number: usize,
        finished: Finished,
    ) -> Vec<Attempt> {
        self.live.ended(number);
        self.attempts.remove(&number);
        if let Some(failure) = &finished.broken {
            let cut = if finished.results.tests.is_empty() {
                "cannot run"
            } else {
                "cut off:"
            };
            let text = format!("{cut} {}: {failure}\n", short(&finished.attempt.package));
            self.say(&text);
        } else {
            self.say_package(number, &finished);
        }
        let again = self.again(&finished);
        if finished.attempt.again.is_none() {
            self.count(&finished.results);
        }
        let outcome = self
            .outcomes
            .entry(finished.attempt.package.clone())
            .or_default();
        outcome.pending = (outcome.pending + again.len()).saturating_sub(1);
        if let Some(failure) = finished.broken {
            outcome.broken.get_or_insert(failure);
            // Results that were seen while it ran count as well.
            if finished.attempt.again.is_none() && !finished.results.tests.is_empty() {
                outcome.runs.push(finished.results);
            }
        } else if let Some((root, _)) = finished.attempt.again {
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

    /// Removes a run that is followed by the same run again.
    pub(in crate::commands::test) fn forget(&mut self, number: usize) {
        self.live.ended(number);
        self.attempts.remove(&number);
        self.said.remove(&number);
    }

    /// Whether a run has failed, even if others of its package have not ended.
    pub(in crate::commands::test) fn has_any_failed(&self) -> bool {
        let mut runs = self.outcomes.values().flat_map(|outcome| &outcome.runs);
        runs.any(|run| run.verdict.as_ref().is_some_and(|it| !it.is_ok()))
    }

    /// Redraws. `left`: expected seconds of the jobs that have not started.
    pub(in crate::commands::test) fn tick(&mut self, left: f64) {
        self.live.tick(left, self.size);
    }

    /// Whether all runs of a package have ended and one has failed.
    pub(in crate::commands::test) fn has_failed(&self) -> bool {
        self.outcomes.values().any(|outcome| {
            outcome.pending == 0
                && (!outcome.failed().is_empty() || outcome.failed_by_itself().is_some())
        })
    }
}

/// Dots per line.
const WIDTH: usize = 80;

/// Maximum number of failed tests of one run of a package whose output is
/// printed.
const MOST_SAID: usize = 1000;

impl Session<'_> {
    /// Prints text that stays; the progress is drawn below it.
    pub(in crate::commands::test) fn say(&mut self, text: &str) {
        self.end_line();
        self.print(text);
    }

    /// Removes the progress and ends a line of dots.
    pub(in crate::commands::test) fn end_line(&mut self) {
        self.live.clear();
        if std::mem::take(&mut self.dots) > 0 {
            self.print("\n");
        }
    }

    fn print(&self, text: &str) {
        if self.args.json {
            self.ui.report(text);
        } else {
            foundation::ui::print(text);
        }
    }

    /// Prints one character for a test that has ended.
    fn dot(&mut self, state: Option<State>) {
        let dot = match state {
            Some(State::Passed) => ".",
            Some(State::Skipped) => "s",
            _ => "F",
        };
        self.live.clear();
        self.dots += 1;
        if self.dots > WIDTH {
            self.dots = 1;
            self.print("\n");
        }
        self.print(dot);
    }

    /// Prints a test function that did not fail, with its subtests and what they printed.
    fn say_whole(&mut self, results: &Package, root: &str) {
        let folder = self.folders.get(&results.name).cloned();
        // With `-count`, the last time that it ran.
        let first = results.tests.iter().rposition(|test| test.name == root);
        let tests = results.tests[first.unwrap_or_default()..].iter();
        let tests = tests.filter(|test| results.root(&test.name) == root);
        let text = lines_of(tests, folder.as_ref());
        self.say(&text);
    }

    /// Prints the whole output of a failed test, after a line that names the
    /// test.
    pub(in crate::commands::test) fn say_failed(
        &mut self,
        number: usize,
        package: &Package,
        root: &str,
        again: Option<u32>,
    ) {
        let test = package.tests.iter().rev().find(|test| test.name == root);
        let seconds = test.map_or(0.0, |test| test.seconds);
        let folder = self.folders.get(&package.name).cloned();
        let output = || {
            let tests = package.tests.iter();
            let tests = tests
                .filter(|test| package.root(&test.name) == root && test.state != State::Passed);
            lines_of(tests, folder.as_ref())
        };
        self.say_failed_with(number, package, root, again, (seconds, &output));
    }

    fn say_failed_with(
        &mut self,
        number: usize,
        package: &Package,
        root: &str,
        again: Option<u32>,
        (seconds, output): (f64, &dyn Fn() -> String),
    ) {
        match self.said.get(&number).map_or(0, HashSet::len) {
            // The summary names all of them.
            MOST_SAID => return self.say("… and more: the summary names them\n"),
            said if said > MOST_SAID => return,
            _ => {}
        }
        let state = match again {
            None => "FAIL".to_owned(),
            Some(time) => format!("FAIL again (run {})", time + 1),
        };
        let title = format!(
            "{state} {} {} ({})",
            shown(&package.name),
            one_line(root),
            clock(seconds)
        );
        let mut text = format!("{}\n", self.paint(Style::Bad, &title));
        indent(&mut text, &output());
        self.say(&text);
    }

    pub(in crate::commands::test) fn paint(&self, style: Style, text: &str) -> String {
        if self.args.json {
            text.to_owned()
        } else {
            self.ui.paint(style, text)
        }
    }

    /// Prints one line about a package's run, and failures of tests that did
    /// not end.
    pub(in crate::commands::test) fn say_package(&mut self, number: usize, finished: &Finished) {
        let results = &finished.results;
        let again = finished.attempt.again.as_ref().map(|(_, time)| *time);
        let not_passed = results.not_passed();
        let folder = self.folders.get(&results.name).cloned();
        for root in results.failed_roots() {
            if self.said.entry(number).or_default().insert(root.to_owned()) {
                let tests = not_passed.get(root).map_or(&[][..], Vec::as_slice);
                let own = tests.iter().rev().find(|test| test.name == root);
                let seconds = own.map_or(0.0, |test| test.seconds);
                let output = || lines_of(tests.iter().copied(), folder.as_ref());
                self.say_failed_with(number, results, root, again, (seconds, &output));
            }
        }
        self.said.remove(&number);
        let verdict = results.verdict.clone().unwrap_or(Verdict::Incomplete);
        let is_whole = verdict.cut_short() || results.failed_by_itself();
        let words = if is_whole || (again.is_none() && !verdict.is_ok()) {
            results.own_words()
        } else {
            String::new()
        };
        if !words.is_empty() {
            let title = if is_whole {
                format!("FAIL {}: {}", shown(&results.name), verdict.describe())
            } else {
                format!("output of {} outside of its tests", shown(&results.name))
            };
            let style = if is_whole { Style::Bad } else { Style::Bold };
            let mut text = format!("{}\n", self.paint(style, &title));
            indent(&mut text, &words);
            self.say(&text);
        }
        if !finished.left.is_empty() {
            let text = format!("{}: {}\n", shown(&results.name), left(&finished.left));
            self.say(&text);
        }
        for benchmark in &results.benchmarks {
            let line = format!("{}\n", one_line(&benchmark.line.replace('\t', "  ")));
            self.say(&line);
        }
        let is_quiet = matches!(self.show, Show::Dots | Show::Failures) && verdict.is_ok();
        if again.is_none() && !is_quiet {
            self.say_line(finished, &verdict);
        }
    }

    /// Prints why a package cannot be built; an error that concerns all
    /// packages is printed once.
    pub(in crate::commands::test) fn say_unbuilt(&mut self, package: &str, words: String) {
        let title = format!("FAIL {}  cannot be built", shown(package));
        let text = match &self.unbuilt {
            Some((other, said)) if *said == words => {
                let title = format!("{title}, as {}", shown(other));
                format!("{}\n", self.paint(Style::Bad, &title))
            }
            _ => {
                let mut text = format!("{}\n", self.paint(Style::Bad, &title));
                indent(&mut text, &words);
                self.unbuilt = Some((package.to_owned(), words));
                text
            }
        };
        self.say(&text);
    }

    fn say_line(&mut self, finished: &Finished, verdict: &Verdict) {
        let results = &finished.results;
        let counts = results.counts();
        let mut line = if verdict.is_ok() {
            self.paint(Style::Good, "ok  ")
        } else {
            self.paint(Style::Bad, "FAIL")
        };
        let _ = write!(line, " {}", shown(&results.name));
        if finished.attempt.as_root {
            line.push_str(" [root]");
        }
        let _ = write!(line, "  {}", clock(results.seconds));
        for (count, word) in [
            (counts.passed, "passed"),
            (counts.failed, "failed"),
            (counts.skipped, "skipped"),
        ] {
            if count > 0 {
                let _ = write!(line, "  {count} {word}");
            }
        }
        if !matches!(verdict, Verdict::Passed | Verdict::Failed) {
            let _ = write!(line, "  {}", verdict.describe());
        }
        if let Some(coverage) = &results.coverage {
            let _ = write!(line, "  coverage: {}", one_line(coverage));
        }
        if let Some(seed) = results.shuffle_seed().filter(|_| !verdict.is_ok()) {
            let _ = write!(line, "  (-shuffle={seed})");
        }
        line.push('\n');
        self.say(&line);
    }

    /// Prints one line about a suite, because hours of others may follow.
    pub(in crate::commands::test) fn say_suite(&mut self, results: &Package, suite: &str) {
        let Some(test) = results.tests.iter().rev().find(|it| it.name == suite) else {
            return;
        };
        let mut line = match test.state {
            State::Failed => self.paint(Style::Bad, "FAIL"),
            State::Skipped => "skip".to_owned(),
            _ => self.paint(Style::Good, "ok  "),
        };
        let name = suite.rsplit('/').next().unwrap_or(suite);
        let _ = write!(line, " {}  {}", one_line(name), clock(test.seconds));
        let of_suite = |test: &&Test| {
            test.name.starts_with(&format!("{suite}/")) && results.root(&test.name) == test.name
        };
        for (state, word) in [
            (State::Passed, "passed"),
            (State::Failed, "failed"),
            (State::Skipped, "skipped"),
        ] {
            let tests = results.tests.iter().filter(of_suite);
            let count = tests.filter(|test| test.state == state).count();
            if count > 0 {
                let _ = write!(line, "  {count} {word}");
            }
        }
        if let Some(reason) = &test.reason {
            let _ = write!(line, "  {reason}");
        }
        line.push('\n');
        self.say(&line);
    }
}

/// Each test's result and its own lines, with the places from the checkout's top.
///
/// # Arguments
/// `folder`: the checkout, and the package's folder.
fn lines_of<'a>(
    tests: impl Iterator<Item = &'a Test>,
    folder: Option<&(Utf8PathBuf, Utf8PathBuf)>,
) -> String {
    let mut out = String::new();
    for line in tests.flat_map(Test::lines) {
        let from_top = folder.and_then(|(top, folder)| from_top(&line, top, folder));
        out.push_str(from_top.as_deref().unwrap_or(&line));
        out.push('\n');
    }
    out
}

/// Returns a line that begins with `a_test.go:3:` with the file's path from the
/// checkout's top, which editors can open; `None` for other lines. The file may be that
/// of a helper in another package.
fn from_top(line: &str, top: &Utf8Path, folder: &Utf8Path) -> Option<String> {
    let text = line.trim_start();
    let (file, rest) = text.split_once(".go:")?;
    let is_name = |it: char| it.is_alphanumeric() || matches!(it, '_' | '-' | '.');
    let is_place = rest.starts_with(|it: char| it.is_ascii_digit());
    if file.is_empty() || !file.chars().all(is_name) || !is_place {
        return None;
    }
    let path = folder.join(format!("{file}.go"));
    let below = path.strip_prefix(top).ok()?;
    path.is_file().then(|| {
        let indent = &line[..line.len() - text.len()];
        format!("{indent}{below}:{rest}")
    })
}

/// Indents output.
pub(in crate::commands::test) fn indent(out: &mut String, text: &str) {
    for line in text.lines() {
        let _ = writeln!(out, "    {line}");
    }
}

//! What is said as a run goes: words of what failed, once and in full, and a
//! line for each package and suite.

use std::collections::HashSet;
use std::fmt::Write;

use gotest::events::{Package, State, Verdict};

use super::live::{clock, shown};
use super::session::Session;
use foundation::run::exec_root::left;
use foundation::run::gotest::Finished;
use foundation::ui::Style;
use foundation::ui::text::one_line;

/// Failed tests of one run of a package whose words are said.
const MOST_SAID: usize = 1000;

impl Session<'_> {
    /// Text that stays; below it the picture goes on.
    pub(super) fn say(&mut self, text: &str) {
        self.live.clear();
        if self.args.json {
            self.ui.report(text);
        } else {
            foundation::ui::print(text);
        }
    }

    /// A test's words, whole, with a line before that says whose they are.
    pub(super) fn say_failed(
        &mut self,
        number: usize,
        package: &Package,
        root: &str,
        again: Option<u32>,
    ) {
        let test = package.tests.iter().rev().find(|test| test.name == root);
        let seconds = test.map_or(0.0, |test| test.seconds);
        let output = || package.output_of(root);
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
            // Each is looked for among all; the summary names them all.
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

    pub(super) fn paint(&self, style: Style, text: &str) -> String {
        if self.args.json {
            text.to_owned()
        } else {
            self.ui.paint(style, text)
        }
    }

    /// One line about a package's run, and what failed without having ended.
    pub(super) fn say_package(&mut self, number: usize, finished: &Finished) {
        let results = &finished.results;
        let again = finished.job.again.as_ref().map(|(_, time)| *time);
        let not_passed = results.not_passed();
        for root in results.failed_roots() {
            if self.said.entry(number).or_default().insert(root.to_owned()) {
                let tests = not_passed.get(root).map_or(&[][..], Vec::as_slice);
                let own = tests.iter().rev().find(|test| test.name == root);
                let seconds = own.map_or(0.0, |test| test.seconds);
                let output = || tests.iter().map(|test| test.output.text()).collect();
                self.say_failed_with(number, results, root, again, (seconds, &output));
            }
        }
        self.said.remove(&number);
        let verdict = results.verdict.clone().unwrap_or(Verdict::Incomplete);
        if (verdict.cut_short() || results.failed_by_itself()) && !results.output.is_empty() {
            let title = format!("FAIL {}: {}", shown(&results.name), verdict.describe());
            let mut text = format!("{}\n", self.paint(Style::Bad, &title));
            indent(&mut text, &results.output.text());
            self.say(&text);
        }
        if !finished.left.is_empty() {
            let text = format!("{}: {}\n", shown(&results.name), left(&finished.left));
            self.say(&text);
        }
        if again.is_none() {
            self.say_line(finished, &verdict);
        }
    }

    /// Why a package cannot be built; what is wrong with all is said once.
    pub(super) fn say_unbuilt(&mut self, package: &str, words: String) {
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
        if finished.job.as_root {
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
        line.push('\n');
        self.say(&line);
    }

    /// One line about a suite, of those that hours of others may follow.
    pub(super) fn say_suite(&mut self, results: &Package, suite: &str) {
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
        let of_suite = |test: &&gotest::events::Test| {
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

/// Everything that was said, without the marks of the testing package's lines.
pub(super) fn indent(out: &mut String, text: &str) {
    for line in text.lines() {
        if line.starts_with("=== ") && !line.starts_with("=== Failed") {
            continue;
        }
        let _ = writeln!(out, "    {line}");
    }
}

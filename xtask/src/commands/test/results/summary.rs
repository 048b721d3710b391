//! The summary of a run as text.

use std::collections::BTreeMap;
use std::fmt::Write;

use gotest::events::State;

use super::live::{clock, shown};
use super::report::Report;
use foundation::ui::text::{counted, hanging, one_line};
use foundation::ui::{Style, Ui};

/// Maximum number of slow tests that are named.
const SLOWEST: usize = 5;

impl Report<'_> {
    pub(in crate::commands::test) fn people(&self, ui: &Ui) -> String {
        let mut out = String::new();
        if !self.is_short {
            self.reasons(ui, &mut out);
        }
        if !self.is_short || self.slowest.is_some() {
            self.slowest(ui, &mut out);
        }
        let not_run = self.not_run();
        if !not_run.is_empty() {
            let _ = writeln!(
                out,
                "{}",
                ui.paint(
                    Style::Warn,
                    "Not run: the package failed before these tests began or went on"
                )
            );
            for (package, test) in not_run.iter().take(10) {
                let _ = writeln!(out, "  {} {}", shown(package), one_line(test));
            }
            if not_run.len() > 10 {
                let _ = writeln!(out, "  … and {} more", not_run.len() - 10);
            }
        }
        for (title, style, tests) in [
            ("Flaky: failed, then passed", Style::Warn, self.flaky()),
            ("Failed", Style::Bad, self.failed()),
        ] {
            if tests.is_empty() {
                continue;
            }
            let _ = writeln!(out, "{}", ui.paint(style, title));
            for (package, test) in tests {
                let _ = writeln!(out, "  {} {}", shown(package), one_line(test));
            }
        }
        for (package, outcome) in self.outcomes {
            if let Some(failure) = &outcome.broken {
                let line = format!("{}: {}", shown(package), failure.what);
                let _ = writeln!(out, "{}", ui.paint(Style::Bad, &line));
            } else if let Some(verdict) = outcome.failed_by_itself() {
                let line = format!("{}: {}", shown(package), verdict.describe());
                let _ = writeln!(out, "{}", ui.paint(Style::Bad, &line));
            }
        }
        let _ = writeln!(out, "{}", self.last_line());
        out
    }

    fn last_line(&self) -> String {
        let counts = self.counts();
        let mut line = format!(
            "{} in {}: {} passed, {} failed, {} skipped",
            counted(counts.total as u64, "test"),
            counted(self.outcomes.len() as u64, "package"),
            counts.passed,
            counts.failed,
            counts.skipped
        );
        for (count, word) in [
            (self.flaky().len(), "flaky"),
            (self.left_out().len(), "left out"),
            (self.not_run().len(), "not run"),
        ] {
            if count > 0 {
                let _ = write!(line, ", {count} {word}");
            }
        }
        if !self.built.is_empty() {
            let built = counted(self.built.len() as u64, "package");
            let _ = write!(line, ", {built} built without tests");
        }
        if let Some(percent) = self.coverage {
            let _ = write!(line, ", coverage: {percent:.1}% of statements");
        }
        let _ = write!(line, "  {}", clock(self.seconds));
        if self.interrupted {
            line.push_str("  (interrupted)");
        }
        line
    }

    /// Adds skipped and left out tests, by reason.
    fn reasons(&self, ui: &Ui, out: &mut String) {
        let mut skipped: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for run in self.runs() {
            for test in run.tests.iter().filter(|test| test.state == State::Skipped) {
                let reason = test.reason.as_deref().unwrap_or("(no reason given)");
                let name = format!("{} {}", shown(&run.name), one_line(&test.name));
                skipped.entry(reason).or_default().push(name);
            }
        }
        let mut left_out: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (package, test, reason) in self.left_out() {
            let name = format!("{} {}", shown(package), one_line(test));
            left_out.entry(reason).or_default().push(name);
        }
        for (title, by_reason) in [("Skipped", skipped), ("Left out on this host", left_out)] {
            if by_reason.is_empty() {
                continue;
            }
            let _ = writeln!(out, "{}", ui.paint(Style::Bold, title));
            for (reason, names) in by_reason {
                let _ = writeln!(out, "  {}", hanging(reason, 2));
                for name in names.iter().take(10) {
                    let _ = writeln!(out, "    {}", ui.paint(Style::Dim, name));
                }
                if names.len() > 10 {
                    let _ = writeln!(out, "    … and {} more", names.len() - 10);
                }
            }
        }
    }

    fn slowest(&self, ui: &Ui, out: &mut String) {
        let mut tests: Vec<(f64, String)> = self
            .runs()
            .flat_map(|run| {
                let depth = |name: &str| name.matches('/').count();
                let roots = run
                    .tests
                    .iter()
                    .filter(move |test| depth(&test.name) == run.depth);
                roots.map(|test| {
                    (
                        test.seconds,
                        format!("{} {}", shown(&run.name), one_line(&test.name)),
                    )
                })
            })
            .filter(|(seconds, _)| *seconds >= 1.0 || self.slowest.is_some())
            .collect();
        tests.sort_by(|a, b| b.0.total_cmp(&a.0));
        if tests.is_empty() || self.slowest == Some(0) {
            return;
        }
        let _ = writeln!(out, "{}", ui.paint(Style::Bold, "Slowest"));
        for (seconds, name) in tests.iter().take(self.slowest.unwrap_or(SLOWEST)) {
            let _ = writeln!(out, "  {:>8}  {name}", clock(*seconds));
        }
    }
}

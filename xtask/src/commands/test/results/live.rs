//! The progress of a run on a terminal: running tests, results so far, time
//! left. Redrawn in place below everything that is printed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use gotest::events::{Event, State, What};

use foundation::ui::text::{cut, one_line};
use foundation::ui::{Style, Ui};

/// Maximum lines of running tests.
const SHOWN: usize = 8;
/// A redraw is cheap, but more of them would not be noticed.
const EVERY: Duration = Duration::from_millis(100);

/// The state that is drawn.
#[derive(Debug)]
pub(in crate::commands::test) struct Live<'a> {
    ui: &'a Ui,
    /// Whether there is a terminal to draw on.
    draws: bool,
    drawn: usize,
    last: Option<Instant>,
    began: Instant,
    running: BTreeMap<usize, Job>,
    pub(in crate::commands::test) passed: usize,
    pub(in crate::commands::test) failed: usize,
    pub(in crate::commands::test) skipped: usize,
    /// Packages whose binaries are not linked yet.
    pub(in crate::commands::test) to_link: usize,
}

#[derive(Debug)]
struct Job {
    package: String,
    as_root: bool,
    began: Instant,
    expected: f64,
    /// Running tests that are not paused, with their start.
    tests: Vec<(String, Instant)>,
}

/// Maximum number of tests of one binary at once; more would not fit on a
/// screen.
const MOST_RUNNING: usize = 500;

impl<'a> Live<'a> {
    pub(in crate::commands::test) fn new(ui: &'a Ui) -> Self {
        Self {
            ui,
            draws: ui.can_draw(),
            drawn: 0,
            last: None,
            began: Instant::now(),
            running: BTreeMap::new(),
            passed: 0,
            failed: 0,
            skipped: 0,
            to_link: 0,
        }
    }

    pub(in crate::commands::test) fn started(
        &mut self,
        number: usize,
        package: &str,
        as_root: bool,
        expected: f64,
    ) {
        let job = Job {
            package: package.to_owned(),
            as_root,
            began: Instant::now(),
            expected,
            tests: Vec::new(),
        };
        self.running.insert(number, job);
    }

    pub(in crate::commands::test) fn ended(&mut self, number: usize) {
        self.running.remove(&number);
    }

    pub(in crate::commands::test) fn event(&mut self, number: usize, event: &Event) {
        let (Some(job), Some(test)) = (self.running.get_mut(&number), &event.test) else {
            return;
        };
        match event.what {
            What::Run | What::Continue
                if job.tests.len() < MOST_RUNNING
                    && !job.tests.iter().any(|(name, _)| name == test) =>
            {
                job.tests.push((test.clone(), Instant::now()));
            }
            What::Pause => job.tests.retain(|(name, _)| name != test),
            _ => {}
        }
    }

    /// Counts a test that has ended, if its state is counted.
    pub(in crate::commands::test) fn count(&mut self, state: Option<State>) {
        match state {
            Some(State::Passed) => self.passed += 1,
            Some(State::Failed) => self.failed += 1,
            Some(State::Skipped) => self.skipped += 1,
            _ => {}
        }
    }

    pub(in crate::commands::test) fn test_ended(&mut self, number: usize, test: &str) {
        if let Some(job) = self.running.get_mut(&number) {
            job.tests.retain(|(name, _)| name != test);
        }
    }

    /// Erases the drawing, before text that stays is printed.
    pub(in crate::commands::test) fn clear(&mut self) {
        if self.drawn > 0 {
            self.ui.draw(self.drawn, "");
            self.drawn = 0;
        }
    }

    /// Redraws. `left`: seconds of work that wait, and how many jobs can run at
    /// once.
    pub(in crate::commands::test) fn tick(&mut self, left: f64, size: usize) {
        let is_due = self.last.is_none_or(|last| last.elapsed() >= EVERY);
        if !self.draws || !is_due {
            return;
        }
        self.last = Some(Instant::now());
        let picture = self.picture(left, size);
        let lines = picture.lines().count();
        self.ui.draw(self.drawn, &picture);
        self.drawn = lines;
    }

    fn picture(&self, left: f64, size: usize) -> String {
        let (width, height) = self.ui.size().unwrap_or((80, 24));
        // Limited to the screen: lines that have scrolled cannot be erased.
        let shown = SHOWN.min(height.saturating_sub(3)).max(1);
        let mut out = String::new();
        let mut running: Vec<(&Job, &str, Instant)> =
            self.running.values().flat_map(Job::lines).collect();
        // The tests that run longest come first.
        running.sort_by_key(|(.., since)| *since);
        for (job, name, since) in running.iter().take(shown) {
            let _ = writeln!(out, "{}", running_line(job, name, *since, width));
        }
        if running.len() > shown {
            let line = format!("  … and {} more", running.len() - shown);
            let _ = writeln!(out, "{}", cut(&line, width));
        }
        let now: f64 = self.running.values().map(Job::left).sum();
        #[expect(clippy::cast_precision_loss, reason = "a number of processors")]
        let size = size.max(1) as f64;
        let line = self.sum_line(running.len(), (left + now) / size, width);
        let style = if self.failed > 0 {
            Style::Bad
        } else {
            Style::Bold
        };
        let _ = writeln!(out, "{}", self.ui.paint_drawn(style, &line));
        out
    }

    /// Returns the summary line; `left`: estimated seconds. Shorter on a narrow
    /// terminal.
    fn sum_line(&self, running: usize, left: f64, width: usize) -> String {
        let took = clock(self.began.elapsed().as_secs_f64());
        let mut line = format!(
            "{running} running, {} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        );
        let mut narrow = format!(
            "{} ok, {} FAIL, {} skip",
            self.passed, self.failed, self.skipped
        );
        if self.to_link > 0 {
            let _ = write!(line, ", {} to link", self.to_link);
        }
        let _ = write!(line, "  {took}");
        let _ = write!(narrow, "  {took}");
        if left > 1.0 {
            let _ = write!(line, ", about {} left", clock(left));
            let _ = write!(narrow, ", ~{}", clock(left));
        }
        if line.chars().count() > width {
            line = narrow;
        }
        cut(&line, width)
    }
}

/// Returns the line of a running test. A long line loses the beginning of the
/// package, because the test's name is more specific.
fn running_line(job: &Job, name: &str, since: Instant, width: usize) -> String {
    let time = format!("  {:>6.1}s  ", since.elapsed().as_secs_f64());
    let root = if job.as_root { " [root]" } else { "" };
    // Lines are cut by displayed columns, so they are escaped first.
    let end = format!("{root}  {}", one_line(name));
    let package = &shown(&job.package);
    let taken = time.chars().count() + end.trim_end().chars().count();
    let left = width.saturating_sub(taken).max(8);
    let length = package.chars().count();
    let package = if length > left {
        let from = package.char_indices().nth(length - left + 1);
        format!("…{}", from.map_or("", |(at, _)| &package[at..]))
    } else {
        package.to_string()
    };
    cut(format!("{time}{package}{end}").trim_end(), width)
}

impl Job {
    fn lines(&self) -> Vec<(&Self, &str, Instant)> {
        if self.tests.is_empty() {
            return vec![(self, "", self.began)];
        }
        // A test whose subtest runs is represented by that subtest.
        let is_above = |name: &str| {
            self.tests.iter().any(|(other, _)| {
                other.len() > name.len()
                    && other.starts_with(name)
                    && other.as_bytes()[name.len()] == b'/'
            })
        };
        let leaves = self.tests.iter().filter(|(name, _)| !is_above(name));
        leaves
            .map(|(name, since)| (self, name.as_str(), *since))
            .collect()
    }

    fn left(&self) -> f64 {
        (self.expected - self.began.elapsed().as_secs_f64()).max(0.0)
    }
}

/// The import path without the part that all packages share.
pub(in crate::commands::test) fn short(package: &str) -> &str {
    package
        .strip_prefix("github.com/siderolabs/talos/")
        .unwrap_or(package)
}

/// Like [`short`], escaped for display.
pub(in crate::commands::test) fn shown(package: &str) -> Cow<'_, str> {
    one_line(short(package))
}

/// `1m05s`, `3.2s`.
pub(in crate::commands::test) fn clock(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1}s");
    }
    let whole = Duration::from_secs_f64(seconds.min(1e9)).as_secs();
    format!("{}m{:02}s", whole / 60, whole % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        assert_eq!(clock(3.21), "3.2s");
        assert_eq!(clock(65.0), "1m05s");
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(short("github.com/siderolabs/talos/pkg/x"), "pkg/x");
    }

    #[test]
    fn what_is_narrow_shows_the_test() {
        let job = Job {
            package: "github.com/siderolabs/talos/internal/pkg/controllers/network".to_owned(),
            as_root: true,
            began: Instant::now(),
            expected: 0.0,
            tests: Vec::new(),
        };
        let line = |width| running_line(&job, "TestLinkSpec/TestBond", job.began, width);
        assert_eq!(
            line(80),
            "     0.0s  internal/pkg/controllers/network [root]  TestLinkSpec/TestBond"
        );
        assert_eq!(
            line(54),
            "     0.0s  …lers/network [root]  TestLinkSpec/TestBond"
        );
        assert_eq!(line(40).chars().count(), 40);
        let none = running_line(&job, "", job.began, 80);
        assert!(none.ends_with(" [root]"), "{none}");
    }
}

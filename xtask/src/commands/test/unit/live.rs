//! The picture of a run on a terminal: what runs now, what came of the rest,
//! how long it will take. Redrawn in place below everything that is printed.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use gotest::events::{Event, State, What};

use crate::ui::{Style, Ui};

/// Lines of running tests.
const SHOWN: usize = 8;
/// A redraw costs little, but the eye sees no more.
const EVERY: Duration = Duration::from_millis(100);

/// What is going on.
#[derive(Debug)]
pub(super) struct Live<'a> {
    ui: &'a Ui,
    /// Whether there is a terminal to draw on.
    draws: bool,
    drawn: usize,
    last: Option<Instant>,
    began: Instant,
    running: BTreeMap<usize, Job>,
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) skipped: usize,
    /// Packages whose binaries are not linked yet.
    pub(super) to_link: usize,
}

#[derive(Debug)]
struct Job {
    package: String,
    as_root: bool,
    began: Instant,
    expected: f64,
    /// Those that run and are not paused, since when.
    tests: Vec<(String, Instant)>,
}

impl<'a> Live<'a> {
    pub(super) fn new(ui: &'a Ui) -> Self {
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

    pub(super) fn started(&mut self, number: usize, package: &str, as_root: bool, expected: f64) {
        let job = Job {
            package: package.to_owned(),
            as_root,
            began: Instant::now(),
            expected,
            tests: Vec::new(),
        };
        self.running.insert(number, job);
    }

    pub(super) fn ended(&mut self, number: usize) {
        self.running.remove(&number);
    }

    pub(super) fn event(&mut self, number: usize, event: &Event) {
        let (Some(job), Some(test)) = (self.running.get_mut(&number), &event.test) else {
            return;
        };
        match event.what {
            What::Run | What::Continue if !job.tests.iter().any(|(name, _)| name == test) => {
                job.tests.push((test.clone(), Instant::now()));
            }
            What::Pause => job.tests.retain(|(name, _)| name != test),
            _ => {}
        }
    }

    /// One of those tests that are counted as they end.
    pub(super) fn count(&mut self, state: Option<State>) {
        match state {
            Some(State::Passed) => self.passed += 1,
            Some(State::Failed) => self.failed += 1,
            Some(State::Skipped) => self.skipped += 1,
            _ => {}
        }
    }

    pub(super) fn test_ended(&mut self, number: usize, test: &str) {
        if let Some(job) = self.running.get_mut(&number) {
            job.tests.retain(|(name, _)| name != test);
        }
    }

    /// Take the picture away, for text that stays.
    pub(super) fn clear(&mut self) {
        if self.drawn > 0 {
            self.ui.draw(&format!("\x1b[{}A\x1b[J", self.drawn));
            self.drawn = 0;
        }
    }

    /// `left`: seconds of work that wait, and how many can run at once.
    pub(super) fn tick(&mut self, left: f64, size: usize) {
        let is_due = self.last.is_none_or(|last| last.elapsed() >= EVERY);
        if !self.draws || !is_due {
            return;
        }
        self.last = Some(Instant::now());
        let picture = self.picture(left, size);
        let lines = picture.lines().count();
        let up = match self.drawn {
            0 => String::new(),
            drawn => format!("\x1b[{drawn}A\x1b[J"),
        };
        self.ui.draw(&format!("{up}{picture}"));
        self.drawn = lines;
    }

    fn picture(&self, left: f64, size: usize) -> String {
        let width = self.ui.width().unwrap_or(80);
        let mut out = String::new();
        let running: Vec<(&Job, Option<&(String, Instant)>)> =
            self.running.values().flat_map(Job::lines).collect();
        for (job, test) in running.iter().take(SHOWN) {
            let (name, since) = match test {
                Some((name, since)) => (name.as_str(), *since),
                None => ("", job.began),
            };
            let root = if job.as_root { " [root]" } else { "" };
            let line = format!(
                "  {:>6.1}s  {}{root}  {name}",
                since.elapsed().as_secs_f64(),
                short(&job.package)
            );
            let _ = writeln!(out, "{}", cut(&line, width));
        }
        if running.len() > SHOWN {
            let _ = writeln!(out, "  … and {} more", running.len() - SHOWN);
        }
        let mut line = format!(
            "{} running, {} passed, {} failed, {} skipped",
            running.len(),
            self.passed,
            self.failed,
            self.skipped
        );
        if self.to_link > 0 {
            let _ = write!(line, ", {} to link", self.to_link);
        }
        let _ = write!(line, "  {}", clock(self.began.elapsed().as_secs_f64()));
        let now: f64 = self.running.values().map(Job::left).sum();
        if left + now > 1.0 {
            #[expect(clippy::cast_precision_loss, reason = "a number of processors")]
            let size = size.max(1) as f64;
            let _ = write!(line, ", about {} left", clock((left + now) / size));
        }
        let style = if self.failed > 0 {
            Style::Bad
        } else {
            Style::Bold
        };
        let _ = writeln!(out, "{}", self.ui.paint_drawn(style, &cut(&line, width)));
        out
    }
}

impl Job {
    fn lines(&self) -> Vec<(&Self, Option<&(String, Instant)>)> {
        if self.tests.is_empty() {
            return vec![(self, None)];
        }
        // A test whose subtest runs is that subtest.
        let is_above = |name: &str| {
            self.tests.iter().any(|(other, _)| {
                other.len() > name.len()
                    && other.starts_with(name)
                    && other.as_bytes()[name.len()] == b'/'
            })
        };
        let leaves = self.tests.iter().filter(|(name, _)| !is_above(name));
        leaves.map(|test| (self, Some(test))).collect()
    }

    fn left(&self) -> f64 {
        (self.expected - self.began.elapsed().as_secs_f64()).max(0.0)
    }
}

/// Without the part that all packages share.
pub(super) fn short(package: &str) -> &str {
    package
        .strip_prefix("github.com/siderolabs/talos/")
        .unwrap_or(package)
}

/// `1m05s`, `3.2s`.
pub(super) fn clock(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1}s");
    }
    let whole = Duration::from_secs_f64(seconds.min(1e9)).as_secs();
    format!("{}m{:02}s", whole / 60, whole % 60)
}

fn cut(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let mut out: String = line.chars().take(width.saturating_sub(1)).collect();
    out.push('…');
    out
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
}

//! States of tests.

use super::Output;

/// The state of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Running,
    /// Waits for other tests after `t.Parallel`.
    Paused,
    Passed,
    Failed,
    Skipped,
    /// Its binary ended before it did.
    Aborted,
}

impl State {
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Aborted)
    }

    /// Returns one word, for JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Aborted => "aborted",
        }
    }
}

/// A test or subtest, once for each time that it ran.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// Includes the names of its parents: `TestA/b`.
    pub name: String,
    pub state: State,
    pub seconds: f64,
    /// Empty for a test that passed.
    pub output: Output,
    /// Reason of a skip: the last line of output.
    pub reason: Option<String>,
    pub raced: bool,
    /// Keys and values of `T.Attr`, and the folder of `T.ArtifactDir`.
    pub attributes: Vec<(String, String)>,
}

impl Test {
    /// Depth below its test function.
    pub fn depth(&self) -> usize {
        self.name.matches('/').count()
    }

    /// The output as people read it: the result first, then the lines of this test,
    /// indented by its depth, without the marks of the testing package.
    pub fn lines(&self) -> Vec<String> {
        let text = self.output.text();
        let indent = "    ".repeat(self.depth());
        let (results, own): (Vec<&str>, Vec<&str>) = text
            .lines()
            .filter(|line| !self.is_mark(line))
            .partition(|line| self.is_result(line));
        let results = results.into_iter().map(|line| line.trim_start().to_owned());
        let own = own.into_iter().map(str::to_owned);
        results
            .chain(own)
            .map(|line| format!("{indent}{line}"))
            .collect()
    }

    /// The first line that the test printed with its place: the reason of a failure.
    pub fn first_message(&self) -> Option<String> {
        let text = self.output.text();
        let mut places = text.lines().map(str::trim).filter(|line| {
            let place = line.split_once(": ").map(|(place, _)| place);
            place.is_some_and(|place| {
                let (file, line) = place.rsplit_once(':').unwrap_or_default();
                file.strip_suffix(".go").is_some() && line.parse::<u32>().is_ok()
            })
        });
        places.next().map(str::to_owned)
    }

    fn is_result(&self, line: &str) -> bool {
        let rest = line.trim_start().strip_prefix("--- ");
        let rest = rest.and_then(|rest| rest.split_once(": "));
        rest.is_some_and(|(word, rest)| {
            let name = rest.strip_prefix(self.name.as_str());
            matches!(word, "PASS" | "FAIL" | "SKIP" | "BENCH")
                && name.is_some_and(|time| time.starts_with(" (") && time.ends_with("s)"))
        })
    }

    fn is_mark(&self, line: &str) -> bool {
        let rest = line.strip_prefix("=== ").and_then(|rest| {
            let (word, rest) = rest.split_once(' ')?;
            let marks = ["RUN", "PAUSE", "CONT", "NAME", "ATTR", "ARTIFACTS"];
            let is_mark = marks.contains(&word);
            rest.trim_start()
                .strip_prefix(self.name.as_str())
                .filter(|_| is_mark)
        });
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    }
}

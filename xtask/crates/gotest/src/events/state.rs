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
}

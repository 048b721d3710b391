//! How tests stand.

use super::Output;

/// How a test stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Running,
    /// Waits for others, as `t.Parallel` has it.
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

    /// For programs.
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
    /// With those of its parents: `TestA/b`.
    pub name: String,
    pub state: State,
    pub seconds: f64,
    /// Of one that passed nothing is kept.
    pub output: Output,
    /// Why it was skipped: the last that it said.
    pub reason: Option<String>,
    pub raced: bool,
}

//! The result of a package as a whole.

/// The end of a test binary's process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    /// The number of the signal.
    Signal(i32),
    /// Unknown: a stream does not always contain it.
    #[default]
    Unknown,
}

/// The result of running a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    /// The package has no tests, or none were chosen.
    NoTests,
    /// Tests failed, and the binary ended in the regular way.
    Failed,
    /// Data races were reported.
    Raced,
    BuildFailed,
    /// With the first line of the panic, or of the runtime's fatal error.
    Panicked(String),
    /// After the binary's own timeout, or that of the run.
    TimedOut,
    /// Stopped by this program, at the user's request.
    Stopped,
    /// By a signal that the run did not send.
    Killed(i32),
    /// `os.Exit`, `log.Fatal` or a `TestMain`: no test has the reason.
    Exited(i32),
    /// All tests passed, and then the binary ended with this code: `TestMain`, or a check
    /// that it makes, such as goleak's.
    FailedAfter(i32),
    /// The output is incomplete.
    Incomplete,
}

impl Verdict {
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Passed | Self::NoTests)
    }

    /// Whether tests that had not begun never will.
    pub fn cut_short(&self) -> bool {
        !matches!(
            self,
            Self::Passed | Self::NoTests | Self::Failed | Self::Raced | Self::FailedAfter(_)
        )
    }

    /// One word, for JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::NoTests => "no-tests",
            Self::Failed => "failed",
            Self::Raced => "raced",
            Self::BuildFailed => "build-failed",
            Self::Panicked(_) => "panicked",
            Self::TimedOut => "timed-out",
            Self::Stopped => "stopped",
            Self::Killed(_) => "killed",
            Self::Exited(_) => "exited",
            Self::FailedAfter(_) => "failed-after",
            Self::Incomplete => "incomplete",
        }
    }

    /// Parses the results of [`Self::word`] and [`Self::describe`]; none for other
    /// words.
    pub fn parse(word: &str, detail: &str) -> Option<Self> {
        let number = || {
            let mut words = detail.split_whitespace();
            words.find_map(|word| word.parse().ok()).unwrap_or_default()
        };
        Some(match word {
            "passed" => Self::Passed,
            "no-tests" => Self::NoTests,
            "failed" => Self::Failed,
            "raced" => Self::Raced,
            "build-failed" => Self::BuildFailed,
            "panicked" => Self::Panicked(detail.to_owned()),
            "timed-out" => Self::TimedOut,
            "stopped" => Self::Stopped,
            "killed" => Self::Killed(number()),
            "exited" => Self::Exited(number()),
            "failed-after" => Self::FailedAfter(number()),
            "incomplete" => Self::Incomplete,
            _ => return None,
        })
    }

    /// Returns the verdict as text.
    pub fn describe(&self) -> String {
        match self {
            Self::Passed => "passed".to_owned(),
            Self::NoTests => "no tests".to_owned(),
            Self::Failed => "tests failed".to_owned(),
            Self::Raced => "data races".to_owned(),
            Self::BuildFailed => "build failed".to_owned(),
            Self::Panicked(what) => what.clone(),
            Self::TimedOut => "timed out".to_owned(),
            Self::Stopped => "stopped".to_owned(),
            Self::Killed(signal) => format!("killed by signal {signal}{}", named(*signal)),
            Self::Exited(code) => format!("exited with code {code} before the tests ended"),
            Self::FailedAfter(code) => {
                format!("ended with exit code {code} after its tests had passed")
            }
            Self::Incomplete => "the output is incomplete".to_owned(),
        }
    }
}

fn named(signal: i32) -> &'static str {
    match signal {
        3 => " (QUIT)",
        6 => " (ABRT)",
        9 => " (KILL; out of memory?)",
        11 => " (SEGV)",
        15 => " (TERM)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        for verdict in [
            Verdict::Passed,
            Verdict::NoTests,
            Verdict::Failed,
            Verdict::Raced,
            Verdict::BuildFailed,
            Verdict::Panicked("panic: 3 of 4".to_owned()),
            Verdict::TimedOut,
            Verdict::Killed(9),
            Verdict::Exited(-1),
            Verdict::FailedAfter(2),
            Verdict::Stopped,
            Verdict::Incomplete,
        ] {
            let read = Verdict::parse(verdict.word(), &verdict.describe());
            assert_eq!(read, Some(verdict));
        }
        assert_eq!(Verdict::parse("not-run", ""), None);
    }
}

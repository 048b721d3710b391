//! Errors as users see them: what failed, its causes, and a hint with the next
//! command. Nothing here prints or exits; `main` does.

use std::fmt;

use crate::ui::text::hanging;

/// Documented exit codes. Pass-through commands return the child's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Checks or tests failed.
    Checks,
    /// A usage error, or a question without a terminal to ask on.
    Usage,
    /// The host or the checkout is not ready.
    HostNotReady,
    /// A step of the plan failed.
    Step,
    /// A node died.
    NodeDied,
    /// Nothing was found, but a log does not hold every record.
    Incomplete,
    /// A deadline passed.
    Deadline,
    /// Ctrl-C or SIGTERM.
    Interrupted,
    /// A child's own code, passed through.
    Child(u8),
}

impl Exit {
    /// The process exit status.
    pub fn code(self) -> u8 {
        match self {
            Self::Checks => 1,
            Self::Usage => 2,
            Self::HostNotReady => 3,
            Self::Step => 4,
            Self::NodeDied => 5,
            Self::Incomplete => 6,
            Self::Deadline => 124,
            Self::Interrupted => 130,
            Self::Child(code) => code,
        }
    }

    /// Its name in JSON.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Checks => "checks",
            Self::Usage => "usage",
            Self::HostNotReady => "host-not-ready",
            Self::Step => "step",
            Self::NodeDied => "node-died",
            Self::Incomplete => "incomplete",
            Self::Deadline => "deadline",
            Self::Interrupted => "interrupted",
            Self::Child(_) => "child",
        }
    }
}

/// An error as users see it. `what` is lower-case with literals in backticks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub exit: Exit,
    pub what: String,
    pub causes: Vec<String>,
    /// Evidence shown verbatim, such as a console's last lines.
    pub excerpt: Vec<String>,
    /// A command to type, or one sentence.
    pub hint: Option<String>,
}

pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            causes: Vec::new(),
            excerpt: Vec::new(),
            hint: None,
        }
    }

    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    pub fn host(what: impl Into<String>) -> Self {
        Self::new(Exit::HostNotReady, what)
    }

    pub fn step(what: impl Into<String>) -> Self {
        Self::new(Exit::Step, what)
    }

    /// What failed and its causes in one line, without the hint.
    pub fn in_one_line(&self) -> String {
        let words: Vec<&str> = std::iter::once(self.what.as_str())
            .chain(self.causes.iter().map(String::as_str))
            .collect();
        words.join(": ")
    }

    /// The failure for programs. Stable: fields are added, never changed.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({"error": {
            "kind": self.exit.kind(),
            "message": self.what,
            "causes": self.causes,
            "excerpt": self.excerpt,
            "hint": self.hint,
            "code": self.exit.code(),
        }})
    }

    #[must_use]
    pub fn cause(mut self, cause: impl fmt::Display) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn excerpt(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.excerpt.extend(lines);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A name that contains a newline must not look like a cause or a hint.
        f.write_str(&hanging(&self.what, "error: ".len()))?;
        for cause in &self.causes {
            write!(f, "\n  cause: {}", hanging(cause, "  cause: ".len()))?;
        }
        for line in self.excerpt.iter().flat_map(|text| text.split('\n')) {
            write!(f, "\n  | {line}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n\nhint: {}", hanging(hint, "hint: ".len()))?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// Adds what was attempted to a lower-level error.
pub trait Because<T> {
    /// # Errors
    /// The `Failure` built from `what` with the original error as its cause.
    fn because(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> Because<T> for std::result::Result<T, E> {
    fn because(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Failure::step(what()).cause(error))
    }
}

//! Where in a Makefile something is, and what can be wrong there.

use std::fmt;
use std::sync::Arc;

/// A line of a file; lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    pub file: Arc<str>,
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Why a Makefile cannot be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// GNU make would understand it; this reader does not, and does not guess.
    #[error("{place}: {construct} is not supported")]
    Unsupported { place: Place, construct: String },
    /// GNU make would refuse it too.
    #[error("{place}: {what}")]
    Malformed { place: Place, what: String },
    /// A recursive variable that is part of its own value.
    #[error("{place}: variable `{name}` refers to itself")]
    SelfReference { place: Place, name: String },
    /// A value that is learnt only while running would have to be known now.
    #[error(
        "{place}: {construct} needs the output of `$(shell {command})`, which is known only while running"
    )]
    TooEarly {
        place: Place,
        construct: String,
        command: String,
    },
    /// No rule and no file; make's own wording.
    #[error("no rule to make target `{target}`{}", needed_by.as_ref().map(|by| format!(", needed by `{by}`")).unwrap_or_default())]
    NoRule {
        target: String,
        needed_by: Option<String>,
    },
    /// Recipes that call make for ever.
    #[error("`$(MAKE)` calls itself {depth} levels deep, last for `{goals}`")]
    TooDeep { depth: usize, goals: String },
    /// A command line that cannot be meant.
    #[error("{0}")]
    Usage(String),
}

impl Error {
    pub(crate) fn unsupported(place: &Place, construct: impl Into<String>) -> Self {
        Self::Unsupported {
            place: place.clone(),
            construct: construct.into(),
        }
    }

    pub(crate) fn malformed(place: &Place, what: impl Into<String>) -> Self {
        Self::Malformed {
            place: place.clone(),
            what: what.into(),
        }
    }
}

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

//! Errors of the evaluation, with places in the Makefile.

use std::fmt;
use std::sync::Arc;

/// Characters of a Makefile's text that a message repeats.
const SHOWN: usize = 200;

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
    /// GNU make understands it; this reader does not, and does not guess.
    #[error("{place}: {construct} is not supported")]
    Unsupported { place: Place, construct: String },
    /// GNU make refuses it too.
    #[error("{place}: {what}")]
    Malformed { place: Place, what: String },
    /// A recursive variable whose value contains a reference to itself.
    #[error("{place}: variable `{name}` refers to itself")]
    SelfReference { place: Place, name: String },
    /// More text or steps than any real Makefile takes.
    #[error(
        "{place}: {what}{}",
        variable.as_ref().map(|name| format!(", in the variable `{name}`")).unwrap_or_default()
    )]
    TooMuch {
        place: Place,
        what: String,
        variable: Option<String>,
    },
    /// A value that is only known while running would have to be known now.
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
    /// Recipes that call make without end.
    #[error("`$(MAKE)` calls itself {depth} levels deep, last for `{goals}`")]
    TooDeep { depth: usize, goals: String },
    /// Invalid arguments or environment of make.
    #[error("{0}")]
    Usage(String),
}

impl Error {
    pub(crate) fn unsupported(place: &Place, construct: impl Into<String>) -> Self {
        Self::Unsupported {
            place: place.clone(),
            construct: shortened(&construct.into()),
        }
    }

    pub(crate) fn malformed(place: &Place, what: impl Into<String>) -> Self {
        Self::Malformed {
            place: place.clone(),
            what: shortened(&what.into()),
        }
    }
}

/// Shortens a text for a message: it may be a megabyte long.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

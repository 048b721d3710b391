//! What can be wrong with an image, so that a caller can tell a broken image
//! from a broken host.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use crate::digest::Digest;

pub type Result<T> = std::result::Result<T, ImageError>;

/// Why an image cannot be read. `what` is a blob, a file or a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    #[error("{what} does not exist")]
    Missing { what: String },
    #[error("{what}: {reason}")]
    Io { what: String, reason: String },
    #[error("{what} has the digest {actual}, not {expected}")]
    Digest {
        what: String,
        expected: Digest,
        actual: Digest,
    },
    #[error("{what} ends after {got} of {expected} bytes")]
    Truncated {
        what: String,
        got: u64,
        expected: u64,
    },
    #[error("{what} is longer than the {expected} bytes of its descriptor")]
    TooLong { what: String, expected: u64 },
    #[error("{what} is HTML, not JSON")]
    Html { what: String },
    #[error("{what} is invalid: {reason}")]
    Invalid { what: String, reason: String },
    #[error("{what} is not a complete {format} stream: {reason}")]
    Compression {
        what: String,
        format: &'static str,
        reason: String,
    },
    #[error("{what} expands without end: {bytes} bytes from {compressed}")]
    Bomb {
        what: String,
        bytes: u64,
        compressed: u64,
    },
    #[error("{what} exceeds the limit of {limit}")]
    Limit { what: String, limit: String },
    #[error("{what} is not supported: {reason}")]
    Unsupported { what: String, reason: String },
    #[error("{address}: {reason}")]
    Registry { address: String, reason: String },
}

impl ImageError {
    pub(crate) fn io(what: impl Into<String>, error: &io::Error) -> Self {
        Self::Io {
            what: what.into(),
            reason: error.to_string(),
        }
    }

    pub(crate) fn invalid(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid {
            what: what.into(),
            reason: reason.into(),
        }
    }

    pub(crate) fn missing(what: impl Into<String>) -> Self {
        Self::Missing { what: what.into() }
    }

    /// Whether the image's bytes are at fault, not the host, the network or the reference.
    pub fn is_damage(&self) -> bool {
        !matches!(
            self,
            Self::Missing { .. } | Self::Io { .. } | Self::Registry { .. }
        )
    }
}

/// Carries an error past crates that turn every error into text: the first
/// reader that finds the cause leaves it here.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cause(Rc<RefCell<Option<ImageError>>>);

impl Cause {
    /// Keeps `error` and returns one that stops the readers above.
    pub(crate) fn stop(&self, error: ImageError) -> io::Error {
        let text = error.to_string();
        self.0.borrow_mut().get_or_insert(error);
        io::Error::other(text)
    }

    /// The cause, or else what `otherwise` makes of the error.
    pub(crate) fn or_else(&self, otherwise: impl FnOnce() -> ImageError) -> ImageError {
        self.0.borrow_mut().take().unwrap_or_else(otherwise)
    }
}

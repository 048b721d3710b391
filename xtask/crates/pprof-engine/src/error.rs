//! Why a profile cannot be read: the problem, and its place in the inflated
//! bytes.

/// An unusable profile or question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are not profile.proto.
    #[error("byte {offset}: {what}")]
    Malformed {
        /// From the start of the inflated profile.
        offset: usize,
        what: String,
    },
    /// Well-formed, but it contradicts itself.
    #[error("{0}")]
    Invalid(String),
    /// The bytes are something else than a profile.
    #[error("this is {what}, not a profile")]
    NotAProfile {
        what: &'static str,
        /// Its beginning, for the message.
        excerpt: String,
    },
    /// The compressed stream broke off or does not inflate.
    #[error("cannot inflate ({format}): {what}")]
    Inflate { format: &'static str, what: String },
    /// More than the limit.
    #[error("{what} exceeds the limit of {limit}")]
    TooLarge { what: &'static str, limit: u64 },
    /// A question that this profile cannot answer.
    #[error("{0}")]
    Query(String),
}

impl Error {
    pub(crate) fn at(offset: usize, what: impl Into<String>) -> Self {
        Self::Malformed {
            offset,
            what: what.into(),
        }
    }
}

/// A result with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

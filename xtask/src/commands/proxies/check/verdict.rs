//! The result of asking a mirror, as text.

/// The result for one mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Served from the cache.
    Hit,
    /// Fetched from the upstream, and cached now.
    Fetched,
    /// Not a proxy, or a proxy of which it is unknown whether it had cached the
    /// image.
    Has,
    /// It responds; no image is known to ask for.
    Answers,
    Down(String),
    Mismatch(String),
    Missed(String),
    /// The proxy does not have it, and does not reach its upstream.
    Cut(String),
    Expired(String),
}

impl Verdict {
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Fetched => "miss, fetched",
            Self::Has => "has it",
            Self::Answers => "answers",
            Self::Down(_) => "down",
            Self::Mismatch(_) => "TLS mismatch",
            Self::Missed(_) => "miss",
            Self::Cut(_) => "upstream down",
            Self::Expired(_) => "expired blob",
        }
    }

    /// Stable for programs.
    pub(super) fn id(&self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Fetched => "fetched",
            Self::Has => "has",
            Self::Answers => "answers",
            Self::Down(_) => "down",
            Self::Mismatch(_) => "mismatch",
            Self::Missed(_) => "miss",
            Self::Cut(_) => "upstream",
            Self::Expired(_) => "expired",
        }
    }

    pub(super) fn why(&self) -> Option<&str> {
        match self {
            Self::Down(why)
            | Self::Mismatch(why)
            | Self::Missed(why)
            | Self::Cut(why)
            | Self::Expired(why) => Some(why),
            _ => None,
        }
    }
}

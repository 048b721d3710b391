//! How a run of Go tests goes: what a test binary prints, or what `go test
//! -json` says, as events, and the events as results.
//!
//! [`Framer`] reads a binary that was started with `-test.v=test2json`, as
//! cmd/internal/test2json does; [`parse_line`] reads a line of `go test -json`.
//! [`Tally`] makes results of either; [`plain`] reads what is neither.

mod frame;
mod json;
mod junit;
mod kept;
mod plain;
mod state;
mod stream;
mod tally;
mod verdict;

pub use frame::Framer;
pub use json::{Line, parse_line};
pub use junit::junit;
pub use kept::Kept;
pub use plain::plain;
pub use state::{State, Test};
pub use stream::Stream;
pub use tally::{Counts, Package, Tally};
pub use verdict::{Exit, Verdict};

/// One thing that happened in one package.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// None for the package itself.
    pub test: Option<String>,
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    Run,
    Pause,
    Continue,
    /// As printed; a line, or a part of one.
    Output(Vec<u8>),
    /// How a test ended, with its seconds.
    End(End, Option<f64>),
    /// `T.Attr`, or where `T.ArtifactDir` is (key `artifacts`).
    Attribute(String, String),
}

/// The word that a test ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Pass,
    Fail,
    Skip,
    Bench,
}

//! The run of Go tests: the output of a test binary as events, and events as results.
//!
//! [`Framer`] reads a binary that was started with `-test.v=test2json`, like
//! cmd/internal/test2json; [`parse_line`] reads a line of
//! `go test -json`, [`Package`] collects events, [`plain`] reads the output
//! of `go test` without `-v`.

mod benchmark;
mod frame;
mod json;
mod junit;
mod output;
mod package;
mod plain;
mod state;
#[cfg(any(test, fuzzing))]
mod stream;
#[cfg(test)]
mod tests;
mod verdict;

pub use benchmark::Benchmark;
pub use frame::Framer;
pub use json::{Line, json_line, json_lines_of_build, json_lines_unbuilt, parse_line};
pub use junit::junit;
pub use output::Output;
pub use package::{Counts, Package};
pub use plain::plain;
pub use state::{State, Test};
#[cfg(any(test, fuzzing))]
pub use stream::Stream;
pub use verdict::{Exit, Verdict};

/// An event in a package.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The test, or none for the package itself.
    pub test: Option<String>,
    pub what: What,
}

/// The kind of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    Run,
    Pause,
    Continue,
    /// A line of output, or a part of one.
    Output(Vec<u8>),
    /// The end of a test, and how many seconds it took.
    End(End, Option<f64>),
    /// Key and value of `T.Attr`; with the key `artifacts`, the path of `T.ArtifactDir`.
    Attribute(String, String),
}

/// The result that a test printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Pass,
    Fail,
    Skip,
    Bench,
}

//! Links and runs Go's test binaries, many at once, each in its pool. It knows how
//! a process ends, but not what to run or what results mean.

mod fresh;
mod link;
mod process;
mod schedule;

use std::time::Duration;

use camino::Utf8PathBuf;
use gotest::events::{Event, Package};

use crate::failure::Failure;

pub use link::{Built, Link, Linked, Unbuilt, prune_store};
pub use process::told;
pub use schedule::{Crew, Observe, Stop};

/// Which jobs may run beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    /// Runs beside all others.
    Plain,
    /// As root in a separate network; runs beside all others.
    Isolated,
    /// As root in the host's network, with loop devices, or with containerd: one
    /// at a time.
    Host,
}

/// Which tests one start of a test binary is for.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Import path.
    pub package: String,
    pub as_root: bool,
    /// Seconds of an earlier run; longer attempts start first.
    pub expected: f64,
    /// The test that is run again, and the number of this attempt.
    pub again: Option<(String, u32)>,
}

/// One start of a test binary.
#[derive(Debug, Clone)]
pub struct Job {
    pub attempt: Attempt,
    pub binary: Utf8PathBuf,
    /// The package's folder, the working folder of its tests.
    pub folder: Utf8PathBuf,
    /// All begin with `-test.`, except those of the user.
    pub arguments: Vec<String>,
    /// Added to the current environment; as root, the whole environment.
    pub environment: Vec<(String, String)>,
    pub pool: Pool,
    /// After this time it must print its goroutines, and then it is killed.
    pub deadline: Duration,
    /// The file for its whole output.
    pub log: Utf8PathBuf,
    /// The file for its events, in the format of `go test -json`.
    pub events: Option<Utf8PathBuf>,
    /// Whether tests that pass keep their output too.
    pub keeps_all: bool,
}

/// How a start of a test binary ended.
#[derive(Debug)]
pub struct Finished {
    pub attempt: Attempt,
    pub results: Package,
    /// Set if the job could not be run, which says nothing about its tests.
    pub broken: Option<Failure>,
    /// Processes that the job left behind, which were killed.
    pub left: Vec<String>,
}

/// An event of a running binary, without its output.
#[derive(Debug, Clone, Copy)]
pub enum Seen<'a> {
    Event(&'a Event),
    /// A test has ended; the results have its output.
    Ended(&'a str, &'a Package),
}

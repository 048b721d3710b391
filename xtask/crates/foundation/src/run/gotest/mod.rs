//! Running Go's test binaries: linking them, then many at once, each in its
//! pool, watched to its end. Knows how a process ends, not what to run or what
//! results mean.

mod link;
mod process;
mod schedule;

use std::time::Duration;

use camino::Utf8PathBuf;
use gotest::events::{Event, Package};

use crate::failure::Failure;

pub use link::{Link, Linked, prune_store};
pub use process::told;
pub use schedule::{Crew, Observe, Stop};

/// Which jobs may run beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    /// Beside all others.
    Plain,
    /// Root in a network of its own: beside all others.
    Isolated,
    /// Root in the host's network, loop devices, containerd: one at a time.
    Host,
}

/// One start of a test binary.
#[derive(Debug, Clone)]
pub struct Job {
    /// Import path.
    pub package: String,
    pub binary: Utf8PathBuf,
    /// The package's folder, where tests expect to be.
    pub folder: Utf8PathBuf,
    /// All of them begin with `-test.` but those of the user's own.
    pub arguments: Vec<String>,
    /// Added to ours; for root all that it gets.
    pub environment: Vec<(String, String)>,
    pub as_root: bool,
    pub pool: Pool,
    /// After this it is made to print its goroutines, and then killed.
    pub deadline: Duration,
    /// Seconds that it took before; longer ones start first.
    pub expected: f64,
    /// The run of one test again, and which time that is.
    pub again: Option<(String, u32)>,
    /// Where its whole output goes.
    pub log: Utf8PathBuf,
}

/// How a job ended.
#[derive(Debug)]
pub struct Finished {
    pub job: Job,
    pub results: Package,
    /// It could not be run, which is no verdict on its tests.
    pub broken: Option<Failure>,
    /// Processes that were left behind and killed.
    pub left: Vec<String>,
}

/// What a running binary has just said, output left out.
#[derive(Debug, Clone, Copy)]
pub enum Seen<'a> {
    Event(&'a Event),
    /// A test has ended; the results hold what it said.
    Ended(&'a str, &'a Package),
}

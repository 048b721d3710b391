//! One test binary as root, and nothing else: `go test -exec`. The caller's
//! side asks a helper, through sudo where it must; the helper opens and checks
//! the binary, and starts an init of a PID and mount namespace, whose end is
//! the end of everything that the test has started.
//!
//! ```text
//! client (user) ── socket on the helper's stdin ── helper (root, host's mounts)
//!                                                    └ init (PID 1, own mounts) ─ test
//! ```
//!
//! This contains mistakes, not malice: a Go test may do as root whatever it
//! likes, and whoever may have one run by the helper may write one. What the
//! helper itself does is safe for others: it takes no claim of a request for
//! true, changes nothing that existed before, and gives away only what the test
//! has made (`ownership.rs`, `outputs.rs`).

#[cfg(target_os = "linux")]
mod acl;
#[cfg(target_os = "linux")]
mod binary;
mod client;
mod environment;
#[cfg(target_os = "linux")]
mod helper;
#[cfg(target_os = "linux")]
mod init;
#[cfg(target_os = "linux")]
mod loopback;
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "the helper's part of it is Linux's")
)]
mod outputs;
#[cfg(target_os = "linux")]
mod owner;
#[cfg(target_os = "linux")]
mod ownership;
#[cfg(target_os = "linux")]
mod path;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::typed::by_caller;

pub(super) use client::start;
pub use client::{left, run};
pub use environment::{has_dangerous_value, is_dangerous, listed_environment};
#[cfg(target_os = "linux")]
pub use helper::serve as serve_root_exec;
#[cfg(target_os = "linux")]
pub use init::serve as serve_root_init;

/// What is to be run. For whom, sudo says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Absolute.
    pub binary: Utf8PathBuf,
    /// After the binary's own name.
    pub arguments: Vec<String>,
    /// The package's folder.
    pub folder: Utf8PathBuf,
    /// All that the test gets besides HOME, PATH and TMPDIR.
    pub environment: Vec<(String, String)>,
    /// Network, IPC and host name of its own too.
    pub isolate: bool,
    /// Seconds after which the test is stopped.
    pub deadline: u64,
}

/// What the helper answers, a line of JSON each. In return it gets the byte of
/// an `Ask` for each time the test is to stop; the end of the stream ends
/// everything at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The binary is what it should be and is about to start.
    Begun,
    /// It will not be run, or could not be.
    Refused { what: String, hint: Option<String> },
    /// Commands of processes that were there when the test had ended.
    Left(Vec<String>),
    /// An exit code, or 128 + N for signal N.
    Ended { code: u8, timed_out: bool },
}

/// A line of the helper's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    /// A file that the test has written, by its index in [`outputs::files`]; its
    /// descriptor comes with the first byte.
    Output {
        output: usize,
    },
    Answer(Answer),
}

#[cfg(target_os = "linux")]
fn refused(what: impl std::fmt::Display) -> Failure {
    Failure::host(format!("will not run this as root: {what}"))
}

impl Answer {
    fn refused(failure: Failure) -> Self {
        let mut what = failure.what;
        for cause in failure.causes {
            what = format!("{what}: {cause}");
        }
        let hint = failure.hint;
        Self::Refused { what, hint }
    }

    /// What [`Self::Refused`] says, as the caller would say it.
    pub(super) fn refusal(what: &str, hint: Option<&str>) -> Failure {
        let mut failure = Failure::host(by_caller(what));
        failure.hint = hint.map(by_caller);
        failure
    }
}

//! Runs one test binary as root, and nothing else: `go test -exec`. The client
//! starts a helper, through sudo unless it is root; the helper checks the binary
//! and starts an init in new PID and mount namespaces. When the init ends, so
//! does every process that the test has started.
//!
//! ```text
//! client (user) ── socket on the helper's stdin ── helper (root, host's mounts)
//!                                                    └ init (PID 1, own mounts) ─ test
//! ```
//!
//! This contains mistakes, not malice: a Go test may do anything as root, and a
//! user who may use the helper can write such a test. The helper itself is safe
//! for other users: it trusts no claim of a request, changes nothing that existed
//! before, and changes the owner only of files that the test has made
//! (`ownership.rs`, `outputs.rs`).

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
    allow(dead_code, reason = "the helper needs Linux")
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
pub use environment::{check_variable, has_dangerous_value, is_dangerous, listed_environment};
#[cfg(target_os = "linux")]
pub use helper::serve as serve_root_exec;
#[cfg(target_os = "linux")]
pub use init::serve as serve_root_init;

/// What to run. The user is the one that sudo names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The absolute path of the binary.
    pub binary: Utf8PathBuf,
    /// Arguments after the binary's own name.
    pub arguments: Vec<String>,
    /// The package's folder.
    pub folder: Utf8PathBuf,
    /// The whole environment, besides HOME, PATH and TMPDIR.
    pub environment: Vec<(String, String)>,
    /// Also isolate network, IPC and host name.
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
    /// The binary has passed all checks and is about to start.
    Begun,
    /// The binary will not be run, or could not be.
    Refused { what: String, hint: Option<String> },
    /// Commands of processes that still ran when the test had ended.
    Left(Vec<String>),
    /// An exit code, or 128 + N for signal N.
    Ended { code: u8, timed_out: bool },
}

/// One line from the helper.
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

    /// The failure of a [`Self::Refused`], with hints for the caller.
    pub(super) fn refusal(what: &str, hint: Option<&str>) -> Failure {
        let mut failure = Failure::host(by_caller(what));
        failure.hint = hint.map(by_caller);
        failure
    }
}

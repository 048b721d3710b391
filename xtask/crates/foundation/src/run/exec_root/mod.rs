//! One test binary as root, and nothing else: `go test -exec`. The caller's
//! side asks a helper, through sudo where it must; the helper opens and checks
//! the binary, and starts an init of a PID and mount namespace, whose end is
//! the end of everything that the test has started.
//!
//! ```text
//! client (user) ── socket on the helper's stdin ── helper (root, host's mounts)
//!                                                    └ init (PID 1, own mounts) ─ test
//! ```

#[cfg(target_os = "linux")]
mod binary;
mod client;
#[cfg(target_os = "linux")]
mod helper;
#[cfg(target_os = "linux")]
mod init;
#[cfg(target_os = "linux")]
mod loopback;
#[cfg(target_os = "linux")]
mod ownership;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

pub use client::{RootTest, left, run};
#[cfg(target_os = "linux")]
pub use helper::serve as serve_root_exec;
#[cfg(target_os = "linux")]
pub use init::serve as serve_root_init;

/// What is to be run.
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
    /// The caller.
    pub uid: u32,
    pub gid: u32,
}

/// What the helper answers, a line of JSON each.
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

impl Answer {
    fn refused(failure: Failure) -> Self {
        let mut what = failure.what;
        for cause in failure.causes {
            what = format!("{what}: {cause}");
        }
        let hint = failure.hint;
        Self::Refused { what, hint }
    }
}

/// What the caller asks for while the test runs, a byte each; the end of the
/// stream ends everything at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    /// SIGINT, then SIGKILL.
    Interrupt,
    /// SIGTERM, then SIGKILL.
    Terminate,
    /// SIGQUIT: Go prints all goroutines; then SIGKILL.
    Dump,
}

impl Ask {
    fn byte(self) -> u8 {
        match self {
            Self::Interrupt => b'i',
            Self::Terminate => b't',
            Self::Dump => b'q',
        }
    }

    fn read(byte: u8) -> Option<Self> {
        [Self::Interrupt, Self::Terminate, Self::Dump]
            .into_iter()
            .find(|ask| ask.byte() == byte)
    }
}

/// The environment that is let through: what Go's runtime and tests read, and
/// nothing that makes a program load or find other programs.
const LISTED: &[&str] = &[
    "CI",
    "GODEBUG",
    "GOGC",
    "GOMAXPROCS",
    "GOMEMLIMIT",
    "GORACE",
    "GOTRACEBACK",
    "LANG",
    "LC_ALL",
    "NO_COLOR",
    "PLATFORM",
    "TERM",
    "TZ",
];

/// Never, whoever asks: these load code or find programs.
pub fn is_dangerous(name: &str) -> bool {
    name.starts_with("LD_")
        || name.starts_with("DYLD_")
        || matches!(
            name,
            "PATH"
                | "IFS"
                | "ENV"
                | "BASH_ENV"
                | "SHELLOPTS"
                | "HOME"
                | "TMPDIR"
                | "GCONV_PATH"
                | "LOCPATH"
                | "NLSPATH"
                | "GLIBC_TUNABLES"
                | "MALLOC_TRACE"
                | "RESOLV_HOST_CONF"
                | "HOSTALIASES"
                | "LOCALDOMAIN"
                | "TERMINFO"
                | "TERMCAP"
                | "PERL5LIB"
                | "PYTHONPATH"
                | "PYTHONSTARTUP"
        )
}

/// The part of our environment that a test as root gets; `also` names more.
pub fn listed_environment(also: &[String]) -> Vec<(String, String)> {
    LISTED
        .iter()
        .copied()
        .chain(also.iter().map(String::as_str))
        .filter(|name| !is_dangerous(name))
        .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
        .collect()
}

//! A lab of a test's own: never the user's, taken down when the test ends,
//! however it ends.
#![allow(dead_code, reason = "each test binary uses what it needs")]
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests make their own small worlds"
)]

pub(crate) mod answers;
pub(crate) mod talos;
mod user;

use std::process::{Command, Output, Stdio};
use std::sync::{Condvar, Mutex};

use tempfile::TempDir;

use user::User;

/// Labs at a time. One leaves half of two processors idle, because it waits for its nodes; three have no time to boot.
const AT_A_TIME: usize = 2;
static TURNS: Turns = Turns {
    taken: Mutex::new(0),
    given_back: Condvar::new(),
};

struct Turns {
    taken: Mutex<usize>,
    given_back: Condvar,
}

/// One or more turns, given back when this is dropped.
struct Turn(usize);

impl Turns {
    fn wait(&self, count: usize) -> Turn {
        let taken = self.taken.lock().unwrap();
        let are_too_few = |taken: &mut usize| *taken + count > AT_A_TIME;
        *self.given_back.wait_while(taken, are_too_few).unwrap() += count;
        Turn(count)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *TURNS.taken.lock().unwrap() -= self.0;
        TURNS.given_back.notify_all();
    }
}

/// For a script in the lab: the checkout's talosctl with the default cluster's
/// own configuration.
pub(crate) const TALOSCTL: &str = "env TALOSCONFIG=$HOME/.local/state/talos-xtask/clusters/talos-default/talosconfig $PWD/_out/talosctl-linux-amd64";

/// The lab's folder and a HOME whose ledger and records are the test's.
pub(crate) struct Lab {
    dir: TempDir,
    /// Runs what is run in the lab, instead of root.
    user: Option<User>,
    _turn: Turn,
}

/// Who types the commands in a lab.
#[derive(Clone, Copy)]
pub(crate) enum Owner {
    Root,
    /// A plain user who may use sudo.
    User,
}

impl Lab {
    /// `None` where this machine cannot run a lab: then the test says so, and
    /// with CI=true that is a failure.
    pub(crate) fn own(test: &str) -> Option<Self> {
        Self::with_turns(test, 1)
    }

    /// Like [`Self::own`], without another lab beside it: a node of Talos keeps two processors busy.
    pub(crate) fn alone(test: &str) -> Option<Self> {
        Self::with_turns(test, AT_A_TIME)
    }

    fn with_turns(test: &str, turns: usize) -> Option<Self> {
        let root = rustix::process::geteuid().is_root();
        let reason = match (cfg!(target_os = "linux"), root) {
            (false, _) => "the lab needs Linux",
            (_, false) => "lab tests need root",
            _ => {
                // Short: unix sockets in it have 107 bytes.
                let dir = tempfile::Builder::new()
                    .prefix("xl-")
                    .tempdir_in("/tmp")
                    .unwrap();
                return Some(Self {
                    dir,
                    user: None,
                    _turn: TURNS.wait(turns),
                });
            }
        };
        crate::common::skip(test, reason);
        None
    }

    /// Like [`Self::own`]; commands in the lab are those of a user who may use sudo, scripts are
    /// root's in the user's checkout and with the user's HOME.
    pub(crate) fn own_of_user(test: &str) -> Option<Self> {
        Self::own(test)?.given_to_user(test)
    }

    /// From now on a user types the commands, in a copy of the lab's checkout.
    pub(crate) fn given_to_user(mut self, test: &str) -> Option<Self> {
        self.user = Some(User::make(&self, test)?);
        Some(self)
    }

    /// A lab of the first of these owners; with `scripts/test --real` one of each, one after the other: a day of a
    /// cluster takes minutes.
    pub(crate) fn of_each(test: &str, owners: [Owner; 2]) -> impl Iterator<Item = Self> {
        let all = std::env::var_os("XTASK_TEST_REAL").is_some();
        let owners = owners.into_iter().take(if all { 2 } else { 1 });
        owners.filter_map(move |owner| match owner {
            Owner::Root => Self::own(test),
            Owner::User => Self::own_of_user(test),
        })
    }

    pub(crate) fn is_of_user(&self) -> bool {
        self.user.is_some()
    }

    /// What starts the binary in a script in the lab.
    pub(crate) fn binary(&self) -> &'static str {
        match self.user {
            Some(_) => user::BINARY,
            None => env!("CARGO_BIN_EXE_xtask"),
        }
    }

    /// `cargo xtask WORDS`, outside the lab unless the words say otherwise.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let (Some(user), Some((&"--lab", words))) = (&self.user, words.split_first()) else {
            return self.outside(words);
        };
        let mut script = ["lab", "shell", "--"].map(str::to_owned).to_vec();
        script.extend(user.itself());
        script.push(user::BINARY.to_owned());
        script.extend(words.iter().map(|word| (*word).to_owned()));
        self.outside(&script)
    }

    fn outside<S: AsRef<std::ffi::OsStr>>(&self, words: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .args(words)
            .current_dir(self.dir.path())
            .env("XTASK_LAB_DIR", self.dir.path().join("l"))
            .env("XDG_STATE_HOME", self.dir.path().join("state"))
            .env_remove("TALOS_DIR")
            .env_remove("NO_COLOR")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn xtask(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// In the lab; its standard output, after success.
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        self.said(words).unwrap_or_else(|said| panic!("{said}"))
    }

    /// In the lab: the standard output, or all that was said if it failed.
    pub(crate) fn said(&self, words: &[&str]) -> Result<String, String> {
        self.said_outside(&[&["--lab"], words].concat())
    }

    /// Like [`Self::said`], with the words as they are.
    pub(crate) fn said_outside(&self, words: &[&str]) -> Result<String, String> {
        let output = self.xtask(words);
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(stdout);
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        Err(format!("{words:?}: {:?}\n{stderr}{stdout}", output.status))
    }

    /// In the lab; its standard error, after ending with `code`.
    pub(crate) fn fails(&self, code: i32, words: &[&str]) -> String {
        let words = [&["--lab"], words].concat();
        let output = self.xtask(&words);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{words:?}:\n{stderr}");
        stderr
    }

    /// A shell script of root in the lab; its standard output, after success.
    pub(crate) fn sh(&self, script: &str) -> String {
        self.script(User::as_root, script)
    }

    /// Like [`Self::sh`], of the user.
    pub(crate) fn user_sh(&self, script: &str) -> String {
        self.script(User::itself, script)
    }

    fn script(&self, enter: fn(&User) -> Vec<String>, script: &str) -> String {
        let mut words = ["lab", "shell", "--"].map(str::to_owned).to_vec();
        words.extend(self.user.iter().flat_map(enter));
        words.extend(["sh", "-c", script].map(str::to_owned));
        let output = self.outside(&words).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{script}: {:?}\n{stderr}",
            output.status
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// Lines of a console before a panic: an emulated kernel may crash by itself.
const TRACE: usize = 60;

impl Lab {
    /// The last panic of each node's kernel, with its trace.
    pub(crate) fn panics(&self) -> String {
        let consoles = self.dir.path().join("l/.talos/clusters/*/*.log");
        let consoles = glob::glob(consoles.to_str().unwrap()).unwrap().flatten();
        let consoles = consoles.filter_map(|console| std::fs::read(console).ok());
        let traces = consoles.filter_map(|console| {
            let text = String::from_utf8_lossy(&console).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            let is_panic = |line: &&str| line.contains("Kernel panic - not syncing");
            let last = lines.iter().rposition(is_panic)?;
            Some(lines[last.saturating_sub(TRACE)..=last].join("\n"))
        });
        traces.collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.panics());
        }
        let output = self.xtask(&["lab", "down"]);
        assert!(
            output.status.success() || std::thread::panicking(),
            "lab down: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

//! What tests of the built binary share. Keep it small.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "each test binary uses what it needs"
)]

pub mod browser;
pub mod git;
pub mod go;
pub mod node;
pub mod user;

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

/// A test that cannot run here says so: with `CI=true` that is a failure, else
/// one line `name<TAB>reason` goes to the file that `XTASK_TEST_SKIPS` names.
pub fn skip(name: &str, reason: &str) {
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{name} cannot run: {reason}"
    );
    eprintln!("SKIPPED: {name}: {reason}");
    if let Some(file) = std::env::var_os("XTASK_TEST_SKIPS") {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.append(true).create(true).open(file).unwrap();
        writeln!(file, "{name}\t{reason}").unwrap();
    }
}

/// The built binary with a HOME that belongs to this test process.
pub fn xtask() -> Command {
    let name = format!("home-{}", std::process::id());
    let home = Utf8Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&home).unwrap();
    in_home(&home)
}

fn in_home(home: &Utf8Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    for name in [
        "TALOS_DIR",
        "TALOS_HOME",
        "TALOSCONFIG",
        "KUBECONFIG",
        "NO_COLOR",
        "CLICOLOR_FORCE",
        "COLUMNS",
        "XDG_CACHE_HOME",
        "XDG_STATE_HOME",
        "XTASK_INSIDE_LAB",
    ] {
        command.env_remove(name);
    }
    command
        .env("HOME", home)
        .current_dir(home)
        .stdin(Stdio::null());
    command
}

/// A HOME of a test's own.
pub struct Home {
    dir: TempDir,
    pub root: Utf8PathBuf,
}

impl Home {
    pub fn new() -> Self {
        // Not below the target folder: no .cargo, go.mod or sibling near it.
        let dir = tempfile::Builder::new()
            .prefix("xt-")
            .tempdir_in("/tmp")
            .unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
        Self { dir, root }
    }

    pub fn path(&self, name: &str) -> Utf8PathBuf {
        self.root.join(name)
    }

    /// Where our state goes by default.
    pub fn state(&self) -> Utf8PathBuf {
        self.path(".local/state/talos-xtask")
    }

    pub fn write(&self, name: &str, text: &str) -> Utf8PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A program. Written by a process of its own: what another thread of ours
    /// starts while we have it open for writing would keep it "busy".
    pub fn program(&self, name: &str, from: &[u8]) -> Utf8PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut install = Command::new("install");
        let said = run_with(install.args(["-m", "755", "/dev/stdin"]).arg(&path), from);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        path
    }

    /// The built binary where everybody may run it.
    pub fn binary(&self) -> Utf8PathBuf {
        let path = self.path("xtask-binary");
        if path.exists() {
            return path;
        }
        let binary = std::fs::read(env!("CARGO_BIN_EXE_xtask")).unwrap();
        self.program("xtask-binary", &binary)
    }

    pub fn read(&self, name: &str) -> String {
        let path = self.path(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub fn xtask(&self, args: &[&str]) -> Command {
        let mut command = in_home(&self.root);
        command.args(args);
        command
    }

    /// Everything below, with contents: equal before and after means that
    /// nothing was changed.
    pub fn tree(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.root, &self.root, &mut found);
        found.sort();
        found
    }
}

fn walk(root: &Utf8Path, dir: &Utf8Path, found: &mut Vec<String>) {
    use std::os::unix::fs::MetadataExt;
    for entry in dir.read_dir_utf8().unwrap() {
        let path = entry.unwrap().into_path();
        let metadata = path.symlink_metadata().unwrap();
        let what = if metadata.is_symlink() {
            format!("-> {:?}", path.read_link_utf8().unwrap())
        } else if metadata.is_file() {
            format!(
                "{:?}",
                String::from_utf8_lossy(&std::fs::read(&path).unwrap())
            )
        } else {
            String::new()
        };
        let mode = metadata.mode();
        found.push(format!(
            "{:?} {mode:o} {what}",
            path.strip_prefix(root).unwrap()
        ));
        if metadata.is_dir() {
            walk(root, &path, found);
        }
    }
}

/// What a command printed, for assertions.
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

pub fn said(output: &Output) -> Said {
    Said {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Run to the end.
pub fn run(command: &mut Command) -> Said {
    said(&command.output().unwrap())
}

/// Run with `input` on standard input.
pub fn run_with(command: &mut Command, input: &[u8]) -> Said {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(input);
    said(&child.wait_with_output().unwrap())
}

/// A limit that only something that hangs reaches.
pub const SOON: Duration = Duration::from_secs(30);

/// Whether `seen` comes true within `limit`.
pub fn within(limit: Duration, mut seen: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if seen() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether the process lives; one that only waits to be reaped does not.
pub fn is_alive(pid: i32) -> bool {
    foundation::ctx::processes::Process::probe(pid).is_some_and(|process| process.is_alive())
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// `text` as the file has it; with `XTASK_UPDATE=1` it is written there.
pub fn assert_golden(path: &str, text: &str) {
    if std::env::var_os("XTASK_UPDATE").is_some() {
        std::fs::write(path, text).unwrap();
        return;
    }
    let wanted = std::fs::read_to_string(path).unwrap_or_default();
    if text == wanted {
        return;
    }
    let differ = text
        .lines()
        .zip(wanted.lines())
        .position(|(new, old)| new != old);
    let line = differ.unwrap_or_else(|| text.lines().count().min(wanted.lines().count()));
    let at = |text: &str| text.lines().nth(line).unwrap_or("(the end)").to_owned();
    panic!(
        "{path} differs from line {}:\n  it is   {}\n  it was  {}\nXTASK_UPDATE=1 and the same test rewrite it",
        line + 1,
        at(text),
        at(&wanted)
    );
}

//! A small workspace of Go tests, and our commands in it.

use std::process::Command;

use camino::Utf8PathBuf;

use super::{Home, run, skip};

pub const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/gotest/workspace");

/// Variables that its tests look at.
const ITS_OWN: [&str; 5] = ["CI", "DIES", "SLOW", "FLAKY_DIR", "OK_SLEEP"];

/// Whether these programs are there; says which is not.
pub fn has(test: &str, tools: &[&str]) -> bool {
    let is_missing = |tool: &&&str| foundation::ctx::host::Host::which(tool).is_none();
    let missing = tools.iter().find(is_missing);
    if let Some(tool) = missing {
        skip(test, &format!("no `{tool}`"));
    }
    missing.is_none()
}

/// A copy that a test may change.
pub struct Workspace {
    pub home: Home,
    pub dir: Utf8PathBuf,
}

impl Workspace {
    /// None where there is no Go.
    pub fn new(test: &str) -> Option<Self> {
        if !has(test, &["go"]) {
            return None;
        }
        let home = Home::new();
        let dir = home.path("talos");
        let copied = run(Command::new("cp").args(["-r", WORKSPACE, dir.as_str()]));
        assert_eq!(copied.code, Some(0));
        Some(Self { home, dir })
    }

    pub fn xtask(&self, words: &[&str]) -> Command {
        let mut command = self.home.xtask(words);
        // What is compiled there already need not be compiled again.
        let cache = std::env::var("GOCACHE")
            .unwrap_or_else(|_| format!("{}/.cache/go-build", std::env::var("HOME").unwrap()));
        command.current_dir(&self.dir).env("GOCACHE", cache);
        command.env("GOFLAGS", "-buildvcs=false");
        for name in ITS_OWN {
            command.env_remove(name);
        }
        command
    }
}

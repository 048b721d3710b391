//! A small workspace of Go tests, and our commands in it.

use std::path::Path;
use std::process::Command;

use camino::Utf8PathBuf;
use xshell::{Shell, cmd};

use super::{Home, skip};

pub const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/gotest/workspace");

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

/// Copies a folder to `to`, which does not exist or is empty.
pub fn copy(from: &str, to: impl AsRef<Path>) {
    let (sh, to) = (Shell::new().unwrap(), to.as_ref());
    cmd!(sh, "cp -R {from}/. {to}").quiet().run().unwrap();
}

/// Compiles the integration tests of the checkout in `dir`, as its Makefile does.
pub fn compile_integration(dir: impl AsRef<Path>, binary: &str, tags: &str) {
    let sh = Shell::new().unwrap();
    sh.change_dir(dir);
    sh.set_var("GOWORK", "off");
    let build = cmd!(
        sh,
        "go test -c -o {binary} -tags {tags} ./internal/integration"
    );
    build.quiet().run().unwrap();
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
        copy(WORKSPACE, &dir);
        Some(Self { home, dir })
    }

    /// A checkout with these files, and none of the others.
    pub fn with(test: &str, files: &[(&str, &str)]) -> Option<Self> {
        if !has(test, &["go"]) {
            return None;
        }
        let home = Home::new();
        let dir = home.path("talos");
        let module = ("go.mod", "module github.com/siderolabs/talos\n\ngo 1.24\n");
        let version = ("pkg/machinery/gendata/data/tag", "v1.11.0\n");
        for (file, text) in [module, version].iter().chain(files) {
            let path = dir.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
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

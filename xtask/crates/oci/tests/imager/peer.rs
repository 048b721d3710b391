//! Talos' own code, compiled from its modules: `testdata/kmod/imager`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::corpus::{self, Case};

const SOURCES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../testdata/kmod/imager/main.go"
);
const TALOS: &str = "github.com/siderolabs/talos";

/// What Talos says about one image.
pub(crate) struct Verdict {
    pub(crate) imager: String,
    /// Whether it came as far as the check of contents and services.
    pub(crate) is_loaded: bool,
    pub(crate) contents: String,
    pub(crate) services: BTreeMap<String, String>,
    pub(crate) files: BTreeMap<String, String>,
}

pub(crate) struct Peer {
    release: String,
    dir: PathBuf,
}

/// Whether these programs are there.
pub(crate) fn has(test: &str, tools: &[&str]) -> bool {
    let path = format!(
        "{}:/usr/sbin:/sbin",
        std::env::var("PATH").unwrap_or_default()
    );
    let is_there = |tool: &&&str| {
        path.split(':')
            .any(|dir| Path::new(dir).join(tool).is_file())
    };
    match tools.iter().find(|tool| !is_there(tool)) {
        Some(tool) => skip(test, &format!("no `{tool}`")),
        None => true,
    }
}

/// As tests of the command line do: with `CI=true` it is a failure.
fn skip(test: &str, reason: &str) -> bool {
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{test} cannot run: {reason}"
    );
    eprintln!("SKIPPED: {test}: {reason}");
    if let Some(file) = std::env::var_os("XTASK_TEST_SKIPS") {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.append(true).create(true).open(file).unwrap();
        writeln!(file, "{test}\t{reason}").unwrap();
    }
    false
}

fn go(dir: &Path, words: &[&str]) -> Result<String, String> {
    let mut command = Command::new("go");
    command.args(words).current_dir(dir);
    command.env("GOWORK", "off").env("CGO_ENABLED", "0");
    command.env("GOFLAGS", "-mod=mod -buildvcs=false");
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(format!("go {words:?}: {errors}"))
    }
}

fn sh(dir: &Path, script: &str) {
    let path = format!(
        "{}:/usr/sbin:/sbin",
        std::env::var("PATH").unwrap_or_default()
    );
    let mut command = Command::new("sh");
    command
        .args(["-euc", script])
        .current_dir(dir)
        .env("PATH", path);
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

impl Peer {
    /// `None` where the modules cannot be had.
    pub(crate) fn build(test: &str, release: &str) -> Option<Self> {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("imager-{release}"));
        std::fs::create_dir_all(&dir).unwrap();
        let module = format!("{TALOS}/pkg/machinery@{release}");
        let found = go(&dir, &["mod", "download", "-json", &module]);
        let found: Value = match found {
            Ok(found) => serde_json::from_str(&found).unwrap(),
            Err(reason) => {
                skip(test, &reason);
                return None;
            }
        };
        let load = Path::new(found["Dir"].as_str().unwrap()).join("extensions/load.go");
        let load = std::fs::read_to_string(load).unwrap();
        let yaml = load.lines().map(str::trim).find(|it| it.contains("yaml."));
        let yaml = yaml.unwrap();
        let decode = format!(
            "package main\n\nimport (\n\t\"io\"\n\n\t{yaml}\n)\n\nfunc decode(r io.Reader, to any) error {{ return yaml.NewDecoder(r).Decode(to) }}\n"
        );
        let mod_file = format!(
            "module {TALOS}/imager\n\ngo 1.24.0\n\nrequire (\n\t{TALOS} {release}\n\t{TALOS}/pkg/machinery {release}\n)\n"
        );
        std::fs::copy(SOURCES, dir.join("main.go")).unwrap();
        std::fs::write(dir.join("yaml.go"), decode).unwrap();
        // What the build added to it is found again.
        if !dir.join("go.sum").is_file() {
            std::fs::write(dir.join("go.mod"), mod_file).unwrap();
        }
        go(&dir, &["build", "-o", "imager", "."]).unwrap();
        Some(Self {
            release: release.to_owned(),
            dir,
        })
    }

    pub(crate) fn judge(&self, cases: &[Case]) -> BTreeMap<String, Verdict> {
        let work = tempfile::tempdir().unwrap();
        let dir = work.path();
        for case in cases {
            for (path, bytes) in &case.files.0 {
                let path = dir.join("images").join(case.name).join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
            }
        }
        std::fs::write(dir.join("kernel.tgz"), corpus::kernel()).unwrap();
        sh(
            dir,
            "mkdir root; tar -C root -xf kernel.tgz; rm -rf root/boot; mksquashfs root rootfs.sqsh -all-root -quiet -no-progress; \
             echo rootfs.sqsh | cpio -H newc --create --quiet | zstd -q >initramfs.xz",
        );
        let mut command = Command::new(self.dir.join("imager"));
        command.args([self.release.as_str(), "initramfs.xz", "images"]);
        let path = format!(
            "{}:/usr/sbin:/sbin",
            std::env::var("PATH").unwrap_or_default()
        );
        command.current_dir(dir).env("PATH", path);
        // What it unpacks is removed with the folder.
        command.env("TMPDIR", dir);
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let lines = String::from_utf8(output.stdout).unwrap();
        // Its own tools print there, too.
        let lines = lines.lines().filter(|line| line.starts_with("{\"name\":"));
        lines.map(verdict).collect()
    }
}

fn verdict(line: &str) -> (String, Verdict) {
    let found: Value = serde_json::from_str(line).unwrap();
    let text = |name: &str| found[name].as_str().unwrap().to_owned();
    let map = |name: &str| {
        let map = found[name].as_object().unwrap().iter();
        map.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect()
    };
    let verdict = Verdict {
        imager: text("imager"),
        is_loaded: found["loaded"].as_bool().unwrap(),
        contents: text("contents"),
        services: map("services"),
        files: map("files"),
    };
    (text("name"), verdict)
}

//! Linking test binaries: one `go test -c` for many packages, into a store
//! where the go command finds them again and leaves those that are fresh as
//! they are. Each is known as linked when its file is there and young, so its
//! tests start while others are still being compiled.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use gotest::events::{Line, parse_line};

use crate::failure::{Because, Result};
use crate::record::files;
use crate::run::{spawn, stream};

/// The file system's clock may be behind ours by a tick.
const TICK: Duration = Duration::from_millis(20);
/// Binaries that nobody has run for so long are removed.
const KEEP: Duration = Duration::from_hours(14 * 24);

/// One `go test -c`.
#[derive(Debug, Clone)]
pub struct Link {
    /// Without the packages.
    pub argv: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub folder: Utf8PathBuf,
    /// Import paths, and the binary that each becomes.
    pub packages: Vec<(String, Utf8PathBuf)>,
}

/// A package that has been dealt with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linked {
    pub package: String,
    /// The compiler's words, where there is no binary.
    pub failed: Option<String>,
}

pub(super) struct Linking {
    link: Link,
    child: Child,
    began: SystemTime,
    /// Packages without a binary so far.
    pending: Vec<(String, Utf8PathBuf)>,
    out: Output,
    err: Output,
    /// By the import path that the compiler gave.
    words: BTreeMap<String, String>,
    other: String,
}

#[derive(Default)]
struct Output {
    pipe: Option<std::os::fd::OwnedFd>,
    pending: Vec<u8>,
}

impl Output {
    fn lines(&mut self, mut see: impl FnMut(&[u8])) {
        let mut buffer = [0; 16 << 10];
        while let Some(pipe) = &self.pipe {
            match rustix::io::read(pipe, &mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(read) => self.pending.extend_from_slice(&buffer[..read]),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => break,
                Err(_) => self.pipe = None,
            }
        }
        let mut rest = self.pending.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            see(&rest[..end]);
            rest = &rest[end + 1..];
        }
        if rest.len() > MOST_SAID {
            see(rest);
            rest = &[];
        }
        self.pending = rest.to_vec();
    }
}

/// Of one package, and of a line: sources decide what a compiler says.
const MOST_SAID: usize = 1 << 20;

fn add(said: &mut String, text: &str) {
    if said.len() < MOST_SAID {
        said.push_str(text);
    }
}

impl Linking {
    /// # Errors
    /// When the go command cannot be started.
    pub(super) fn start(link: Link) -> Result<Self> {
        for (_, binary) in &link.packages {
            if let Some(folder) = binary.parent() {
                files::create_dir(folder).because(|| format!("cannot make `{folder}`"))?;
            }
        }
        let mut command = spawn::command(&link.argv[0]);
        command
            .args(&link.argv[1..])
            .args(link.packages.iter().map(|(package, _)| package))
            .envs(link.environment.iter().cloned())
            .current_dir(&link.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = spawn::spawn(&mut command)
            .map_err(|error| super::super::child::cannot_start("go", &error))?;
        let cannot = || "cannot read what go says".to_owned();
        let (mut out, mut err) = (Output::default(), Output::default());
        out.pipe = child.stdout.take().map(Into::into);
        err.pipe = child.stderr.take().map(Into::into);
        for pipe in [&out.pipe, &err.pipe].into_iter().flatten() {
            stream::never_wait(pipe).because(cannot)?;
        }
        Ok(Self {
            pending: link.packages.clone(),
            link,
            child,
            began: SystemTime::now() - TICK,
            out,
            err,
            words: BTreeMap::new(),
            other: String::new(),
        })
    }

    pub(super) fn fds(&self) -> impl Iterator<Item = std::os::fd::BorrowedFd<'_>> {
        use std::os::fd::AsFd;
        let pipes = [&self.out.pipe, &self.err.pipe];
        pipes.into_iter().flatten().map(AsFd::as_fd)
    }

    /// Packages that have got their binary, or never will, since the last look,
    /// and whether the go command has ended.
    pub(super) fn look(&mut self) -> Result<(Vec<Linked>, bool)> {
        self.read();
        let status = self
            .child
            .try_wait()
            .because(|| "cannot wait for go".to_owned())?;
        let mut linked = Vec::new();
        let began = self.began;
        self.pending.retain(|(package, binary)| {
            let is_young = std::fs::metadata(binary)
                .and_then(|metadata| metadata.modified())
                .is_ok_and(|modified| modified >= began);
            if is_young {
                linked.push(Linked {
                    package: package.clone(),
                    failed: None,
                });
            }
            !is_young
        });
        if status.is_some() {
            self.read();
            for (package, binary) in std::mem::take(&mut self.pending) {
                // One of an earlier state must not be taken for this one's.
                let _ = files::remove(&binary);
                let failed = Some(self.said_about(&package));
                linked.push(Linked { package, failed });
            }
        }
        Ok((linked, status.is_some()))
    }

    fn read(&mut self) {
        let (words, other) = (&mut self.words, &mut self.other);
        self.out.lines(|line| match parse_line(line) {
            Line::Build { package, output } => add(words.entry(package).or_default(), &output),
            Line::Other(text) => add(other, &(text + "\n")),
            _ => {}
        });
        self.err
            .lines(|line| add(other, &format!("{}\n", String::from_utf8_lossy(line))));
    }

    /// What concerns it: its own, and what no package of ours is meant by, such
    /// as a dependency.
    fn said_about(&self, package: &str) -> String {
        let mine = |id: &str| {
            id == package
                || id.ends_with(&format!("[{package}.test]"))
                || id == format!("{package}.test")
                || id == format!("{package}_test")
        };
        let own: String = self
            .words
            .iter()
            .filter(|(id, _)| mine(id))
            .map(|(_, text)| text.as_str())
            .collect();
        if !own.is_empty() {
            return own;
        }
        let is_others = |id: &str| {
            id.contains(".test]") || self.link.packages.iter().any(|(package, _)| package == id)
        };
        let dependencies = self.words.iter().filter(|(id, _)| !is_others(id));
        let text: String = dependencies.map(|(_, text)| text.as_str()).collect();
        format!("{text}{}", self.other)
    }

    /// The user wants it to end.
    pub(super) fn stop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::TERM);
    }
}

impl Drop for Linking {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.child);
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// Remove builds of other flags and checkouts that have not been used for long.
pub fn prune_store(store: &Utf8Path) {
    let Ok(entries) = store.read_dir_utf8() else {
        return;
    };
    for entry in entries.flatten() {
        let used = std::fs::metadata(entry.path().join("used"))
            .or_else(|_| entry.metadata())
            .and_then(|metadata| metadata.modified());
        if used.is_ok_and(|used| used.elapsed().is_ok_and(|age| age > KEEP)) {
            let _ = files::remove(entry.path());
        }
    }
}

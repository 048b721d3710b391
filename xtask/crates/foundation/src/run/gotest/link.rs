//! Links test binaries: one `go test -c` for many packages, into a store where the
//! go command finds and keeps binaries that are up to date. A package is linked
//! as soon as its file is new, so its tests start while others still compile.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use gotest::events::{End, Line, parse_line};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch::Receiver;

use crate::ctx::probe::Probe;
use crate::failure::{Because, Failure, Result};
use crate::record::files;
use crate::run::child::{Ask, Child};
use crate::run::core::{self, Follow, Limits, Pipes, Stream};
use crate::run::{spawn, step};

use super::fresh::{self, Inputs};

/// The file system's clock may be behind ours by a tick.
const TICK: Duration = Duration::from_millis(20);
/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(20);
/// Binaries that were not used for this time are removed.
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
    /// Import paths without test files: they are only built and vetted, as by `go test`.
    pub untested: Vec<String>,
    /// The folder with what is known of packages that were built with these flags.
    pub records: Utf8PathBuf,
}

/// A package that is linked, or cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linked {
    pub package: String,
    pub result: Built,
}

/// What became of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Built {
    Binary,
    /// It is built and vetted; it has no test files.
    NoTestFiles,
    Failed(Unbuilt),
}

/// Why a package has no binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unbuilt {
    /// The output of the compiler that concerns it.
    pub errors: String,
    /// The build that failed, as go names it: `a/b`, or `a/b [a/b.test]` with its tests.
    pub build: String,
    /// All outputs of the compiler, by the build that failed; with the first package only.
    pub outputs: Vec<(String, String)>,
}

/// Follows the go command.
struct Linking<'a> {
    link: &'a Link,
    began: SystemTime,
    /// Packages without a binary so far.
    pending: Vec<(String, Utf8PathBuf)>,
    out: Vec<u8>,
    err: Vec<u8>,
    /// Import paths, by the path that the compiler printed.
    words: BTreeMap<String, String>,
    /// Packages of which the go command said that they have no test files, and that
    /// they failed.
    without_tests: BTreeSet<String>,
    failed: BTreeSet<String>,
    /// Packages whose own code could not be compiled.
    broken: BTreeSet<String>,
    /// Whether the outputs were sent.
    is_told: bool,
    other: String,
    /// Packages that were built, and their binaries.
    built: Vec<(String, Option<Utf8PathBuf>)>,
    linked: UnboundedSender<Linked>,
}

/// Maximum bytes for one package and for one line: sources decide how much a
/// compiler prints.
const LONGEST: usize = 1 << 20;

/// Takes all whole lines, and a line that is too long; keeps the rest.
fn lines(pending: &mut Vec<u8>, mut see: impl FnMut(&[u8])) {
    let mut rest = pending.as_slice();
    while let Some(end) = memchr::memchr(b'\n', rest) {
        see(&rest[..end]);
        rest = &rest[end + 1..];
    }
    if rest.len() > LONGEST {
        see(rest);
        rest = &[];
    }
    *pending = rest.to_vec();
}

fn add(errors: &mut String, text: &str) {
    if errors.len() < LONGEST {
        errors.push_str(text);
    }
}

/// Links all packages of `link`, and sends each to `linked` as soon as it has its
/// binary, or never will have one. Go is not asked about packages that were built from the
/// same `inputs`.
///
/// # Errors
/// When the go command cannot be started.
pub(super) async fn run(
    mut link: Link,
    inputs: Option<Inputs>,
    stop: Receiver<usize>,
    linked: UnboundedSender<Linked>,
) -> Result<()> {
    if let Some(inputs) = &inputs {
        for built in take_fresh(&mut link, inputs) {
            let _ = linked.send(built);
        }
        if link.packages.is_empty() && link.untested.is_empty() {
            return Ok(());
        }
    }
    for (_, binary) in &link.packages {
        if let Some(folder) = binary.parent() {
            files::create_dir(folder).because(|| format!("cannot make `{folder}`"))?;
        }
    }
    let mut command = spawn::command(&link.argv[0]);
    command
        .args(&link.argv[1..])
        .args(link.packages.iter().map(|(package, _)| package))
        .args(&link.untested)
        .envs(link.environment.iter().cloned())
        .current_dir(&link.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut linking = Linking {
        pending: link.packages.clone(),
        link: &link,
        began: SystemTime::now() - TICK,
        out: Vec::new(),
        err: Vec::new(),
        words: BTreeMap::new(),
        without_tests: BTreeSet::new(),
        failed: BTreeSet::new(),
        broken: BTreeSet::new(),
        is_told: false,
        other: String::new(),
        built: Vec::new(),
        linked,
    };
    let mut child = Child::start(&mut command).map_err(|error| step::cannot_start("go", &error))?;
    let pipes =
        Pipes::new(child.take_outputs()).because(|| "cannot read the output of go".to_owned())?;
    let limits = Limits {
        first: Ask::Terminate,
        look: LOOK,
        ..Limits::new(stop)
    };
    let (status, stopped) = core::follow(&mut child, pipes, limits, &mut linking)
        .await
        .because(|| "cannot wait for go".to_owned())?;
    let built = linking.end(status.success(), stopped.is_some());
    if let Some(inputs) = inputs {
        for (package, binary) in built {
            fresh::keep(&link, &package, binary.as_deref(), &inputs);
        }
    }
    Ok(())
}

/// Takes the packages that need not be built out of a link.
fn take_fresh(link: &mut Link, inputs: &Inputs) -> Vec<Linked> {
    let (packages, untested) = (
        std::mem::take(&mut link.packages),
        std::mem::take(&mut link.untested),
    );
    let mut built = Vec::new();
    for (package, binary) in packages {
        if fresh::is_built(link, &package, Some(&binary), inputs) {
            let result = Built::Binary;
            built.push(Linked { package, result });
        } else {
            link.packages.push((package, binary));
        }
    }
    for package in untested {
        if fresh::is_built(link, &package, None, inputs) {
            let result = Built::NoTestFiles;
            built.push(Linked { package, result });
        } else {
            link.untested.push(package);
        }
    }
    built
}

impl Follow for Linking<'_> {
    fn output(&mut self, stream: Stream, bytes: &[u8]) {
        match stream {
            Stream::Out => self.out.extend_from_slice(bytes),
            Stream::Err => self.err.extend_from_slice(bytes),
        }
        self.read();
    }

    /// Packages that have got their binary since the last look.
    fn look(&mut self) -> Option<Failure> {
        let began = self.began;
        let built = &mut self.built;
        self.pending.retain(|(package, binary)| {
            let is_young = std::fs::metadata(binary)
                .and_then(|metadata| metadata.modified())
                .is_ok_and(|modified| modified >= began);
            if is_young {
                built.push((package.clone(), Some(binary.clone())));
                let _ = self.linked.send(Linked {
                    package: package.clone(),
                    result: Built::Binary,
                });
            }
            !is_young
        });
        None
    }
}

impl Linking<'_> {
    /// Reports the packages without a binary, now that the go command has ended. Returns those
    /// that were built.
    fn end(mut self, is_success: bool, is_stopped: bool) -> Vec<(String, Option<Utf8PathBuf>)> {
        self.look();
        let pending = std::mem::take(&mut self.pending);
        let mut unexplained = Vec::new();
        for (package, binary) in pending {
            // A binary of earlier sources must not be used.
            let _ = files::remove(&binary);
            let result = if self.without_tests.contains(&package) {
                Built::NoTestFiles
            } else {
                let errors = self.errors_of(&package);
                if errors.is_empty() && !is_stopped {
                    unexplained.push(package);
                    continue;
                }
                Built::Failed(self.unbuilt(&package, errors))
            };
            let _ = self.linked.send(Linked { package, result });
        }
        if is_stopped {
            return self.built;
        }
        let imports = self.imports_of(&unexplained);
        for package in unexplained {
            let needed = imports.get(&package).into_iter().flatten();
            let cause = needed.into_iter().find(|it| self.broken.contains(*it));
            let why = match cause {
                Some(cause) => format!("it imports {cause}, which cannot be built\n"),
                None => "go printed no error for it\n".to_owned(),
            };
            let mut unbuilt = self.unbuilt(&package, why);
            if let Some(cause) = cause {
                unbuilt.build.clone_from(cause);
            }
            let result = Built::Failed(unbuilt);
            let _ = self.linked.send(Linked { package, result });
        }
        // Without a word about any package, an unsuccessful end is that of all.
        let is_any_named = !self.failed.is_empty();
        for package in &self.link.untested {
            let failed = self.failed.contains(package) || !(is_success || is_any_named);
            let result = if failed {
                let errors = self.errors_of(package);
                Built::Failed(self.unbuilt(package, errors))
            } else {
                self.built.push((package.clone(), None));
                Built::NoTestFiles
            };
            let package = package.clone();
            let _ = self.linked.send(Linked { package, result });
        }
        self.built
    }

    fn read(&mut self) {
        let (words, other) = (&mut self.words, &mut self.other);
        let (without_tests, failed) = (&mut self.without_tests, &mut self.failed);
        let broken = &mut self.broken;
        lines(&mut self.out, |line| match parse_line(line) {
            Line::BuildFailed { package } => {
                broken.insert(package);
            }
            Line::Build { package, output } => add(words.entry(package).or_default(), &output),
            Line::End { package, end, .. } => {
                match end {
                    End::Fail => failed.insert(package),
                    _ => without_tests.insert(package),
                };
            }
            Line::Other(text) => add(other, &(text + "\n")),
            _ => {}
        });
        lines(&mut self.err, |line| {
            add(other, &format!("{}\n", String::from_utf8_lossy(line)));
        });
    }

    /// Returns the packages that these and their tests import, also through others.
    fn imports_of(&self, packages: &[String]) -> BTreeMap<String, Vec<String>> {
        if packages.is_empty() || self.broken.is_empty() {
            return BTreeMap::new();
        }
        let words = ["go", "list", "-e", "-test", "-f"].into_iter();
        let format = ["{{.ImportPath}} {{join .Deps \" \"}}"];
        let words = words
            .chain(format)
            .chain(packages.iter().map(String::as_str));
        let listed = Probe::new(words)
            .envs(&self.link.environment)
            .current_dir(&self.link.folder)
            .stdout()
            .unwrap_or_default();
        let lines = listed.lines().filter_map(|line| {
            let (package, imports) = line.split_once(' ')?;
            let package = package.strip_suffix(".test")?;
            let imports = imports.split(' ').map(str::to_owned).collect();
            Some((package.to_owned(), imports))
        });
        lines.collect()
    }

    fn unbuilt(&mut self, package: &str, errors: String) -> Unbuilt {
        let with_tests = format!(" [{package}.test]");
        let mut builds = self.broken.iter();
        let build = builds.find(|build| build.ends_with(&with_tests));
        let build = build.map_or(package, String::as_str).to_owned();
        let outputs = if std::mem::replace(&mut self.is_told, true) {
            Vec::new()
        } else {
            self.words.clone().into_iter().collect()
        };
        Unbuilt {
            errors,
            build,
            outputs,
        }
    }

    /// The errors of a package: its own or, without any, those of packages that
    /// are not linked here, such as dependencies.
    fn errors_of(&self, package: &str) -> String {
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
}

/// Removes builds, of other flags and checkouts, that were not used for long.
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

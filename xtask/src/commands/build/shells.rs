//! Answers to `$(shell …)`: each command runs once per invocation, and
//! independent ones at the same time. Evaluation is pure and cheap, so it is
//! simply repeated with the answers.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;
use std::time::Duration;

use camino::Utf8Path;
use makefile::{Ask, Error, Invocation, Makefile, Reply, World};

use super::shortened;
use super::trust::{Judge, Trust};
use foundation::ctx::git;
use foundation::ctx::probe::{Probe, ProbeError};

/// `git describe --dirty` reads the whole tree; no other command takes long.
const LIMIT: Duration = Duration::from_mins(2);
/// Maximum number of processes at once: they are short, and each takes two more
/// threads.
const MOST_AT_ONCE: usize = 4;
/// Maximum number of evaluations: one for each level of commands that contain
/// the output of others. Real Makefiles have three levels.
const DEEPEST: usize = 32;
/// Maximum bytes of all output.
const MOST_TEXT: usize = 64 << 20;
/// Variables that programs read by themselves.
const LOOKED_AT: &[&str] = &["PATH", "HOME", "TZ", "LANG"];

/// The purpose of the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// A run that starts now.
    Run,
    /// A look at what would run: nothing is started that could change things.
    Look,
    /// A plan that runs later or elsewhere: nor what a build may change.
    Later,
}

/// A command with the part of its environment that may matter to it.
type Key = (String, Vec<(String, String)>);

pub(super) struct Shells<'a> {
    dir: &'a Utf8Path,
    base: &'a BTreeMap<String, String>,
    purpose: For,
    /// A file, as the Makefile names it, that an earlier step removes.
    gone: Option<String>,
    judge: Judge<'a>,
    known: RefCell<BTreeMap<Key, String>>,
    asked: RefCell<BTreeSet<Key>>,
    /// What the commands wrote to standard error.
    errors: RefCell<Vec<String>>,
}

impl World for Shells<'_> {
    fn shell(&self, ask: &Ask<'_>) -> Reply {
        let trusted = |least: Trust| self.judge.trust(ask.command) <= least;
        let now = match (ask.in_recipe, self.purpose) {
            (false, For::Run) => true,
            (true, For::Run | For::Later) => trusted(Trust::Stable),
            _ => trusted(Trust::Reads),
        };
        if !now {
            return Reply::Later;
        }
        let key = self.key(ask);
        // What a Makefile sets for a nested make may name other programs.
        if self.purpose != For::Run && !key.1.is_empty() {
            return Reply::Later;
        }
        if let Some(output) = self.known.borrow().get(&key) {
            return Reply::Text(output.clone());
        }
        self.asked.borrow_mut().insert(key);
        Reply::Later
    }

    fn exists(&self, path: &str) -> bool {
        self.gone.as_deref() != Some(path) && self.dir.join(path).exists()
    }

    fn glob(&self, pattern: &str) -> Vec<String> {
        let mut files = files_matching(self.dir, pattern);
        files.retain(|file| self.gone.as_deref() != Some(file));
        files
    }
}

/// Whether it matters that a command fails: one that asks a question answers so.
fn fails(command: &str) -> bool {
    let first = command.split_whitespace().next().unwrap_or_default();
    !["command", "test", "[", "which", "grep"].contains(&first) && !command.contains("2>/dev/null")
}

/// Files that fit a pattern as a shell's does, named as the pattern names them, sorted.
pub(crate) fn files_matching(dir: &Utf8Path, pattern: &str) -> Vec<String> {
    let options = glob::MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    // A shell's `**` is a `*`.
    let mut pattern = pattern.to_owned();
    while pattern.contains("**") {
        pattern = pattern.replace("**", "*");
    }
    let is_relative = !pattern.starts_with('/');
    let root = format!("{}/", glob::Pattern::escape(dir.as_str()));
    let whole = if is_relative {
        root + &pattern
    } else {
        pattern.clone()
    };
    let Ok(paths) = glob::glob_with(&whole, options) else {
        return Vec::new();
    };
    let name = |path: std::path::PathBuf| -> Option<String> {
        let path = path.into_os_string().into_string().ok()?;
        if !is_relative {
            return Some(path);
        }
        Some(
            path.strip_prefix(dir.as_str())?
                .strip_prefix('/')?
                .to_owned(),
        )
    };
    let mut files: Vec<String> = paths.flatten().filter_map(name).collect();
    files.sort_unstable();
    files
}

impl<'a> Shells<'a> {
    pub(super) fn new(dir: &'a Utf8Path, base: &'a BTreeMap<String, String>, purpose: For) -> Self {
        Self {
            dir,
            base,
            purpose,
            gone: None,
            judge: Judge::new(dir, base),
            known: RefCell::default(),
            asked: RefCell::default(),
            errors: RefCell::default(),
        }
    }

    /// Evaluates as if this file, as the Makefile names it, did not exist.
    pub(super) fn without(mut self, gone: Option<&str>) -> Self {
        self.gone = gone.map(str::to_owned);
        self
    }

    /// What the commands wrote to standard error, and which of them failed without a word.
    pub(super) fn errors(&self) -> Vec<String> {
        self.errors.borrow().clone()
    }

    /// Evaluates until no further answer is needed.
    pub(super) fn settle<T>(
        &self,
        makefile: &Makefile,
        invocation: &Invocation,
        evaluate: impl Fn(&Makefile, &Invocation, &dyn World) -> Result<T, Error>,
    ) -> Result<T, Error> {
        for _ in 0..DEEPEST {
            let result = evaluate(makefile, invocation, self);
            let asked = self.asked.take();
            if asked.is_empty() {
                return result;
            }
            self.ask(asked)?;
        }
        Err(Error::Usage(format!(
            "the Makefile has `$(shell …)` whose commands wait for one another, more than {DEEPEST} deep"
        )))
    }

    fn key(&self, ask: &Ask<'_>) -> Key {
        let matters = |name: &str| {
            LOOKED_AT.contains(&name)
                || name.starts_with("GIT_")
                || name.starts_with("LC_")
                || ask
                    .command
                    .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                    .any(|word| word == name)
        };
        let differs = ask
            .environment
            .iter()
            .filter(|(name, value)| self.base.get(*name) != Some(*value) && matters(name))
            .map(|(name, value)| (name.clone(), value.clone()));
        (ask.command.to_owned(), differs.collect())
    }

    /// Runs the commands, a few at once.
    fn ask(&self, asked: BTreeSet<Key>) -> Result<(), Error> {
        let known = self.known.borrow().values().map(String::len).sum();
        let printed = AtomicUsize::new(known);
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = threads.min(MOST_AT_ONCE).min(asked.len());
        let waiting = Mutex::new(asked.into_iter());
        let answers = Mutex::new(Vec::new());
        let (dir, mut environment) = (self.dir, Vec::new());
        if self.purpose != For::Run {
            let count = self.base.get("GIT_CONFIG_COUNT");
            environment = git::for_a_look(count.map(String::as_str));
        }
        environment.push(("PWD".to_owned(), dir.to_string()));
        let next = || {
            let is_full = printed.load(Ordering::Relaxed) > MOST_TEXT;
            waiting.lock().ok()?.next().filter(|_| !is_full)
        };
        let work = || {
            while let Some(key) = next() {
                let environment = [&key.1[..], &environment].concat();
                let argv = ["/bin/sh", "-c", &key.0];
                let output = Probe::new(argv)
                    .envs(&environment)
                    .current_dir(dir)
                    .timeout(LIMIT)
                    .run();
                if let Ok(output) = &output {
                    printed.fetch_add(output.stdout.len(), Ordering::Relaxed);
                }
                if let Ok(mut answers) = answers.lock() {
                    answers.push((key, output));
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                // If no thread can be started, this one runs all of them.
                let _ = Builder::new().spawn_scoped(scope, work);
            }
            work();
        });
        if printed.into_inner() > MOST_TEXT {
            return Err(Error::Usage(format!(
                "the commands of `$(shell …)` print more than {} MiB",
                MOST_TEXT >> 20
            )));
        }
        let mut known = self.known.borrow_mut();
        for (key, output) in answers.into_inner().unwrap_or_default() {
            let said = |what: &str| {
                let command = shortened(&key.0, makefile::SHOWN_COMMAND);
                format!("`$(shell {command})`: {what}")
            };
            let text = match output {
                Ok(output) => {
                    let error = output.stderr.trim_end();
                    if !error.is_empty() {
                        self.errors.borrow_mut().push(said(error));
                    } else if !output.success && output.stdout.trim().is_empty() && fails(&key.0) {
                        self.errors
                            .borrow_mut()
                            .push(said("it failed, and printed nothing"));
                    }
                    output.stdout
                }
                // As make does.
                Err(error @ (ProbeError::NotFound { .. } | ProbeError::NotStarted { .. })) => {
                    self.errors.borrow_mut().push(said(&error.to_string()));
                    String::new()
                }
                Err(error) => return Err(Error::Usage(said(&error.to_string()))),
            };
            known.insert(key, text);
        }
        Ok(())
    }
}

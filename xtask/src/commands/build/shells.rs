//! Answers to `$(shell …)`. A command that is known to read only runs once per
//! invocation, and independent ones run at the same time: evaluation is cheap, so it is
//! simply repeated with the answers. All others run in make's order, each time.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;
use std::time::Duration;

use camino::Utf8Path;
use makefile::{Ask, Error, Invocation, Makefile, Moment, Reply, World};

use super::shortened;
use super::trust::{Judge, Trust};
use foundation::ctx::git;
use foundation::ctx::probe::{Output, Probe, ProbeError};
use foundation::files;

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

/// A command with what may matter to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    command: String,
    shell: Vec<String>,
    /// The part of its environment that may matter.
    environment: Vec<(String, String)>,
    /// How many commands that may change things ran before.
    after: usize,
}

/// The commands that run in make's order, each time, because they may change things or
/// print something else each time.
#[derive(Debug, Default)]
struct InOrder {
    /// All that ran, with their output.
    done: Vec<(Key, String)>,
    /// How many of them the current evaluation has met.
    met: usize,
    /// Whether the current evaluation has met one before all others were answered.
    waits: bool,
    failure: Option<Error>,
}

pub(super) struct Shells<'a> {
    dir: &'a Utf8Path,
    base: &'a BTreeMap<String, String>,
    purpose: For,
    /// A file, as the Makefile names it, that an earlier step removes.
    gone: Option<String>,
    judge: Judge<'a>,
    known: RefCell<BTreeMap<Key, String>>,
    asked: RefCell<BTreeSet<Key>>,
    in_order: RefCell<InOrder>,
    /// What is at a path, as it was when it was first asked for.
    seen: RefCell<Seen>,
    /// What the commands wrote to standard error.
    errors: RefCell<Vec<String>>,
}

/// Evaluation is repeated, and commands in between may change files.
#[derive(Debug, Default)]
struct Seen {
    /// The names in the folder before the first command that may change things: make
    /// reads a folder once.
    folder: Option<BTreeSet<String>>,
    patterns: BTreeMap<String, Vec<String>>,
    contents: BTreeMap<(String, usize), Option<Vec<u8>>>,
}

impl World for Shells<'_> {
    fn shell(&self, ask: &Ask<'_>) -> Reply {
        let key = self.key(ask);
        if ask.moment == Moment::Report {
            let known = self.known.borrow();
            let known = known.iter().rfind(|(it, _)| it.command == key.command);
            let in_order = self.in_order.borrow();
            let done = in_order.done.iter();
            let mut done = done.filter(|(it, _)| it.command == key.command);
            let last = done.next_back().map(|(_, output)| output);
            let last = last.or(known.map(|(_, output)| output));
            return last.map_or(Reply::Later, |output| Reply::Text(output.clone()));
        }
        let trust = if makefile::is_plain_shell(ask.shell) {
            self.judge.trust(ask.command)
        } else {
            Trust::None
        };
        // What a Makefile sets for a nested make may name other programs.
        let is_foreign = self.purpose != For::Run && !key.environment.is_empty();
        let most = match (ask.moment, self.purpose) {
            (Moment::Recipe, For::Run | For::Later) | (Moment::ReadingLater, For::Run) => {
                Trust::Stable
            }
            (_, For::Run) => Trust::Reads,
            _ => Trust::Clock,
        };
        if trust <= most && !is_foreign {
            return self.shared(key, trust);
        }
        if ask.moment == Moment::Reading && self.purpose == For::Run {
            return self.in_order(key);
        }
        if trust <= Trust::Reads {
            Reply::Later
        } else {
            Reply::EachTime
        }
    }

    fn exists(&self, path: &str) -> bool {
        self.gone.as_deref() != Some(path) && self.dir.join(path).exists()
    }

    fn glob(&self, pattern: &str) -> Vec<String> {
        let mut seen = self.seen.borrow_mut();
        if let Some(files) = seen.patterns.get(pattern) {
            return files.clone();
        }
        let mut files = files_matching(self.dir, pattern);
        files.retain(|file| self.gone.as_deref() != Some(file));
        if let Some(folder) = &seen.folder
            && !pattern.contains('/')
        {
            files.retain(|file| folder.contains(file));
        }
        seen.patterns.insert(pattern.to_owned(), files.clone());
        files
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        let after = self.in_order.borrow().met;
        let mut seen = self.seen.borrow_mut();
        let content = seen.contents.entry((path.to_owned(), after));
        let read = || {
            files::read(&self.dir.join(path), files::MEDIUM)
                .ok()
                .flatten()
        };
        content.or_insert_with(read).clone()
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
            in_order: RefCell::default(),
            seen: RefCell::default(),
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
            let mut in_order = self.in_order.borrow_mut();
            in_order.met = 0;
            in_order.waits = false;
            drop(in_order);
            let result = evaluate(makefile, invocation, self);
            if let Some(failure) = self.in_order.borrow_mut().failure.take() {
                return Err(failure);
            }
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

    /// The output of a command that changes nothing: it runs once, with others.
    fn shared(&self, mut key: Key, trust: Trust) -> Reply {
        if trust == Trust::Stable {
            key.after = 0;
        }
        if let Some(output) = self.known.borrow().get(&key) {
            return Reply::Text(output.clone());
        }
        let (met, waits) = {
            let in_order = self.in_order.borrow();
            (in_order.met, in_order.waits)
        };
        if waits {
            return Reply::Later;
        }
        if met == 0 {
            self.asked.borrow_mut().insert(key);
            return Reply::Later;
        }
        // What it reads may have been written just before.
        let output = self.one(&key);
        self.known.borrow_mut().insert(key, output.clone());
        Reply::Text(output)
    }

    /// The output of a command that may change things: it runs at its turn.
    fn in_order(&self, key: Key) -> Reply {
        let mut in_order = self.in_order.borrow_mut();
        in_order.waits |= !self.asked.borrow().is_empty();
        if in_order.waits || in_order.failure.is_some() {
            return Reply::Later;
        }
        let at = in_order.met;
        if at == 0 && in_order.done.is_empty() {
            let entries = self.dir.read_dir_utf8().into_iter().flatten().flatten();
            let names = entries.map(|entry| entry.file_name().to_owned()).collect();
            self.seen.borrow_mut().folder = Some(names);
        }
        in_order.met += 1;
        match in_order.done.get(at) {
            Some((known, output)) if *known == key => return Reply::Text(output.clone()),
            Some(_) => {
                in_order.failure = Some(Error::Usage(format!(
                    "`$(shell {})` depends on files that commands before it change, which is not supported",
                    shortened(&key.command, makefile::SHOWN_COMMAND)
                )));
                return Reply::Later;
            }
            None => {}
        }
        drop(in_order);
        let output = self.one(&key);
        let mut in_order = self.in_order.borrow_mut();
        in_order.done.push((key, output.clone()));
        Reply::Text(output)
    }

    /// Runs one command now.
    fn one(&self, key: &Key) -> String {
        let output = self.starter().start(key);
        let text = self.text_of(key, output);
        let in_order = self.in_order.borrow();
        let known = in_order.done.iter().map(|(_, output)| output.len());
        let printed: usize = known.sum();
        drop(in_order);
        let text = text.and_then(|text| check_size(printed + text.len()).map(|()| text));
        text.unwrap_or_else(|error| {
            self.in_order.borrow_mut().failure = Some(error);
            String::new()
        })
    }

    fn starter(&self) -> Starter<'_> {
        Starter {
            dir: self.dir,
            base: self.base,
            purpose: self.purpose,
        }
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
        Key {
            command: ask.command.to_owned(),
            shell: ask.shell.to_vec(),
            environment: differs.collect(),
            after: self.in_order.borrow().met,
        }
    }

    /// Runs the commands, a few at once.
    fn ask(&self, asked: BTreeSet<Key>) -> Result<(), Error> {
        let known = self.known.borrow().values().map(String::len).sum();
        let printed = AtomicUsize::new(known);
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = threads.min(MOST_AT_ONCE).min(asked.len());
        let waiting = Mutex::new(asked.into_iter());
        let answers = Mutex::new(Vec::new());
        let next = || {
            let is_full = printed.load(Ordering::Relaxed) > MOST_TEXT;
            waiting.lock().ok()?.next().filter(|_| !is_full)
        };
        let starter = self.starter();
        let work = || {
            while let Some(key) = next() {
                let output = starter.start(&key);
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
        check_size(printed.into_inner())?;
        for (key, output) in answers.into_inner().unwrap_or_default() {
            let text = self.text_of(&key, output)?;
            self.known.borrow_mut().insert(key, text);
        }
        Ok(())
    }

    /// The output of a command; notes what it wrote to standard error.
    fn text_of(&self, key: &Key, output: Result<Output, ProbeError>) -> Result<String, Error> {
        let said = |what: &str| {
            let command = shortened(&key.command, makefile::SHOWN_COMMAND);
            format!("`$(shell {command})`: {what}")
        };
        match output {
            Ok(output) => {
                let error = output.stderr.trim_end();
                let mut errors = self.errors.borrow_mut();
                if !error.is_empty() {
                    errors.push(said(error));
                } else if !output.success && output.stdout.trim().is_empty() && fails(&key.command)
                {
                    errors.push(said("it failed, and printed nothing"));
                }
                Ok(output.stdout)
            }
            // As make does.
            Err(error @ (ProbeError::NotFound { .. } | ProbeError::NotStarted { .. })) => {
                self.errors.borrow_mut().push(said(&error.to_string()));
                Ok(String::new())
            }
            Err(error) => Err(Error::Usage(said(&error.to_string()))),
        }
    }
}

/// Starts commands; threads share it.
struct Starter<'a> {
    dir: &'a Utf8Path,
    base: &'a BTreeMap<String, String>,
    purpose: For,
}

impl Starter<'_> {
    fn start(&self, key: &Key) -> Result<Output, ProbeError> {
        let mut environment = key.environment.clone();
        if self.purpose != For::Run {
            let count = self.base.get("GIT_CONFIG_COUNT");
            environment.extend(git::for_a_look(count.map(String::as_str)));
        }
        let pwd = self.base.get("PWD");
        environment.extend(pwd.map(|pwd| ("PWD".to_owned(), pwd.clone())));
        let argv = key.shell.iter().chain([&key.command]);
        Probe::new(argv)
            .envs(&environment)
            .current_dir(self.dir)
            .timeout(LIMIT)
            .run()
    }
}

fn check_size(printed: usize) -> Result<(), Error> {
    if printed > MOST_TEXT {
        return Err(Error::Usage(format!(
            "the commands of `$(shell …)` print more than {} MiB",
            MOST_TEXT >> 20
        )));
    }
    Ok(())
}

//! Answers to `$(shell …)`: each command once per invocation, those that do
//! not wait for one another at the same time. Evaluation is pure and cheap, so
//! it is simply done again with the answers.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use camino::Utf8Path;
use makefile::{Ask, Error, Invocation, Makefile, Reply, World};

use super::probes::{Trust, trust};
use foundation::ctx::probe;

/// `git describe --dirty` reads the whole tree; nothing asked here takes long.
const LIMIT: Duration = Duration::from_mins(2);
/// Variables that programs look at without being told.
const LOOKED_AT: &[&str] = &["PATH", "HOME", "TZ", "LANG"];

/// What the answers are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// A run that starts now.
    Run,
    /// A look at what would be run: nothing is asked that could change things.
    Look,
    /// A plan that is run later, elsewhere: nor what a build may change.
    Later,
}

/// A command with what of its environment may matter to it.
type Key = (String, Vec<(String, String)>);

pub(super) struct Shells<'a> {
    dir: &'a Utf8Path,
    base: &'a BTreeMap<String, String>,
    purpose: For,
    /// A file, as the Makefile names it, that a step before removes.
    gone: Option<String>,
    known: RefCell<BTreeMap<Key, String>>,
    wanted: RefCell<BTreeSet<Key>>,
}

impl World for Shells<'_> {
    fn shell(&self, ask: &Ask<'_>) -> Reply {
        let trust = trust(ask.command);
        let now = match (ask.in_recipe, self.purpose) {
            (false, For::Run) => true,
            (true, For::Run | For::Later) => trust == Trust::Stable,
            _ => trust != Trust::None,
        };
        if !now {
            return Reply::Later;
        }
        let key = self.key(ask);
        if let Some(output) = self.known.borrow().get(&key) {
            return Reply::Text(output.clone());
        }
        self.wanted.borrow_mut().insert(key);
        Reply::Later
    }

    fn exists(&self, path: &str) -> bool {
        self.gone.as_deref() != Some(path) && self.dir.join(path).exists()
    }
}

impl<'a> Shells<'a> {
    pub(super) fn new(dir: &'a Utf8Path, base: &'a BTreeMap<String, String>, purpose: For) -> Self {
        Self {
            dir,
            base,
            purpose,
            gone: None,
            known: RefCell::default(),
            wanted: RefCell::default(),
        }
    }

    /// As if this file, as the Makefile names it, were not there.
    pub(super) fn without(mut self, gone: Option<&str>) -> Self {
        self.gone = gone.map(str::to_owned);
        self
    }

    /// Evaluate until nothing more is asked.
    pub(super) fn settle<T>(
        &self,
        makefile: &Makefile,
        invocation: &Invocation,
        evaluate: impl Fn(&Makefile, &Invocation, &dyn World) -> Result<T, Error>,
    ) -> Result<T, Error> {
        loop {
            let result = evaluate(makefile, invocation, self);
            let wanted = self.wanted.take();
            if wanted.is_empty() {
                return result;
            }
            self.ask(wanted);
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
        (ask.command.to_owned(), differs.collect())
    }

    fn ask(&self, wanted: BTreeSet<Key>) {
        let dir = self.dir;
        let answers: Vec<(Key, String)> = std::thread::scope(|scope| {
            let asked: Vec<_> = wanted
                .into_iter()
                .map(|key| {
                    scope.spawn(move || {
                        let mut environment = key.1.clone();
                        environment.push(("PWD".to_owned(), dir.to_string()));
                        let output = probe::run_in(
                            &["/bin/sh", "-c", &key.0],
                            &environment,
                            Some(dir),
                            LIMIT,
                        );
                        (key, output.map(|output| output.stdout).unwrap_or_default())
                    })
                })
                .collect();
            asked
                .into_iter()
                .filter_map(|thread| thread.join().ok())
                .collect()
        });
        self.known.borrow_mut().extend(answers);
    }
}

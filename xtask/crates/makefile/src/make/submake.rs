//! `$(MAKE)` in a recipe: the lines of the make that it starts.

use std::collections::BTreeMap;

use super::{Call, Make, Session};
use crate::error::{Error, Place, Result};
use crate::limits::{ENTRY, MAX_MAKES};
use crate::outcome::Passage;
use crate::{slots, words};

impl Make<'_, '_> {
    /// Evaluates `command` if it only calls `$(MAKE)`, and returns the jobs of its goals.
    /// None if a shell is needed: for loops, substitutions, or a failure that is to be
    /// ignored.
    pub(super) fn submake(
        &mut self,
        command: &str,
        ignores_failure: bool,
        environment: &BTreeMap<String, String>,
        place: &Place,
        (condition, job): (Option<usize>, Option<usize>),
    ) -> Result<Option<Vec<usize>>> {
        if ignores_failure || !command.starts_with(slots::MAKE) {
            return Ok(None);
        }
        let mark = self.held();
        self.spend_bytes(command.len(), place)?;
        self.hold(command.len().saturating_mul(4), place)?;
        let called = self.submake_words(command, environment, place, (condition, job));
        self.release_to(mark);
        called
    }

    fn submake_words(
        &mut self,
        command: &str,
        environment: &BTreeMap<String, String>,
        place: &Place,
        (condition, job): (Option<usize>, Option<usize>),
    ) -> Result<Option<Vec<usize>>> {
        let Some(words) = words::split(command) else {
            return Ok(None);
        };
        let (first, arguments) = words
            .split_first()
            .map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
        if first != slots::MAKE.to_string()
            || arguments.iter().any(|word| word.contains(slots::MAKE))
        {
            return Ok(None);
        }
        // Another folder, or files that lines before this one may make: only a make that
        // starts then can read them.
        let is_elsewhere = |word: &String| {
            word.starts_with("-C") || (word.len() > 2 && "--directory".starts_with(flag_of(word)))
        };
        if arguments.iter().any(is_elsewhere)
            || (self.makefile.reads_files() && !self.session.planned.items.is_empty())
        {
            return Ok(None);
        }
        let given = self.flags.overrides.len();
        self.spend(given.saturating_mul(given) / 16, place)?;
        let mut flags = self.flags.inherit();
        let mut goals = Vec::new();
        for word in arguments {
            self.spend(1 + flags.overrides.len() / 4, place)?;
            goals.extend(flags.argument(word, Some(place))?.map(str::to_owned));
        }
        for goal in &goals {
            self.needs_now(&[goal], "a goal of `$(MAKE)`", place)?;
        }
        let (quoted, unquoted) = words::by_quotes(command);
        self.pass(&quoted, Passage::Quoted);
        self.pass(&unquoted, Passage::Words);
        if self.depth >= MAX_MAKES {
            return Err(Error::TooDeep {
                depth: MAX_MAKES,
                goals: goals.join(" "),
            });
        }
        flags.settle(self.level + 1);
        let (level, depth) = (self.level + 1, self.depth + 1);
        let copied = environment.iter();
        let copied = copied.map(|(name, value)| name.len() + value.len() + ENTRY);
        self.hold(copied.sum(), place)?;
        let call = Call {
            makefile: self.makefile.clone(),
            environment: environment.clone(),
            flags,
            goals,
            within: condition,
            job,
        };
        let before = self.session.mark();
        let mut make = Make::new(self.session, call, level, depth);
        if let Some(job) = job {
            make.job = Some(make.add_job(vec![job], place)?);
        }
        match make.read().and_then(|()| make.run()) {
            Ok(jobs) => Ok(Some(jobs)),
            // It is known to a make that starts then.
            Err(Error::TooEarly { .. }) => {
                self.session.back_to(&before);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// The name of a long option without its value.
fn flag_of(word: &str) -> &str {
    word.split_once('=').map_or(word, |(name, _)| name)
}

/// How far a plan has come.
struct Mark {
    depth: usize,
    items: usize,
    captures: usize,
    conditions: usize,
    jobs: usize,
    chain: usize,
    reads: usize,
    notes: usize,
}

impl Session<'_> {
    fn mark(&self) -> Mark {
        let planned = &self.planned;
        Mark {
            depth: self.budget.depth(),
            items: planned.items.len(),
            captures: planned.captures.len(),
            conditions: planned.conditions.len(),
            jobs: planned.jobs.len(),
            chain: planned.chain.len(),
            reads: planned.reads.len(),
            notes: planned.notes.len(),
        }
    }

    /// Drops what was planned since the mark.
    fn back_to(&mut self, mark: &Mark) {
        self.budget.set_depth(mark.depth);
        let planned = &mut self.planned;
        planned.items.truncate(mark.items);
        planned.captures.truncate(mark.captures);
        planned.conditions.truncate(mark.conditions);
        planned.jobs.truncate(mark.jobs);
        planned.chain.truncate(mark.chain);
        planned.reads.truncate(mark.reads);
        planned.notes.truncate(mark.notes);
    }
}

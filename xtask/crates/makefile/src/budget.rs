//! How much one evaluation may take. A Makefile of a few lines can ask for more
//! memory and time than any machine has: values that double, functions whose
//! result is the product of their arguments, rules of many targets with many
//! prerequisites. All of it is counted before it is made.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::error::{Error, Place, Result};
use crate::read::Make;
use crate::slots;

/// Text that exists at one time: variables, rules, values that are being made,
/// and the plan. All extensions at once take a fortieth of it.
const MOST_TEXT: usize = 64 << 20;
/// A step is a statement, a reference, a word of a function, or some bytes copied.
/// All extensions at once take 240,000.
const MOST_STEPS: usize = 2_000_000;
/// Different commands of `$(shell …)`: each is a process. All extensions together
/// have two hundred.
const MOST_SHELLS: usize = 4096;
/// Prerequisites of prerequisites, in all makes together: each is a stack frame.
const DEEPEST: usize = 200;
/// No command line of Linux is longer than 2 MiB.
pub(crate) const LONGEST: usize = 8 << 20;
/// Bytes that are copied in the time of one step.
const BYTES_PER_STEP: usize = 256;
/// What a map's entry or a vector's element takes besides its text.
pub(crate) const ENTRY: usize = 64;
/// What a step of the plan takes besides its text until it is shown, as JSON at
/// most.
pub(crate) const STEP: usize = 1024;
/// As much of a command as stands for its output where a plan is shown.
pub const SHOWN_COMMAND: usize = 200;

/// What an evaluation has taken so far; all of its makes share it.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    /// Bytes that go again: temporary values, and the variables of a make.
    live: usize,
    /// Bytes of the plan.
    kept: usize,
    steps: usize,
    /// Hashes of the commands.
    shells: HashSet<u64>,
    depth: usize,
}

impl Make<'_, '_> {
    /// `count` steps are about to be taken.
    pub(crate) fn spend(&mut self, count: usize, place: &Place) -> Result<()> {
        let budget = &mut self.session.budget;
        budget.steps = budget.steps.saturating_add(count);
        if budget.steps > MOST_STEPS {
            return Err(self.too_much(
                format!("evaluation takes more than {MOST_STEPS} steps"),
                place,
            ));
        }
        Ok(())
    }

    /// `bytes` are about to be copied or looked through.
    pub(crate) fn spend_bytes(&mut self, bytes: usize, place: &Place) -> Result<()> {
        self.spend(1 + bytes / BYTES_PER_STEP, place)
    }

    /// `bytes` of text come into being, and go with [`Self::release_to`].
    pub(crate) fn hold(&mut self, bytes: usize, place: &Place) -> Result<()> {
        let budget = &mut self.session.budget;
        budget.live = budget.live.saturating_add(bytes);
        self.check_text(place)
    }

    /// `bytes` become part of the plan.
    pub(crate) fn keep(&mut self, bytes: usize, place: &Place) -> Result<()> {
        let budget = &mut self.session.budget;
        budget.kept = budget.kept.saturating_add(bytes);
        self.check_text(place)
    }

    /// As [`Self::keep`] for a text in which slots are shown as their commands.
    pub(crate) fn keep_shown(&mut self, text: &str, place: &Place) -> Result<()> {
        let slots = text.matches(slots::OPEN).count();
        self.keep(
            text.len()
                .saturating_add(slots.saturating_mul(SHOWN_COMMAND)),
            place,
        )
    }

    fn check_text(&self, place: &Place) -> Result<()> {
        let budget = &self.session.budget;
        if budget.live.saturating_add(budget.kept) > MOST_TEXT {
            return Err(self.too_much(
                format!("evaluation takes more than {} MiB of text", MOST_TEXT >> 20),
                place,
            ));
        }
        Ok(())
    }

    /// A mark for [`Self::release_to`].
    pub(crate) fn held(&self) -> usize {
        self.session.budget.live
    }

    /// What was held since the mark is gone.
    pub(crate) fn release_to(&mut self, mark: usize) {
        self.session.budget.live = mark;
    }

    /// What `make` returns replaces all that it held on the way.
    pub(crate) fn hold_result(
        &mut self,
        make: impl FnOnce(&mut Self) -> Result<String>,
    ) -> Result<String> {
        let mark = self.held();
        let out = make(self)?;
        self.release_to(mark.saturating_add(out.len()));
        Ok(out)
    }

    /// One more `$(shell …)`. Whoever answers remembers the question.
    pub(crate) fn count_shell(&mut self, command: &str, place: &Place) -> Result<()> {
        self.spend_bytes(command.len(), place)?;
        let mut hasher = DefaultHasher::new();
        command.hash(&mut hasher);
        if !self.session.budget.shells.insert(hasher.finish()) {
            return Ok(());
        }
        if self.session.budget.shells.len() > MOST_SHELLS {
            return Err(self.too_much(
                format!("evaluation asks for the output of more than {MOST_SHELLS} commands"),
                place,
            ));
        }
        self.keep(command.len() + 2 * ENTRY, place)
    }

    /// Down to the prerequisites of `target`.
    pub(crate) fn descend(&mut self, target: &str) -> Result<()> {
        self.session.budget.depth += 1;
        if self.session.budget.depth > DEEPEST {
            return Err(Error::Usage(format!(
                "a chain of more than {DEEPEST} prerequisites, last `{}`",
                crate::error::shortened(target)
            )));
        }
        Ok(())
    }

    pub(crate) fn ascend(&mut self) {
        self.session.budget.depth -= 1;
    }

    /// A value that is longer than any command line can be.
    pub(crate) fn too_long(&self, place: &Place) -> Error {
        self.too_much(format!("a value of more than {LONGEST} bytes"), place)
    }

    fn too_much(&self, what: String, place: &Place) -> Error {
        let variable = self.expanding.last().or(self.assigning.as_ref());
        Error::TooMuch {
            place: place.clone(),
            what,
            variable: variable.map(|name| crate::error::shortened(name)),
        }
    }
}

//! Counts memory and time of an evaluation against the limits.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::Make;
use crate::error::{Error, Place, Result, shortened};
use crate::limits::{
    BYTES_PER_STEP, ENTRY, MAX_CHAIN, MAX_SHELLS, MAX_STEPS, MAX_TEXT, MAX_VALUE, SHOWN_COMMAND,
};
use crate::slots;

/// Use of an evaluation so far; all of its makes share it.
#[derive(Debug, Default)]
pub(super) struct Budget {
    /// Bytes that are freed again: temporary values, and the variables of a make.
    live: usize,
    /// Bytes of the plan.
    kept: usize,
    steps: usize,
    /// Hashes of the commands.
    shells: HashSet<u64>,
    depth: usize,
}

impl Budget {
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// After an evaluation that ended early.
    pub(super) fn set_depth(&mut self, depth: usize) {
        self.depth = depth;
    }
}

impl Make<'_, '_> {
    /// Counts `count` steps.
    pub(super) fn spend(&mut self, count: usize, place: &Place) -> Result<()> {
        let budget = &mut self.session.budget;
        budget.steps = budget.steps.saturating_add(count);
        if budget.steps > MAX_STEPS {
            return Err(self.too_much(
                format!("evaluation takes more than {MAX_STEPS} steps"),
                place,
            ));
        }
        Ok(())
    }

    /// Counts the steps to copy or search `bytes` bytes.
    pub(super) fn spend_bytes(&mut self, bytes: usize, place: &Place) -> Result<()> {
        self.spend(1 + bytes / BYTES_PER_STEP, place)
    }

    /// Counts `bytes` bytes of text until [`Self::release_to`].
    pub(super) fn hold(&mut self, bytes: usize, place: &Place) -> Result<()> {
        let budget = &mut self.session.budget;
        budget.live = budget.live.saturating_add(bytes);
        self.check_text(place)
    }

    /// Counts `bytes` bytes of the plan.
    pub(super) fn keep(&mut self, bytes: usize, place: &Place) -> Result<()> {
        let budget = &mut self.session.budget;
        budget.kept = budget.kept.saturating_add(bytes);
        self.check_text(place)
    }

    /// Like [`Self::keep`], for a text whose slots are shown as their commands.
    pub(super) fn keep_shown(&mut self, text: &str, place: &Place) -> Result<()> {
        let slots = text.matches(slots::OPEN).count();
        self.keep(
            text.len()
                .saturating_add(slots.saturating_mul(SHOWN_COMMAND)),
            place,
        )
    }

    fn check_text(&self, place: &Place) -> Result<()> {
        let budget = &self.session.budget;
        if budget.live.saturating_add(budget.kept) > MAX_TEXT {
            return Err(self.too_much(
                format!("evaluation takes more than {} MiB of text", MAX_TEXT >> 20),
                place,
            ));
        }
        Ok(())
    }

    /// Returns a mark for [`Self::release_to`].
    pub(super) fn held(&self) -> usize {
        self.session.budget.live
    }

    /// Frees all that was held since the mark.
    pub(super) fn release_to(&mut self, mark: usize) {
        self.session.budget.live = mark;
    }

    /// Runs `make`, then holds its result in place of all that it held.
    pub(super) fn hold_result(
        &mut self,
        make: impl FnOnce(&mut Self) -> Result<String>,
    ) -> Result<String> {
        let mark = self.held();
        let out = make(self)?;
        self.release_to(mark.saturating_add(out.len()));
        Ok(out)
    }

    /// Counts a `$(shell …)`. The world remembers each distinct command.
    pub(super) fn count_shell(&mut self, command: &str, place: &Place) -> Result<()> {
        self.spend_bytes(command.len(), place)?;
        let mut hasher = DefaultHasher::new();
        command.hash(&mut hasher);
        if !self.session.budget.shells.insert(hasher.finish()) {
            return Ok(());
        }
        if self.session.budget.shells.len() > MAX_SHELLS {
            return Err(self.too_much(
                format!("evaluation runs more than {MAX_SHELLS} commands of `$(shell)`"),
                place,
            ));
        }
        self.keep(command.len() + 2 * ENTRY, place)
    }

    /// Counts one more level in the chain of prerequisites; [`Self::ascend`] undoes it.
    pub(super) fn descend(&mut self, target: &str) -> Result<()> {
        self.session.budget.depth += 1;
        if self.session.budget.depth > MAX_CHAIN {
            return Err(Error::Usage(format!(
                "a chain of more than {MAX_CHAIN} prerequisites, last `{}`",
                shortened(target)
            )));
        }
        Ok(())
    }

    pub(super) fn ascend(&mut self) {
        self.session.budget.depth -= 1;
    }

    /// The error for a value that is longer than any command line.
    pub(super) fn too_long(&self, place: &Place) -> Error {
        self.too_much(format!("a value of more than {MAX_VALUE} bytes"), place)
    }

    fn too_much(&self, what: String, place: &Place) -> Error {
        let variable = self.expanding.last().or(self.assigning.as_ref());
        Error::TooMuch {
            place: place.clone(),
            what,
            variable: variable.map(|name| shortened(name)),
        }
    }
}

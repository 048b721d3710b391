//! The environment of lines, and the captures that lines depend on.

use std::collections::BTreeMap;

use super::Make;
use crate::error::{Place, Result};
use crate::limits::{ENTRY, STEP};
use crate::outcome::{Capture, Item, Passage};
use crate::slots;
use crate::variables::Origin;

impl Make<'_, '_> {
    /// Returns the complete environment that a shell line gets from this make.
    pub(super) fn exported(&mut self, place: &Place) -> Result<BTreeMap<String, String>> {
        let size = self.environment.iter();
        let size = size.map(|(name, value)| name.len() + value.len() + ENTRY);
        let size = size.sum();
        self.spend_bytes(size, place)?;
        self.hold(size, place)?;
        let mut out = self.environment.clone();
        let wanted: Vec<(String, String, bool)> = self
            .variables
            .iter()
            .filter(|(name, variable)| {
                let given = matches!(variable.origin, Origin::CommandLine(_));
                variable.export || (given && crate::variables::is_exportable(name))
            })
            .map(|(name, variable)| {
                let expands = variable.recursive && variable.origin != Origin::Environment;
                (name.to_owned(), variable.value.clone(), expands)
            })
            .collect();
        for (name, value, expands) in wanted {
            let value = if expands {
                self.expand(&value, place)?
            } else {
                self.hold(value.len(), place)?;
                value
            };
            out.insert(name, value.replace(slots::MAKE, "make"));
        }
        for name in self.scoped_exports() {
            let value = self.variable(&name, place)?;
            out.insert(name, value.replace(slots::MAKE, "make"));
        }
        out.insert("MAKELEVEL".to_owned(), (self.level + 1).to_string());
        out.insert("MAKEFLAGS".to_owned(), self.flags.makeflags());
        out.insert("MFLAGS".to_owned(), self.flags.mflags());
        if !self.flags.overrides.is_empty() {
            // make's own value: the reference is never expanded.
            out.insert(
                "MAKEOVERRIDES".to_owned(),
                "${-*-command-variables-*-}".to_owned(),
            );
        }
        Ok(out)
    }

    /// Returns a slot for the output of `command`; if it is shared, one per recipe and
    /// command. A report creates no captures beyond those of the recipes.
    pub(super) fn capture(
        &mut self,
        command: String,
        shell: Vec<String>,
        shared: bool,
        place: &Place,
    ) -> Result<usize> {
        let target = self.recipe.as_ref().map(|recipe| recipe.target.clone());
        let (condition, job) = self
            .recipe
            .as_ref()
            .map_or((self.within, self.job), |recipe| {
                (recipe.condition, recipe.job)
            });
        let items = &self.session.planned.items;
        let same = |item: &Item| match item {
            Item::Capture { slot, .. } => {
                let capture = &self.session.planned.captures[*slot];
                (capture.command == command && capture.target == target).then_some(*slot)
            }
            _ => None,
        };
        let recent = items
            .iter()
            .rev()
            .take_while(|item| matches!(item, Item::Capture { .. }));
        if shared && let Some(slot) = recent.into_iter().find_map(same) {
            return Ok(slot);
        }
        if self.reporting {
            self.spend(1 + self.session.planned.captures.len() / 16, place)?;
            let captures = &self.session.planned.captures;
            let known = captures.iter().rposition(|it| it.command == command);
            if let Some(slot) = known {
                return Ok(slot);
            }
        }
        let slot = self.session.planned.captures.len();
        let environment = self.difference(&self.environment);
        self.keep_shown(&command, place)?;
        self.keep(size_of(&environment) + STEP, place)?;
        self.session.planned.captures.push(Capture {
            command,
            shell,
            environment,
            place: place.clone(),
            target,
            passage: Passage::Direct,
        });
        if !self.reporting {
            let item = Item::Capture {
                slot,
                condition,
                job,
            };
            self.session.planned.items.push(item);
        }
        Ok(slot)
    }

    /// Notes that the slots in `text` go through `passage`.
    pub(super) fn pass(&mut self, text: &str, passage: Passage) {
        for segment in slots::segments(text) {
            if let slots::Segment::Slot(slot) = segment
                && let Some(capture) = self.session.planned.captures.get_mut(slot)
            {
                capture.passage = capture.passage.max(passage);
            }
        }
    }

    /// The variables of `environment` that differ from the environment of the first
    /// make.
    pub(super) fn difference(
        &self,
        environment: &BTreeMap<String, String>,
    ) -> Vec<(String, String)> {
        environment
            .iter()
            .filter(|(name, value)| self.session.base.get(*name) != Some(*value))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

/// Bytes of an environment.
pub(super) fn size_of(environment: &[(String, String)]) -> usize {
    let sizes = environment.iter();
    let sizes = sizes.map(|(name, value)| name.len() + value.len() + ENTRY);
    sizes.sum()
}

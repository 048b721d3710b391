//! Which variables the lines of the plan depend on.

use super::Make;
use crate::error::{Place, Result};
use crate::limits::ENTRY;
use crate::outcome::Read;
use crate::variables::Origin;

impl Make<'_, '_> {
    /// Records that the variable `name` is read at `place`.
    pub(super) fn note_read(&mut self, name: &str, place: &Place) -> Result<()> {
        let within = self.expanding.last().or(self.assigning.as_ref());
        if let Some(within) = within
            && !self
                .uses
                .get(within)
                .is_some_and(|used| used.contains(name))
        {
            let within = within.clone();
            self.keep(within.len() + name.len() + 2 * ENTRY, place)?;
            self.uses.entry(within).or_default().insert(name.to_owned());
        }
        if self.in_recipe() && !self.read_by_recipes.contains(name) {
            self.keep(name.len() + ENTRY, place)?;
            self.read_by_recipes.insert(name.to_owned());
        }
        Ok(())
    }

    /// Reports the variables that the recipes depend on, directly or through others.
    pub(super) fn report_reads(&mut self) -> Result<()> {
        self.reporting = true;
        let mut all = std::mem::take(&mut self.read_by_recipes);
        let mut open: Vec<String> = all.iter().cloned().collect();
        while let Some(name) = open.pop() {
            for used in self.uses.get(&name).into_iter().flatten() {
                if all.insert(used.clone()) {
                    open.push(used.clone());
                }
            }
        }
        for name in all {
            let Some(variable) = self.variables.get(&name).cloned() else {
                continue;
            };
            let place = match &variable.origin {
                Origin::File(place) | Origin::CommandLine(Some(place)) => place.clone(),
                _ => Place {
                    file: self.makefile.name.clone(),
                    line: 0,
                },
            };
            let mark = self.held();
            let value = self.variable(&name, &place)?;
            self.release_to(mark);
            if variable.origin != Origin::Default {
                self.keep_shown(&value, &place)?;
                self.keep(name.len() + 2 * ENTRY, &place)?;
                self.session.planned.reads.push(Read {
                    name,
                    value,
                    origin: variable.origin,
                    level: self.level,
                });
            }
        }
        Ok(())
    }
}

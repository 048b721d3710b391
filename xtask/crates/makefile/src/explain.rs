//! Why a line is as it is: the targets on the way, the variables in it.

use crate::budget::ENTRY;
use crate::error::{Place, Result};
use crate::read::Make;
use crate::variables::Origin;

/// A target that evaluation went through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub level: usize,
    pub target: String,
    /// The pattern whose recipe is used, where it is one.
    pub pattern: Option<String>,
    /// Its recipe, or its rule.
    pub place: Option<Place>,
}

/// A variable that some line depends on, directly or through others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    pub name: String,
    /// May have slots.
    pub value: String,
    pub origin: Origin,
    /// The make that read it.
    pub level: usize,
}

impl Make<'_, '_> {
    pub(crate) fn note_read(&mut self, name: &str, place: &Place) -> Result<()> {
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
        if self.in_recipe() && !self.matter.contains(name) {
            self.keep(name.len() + ENTRY, place)?;
            self.matter.insert(name.to_owned());
        }
        Ok(())
    }

    /// Report what the recipes depended on, through other variables too.
    pub(crate) fn report_reads(&mut self) -> Result<()> {
        self.reporting = true;
        let mut all = std::mem::take(&mut self.matter);
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
                    file: self.session.makefile.name.clone(),
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

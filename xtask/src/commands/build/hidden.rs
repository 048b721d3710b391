//! Values of a Makefile that are not shown: those of variables whose names mark
//! them as secret, wherever they come from.

use std::collections::BTreeSet;

use foundation::plan::secrets::{Secrets, is_secret};
use makefile::{Item, Planned, Segment};

use super::repository::Repository;

/// In the environment, which the Makefile may not even read, only values of
/// this length count: `KEY=main` would hide each `main`.
const LONG: usize = 6;

#[derive(Debug, Default)]
pub(super) struct Hidden {
    pub(super) secrets: Secrets,
    /// The indices in [`Planned::captures`] whose values such variables have.
    pub(super) slots: BTreeSet<usize>,
}

impl Hidden {
    pub(super) fn find(repository: &Repository, words: &[String], planned: &Planned) -> Self {
        let read = planned.reads.iter();
        let read = read.map(|read| (read.name.clone(), read.value.clone()));
        let given = words.iter().filter_map(|word| word.split_once('='));
        let given =
            given.map(|(name, value)| (name.trim_end_matches(':').to_owned(), value.to_owned()));
        // Each exported variable once: all lines of a make have the same.
        let mut exported = BTreeSet::new();
        for item in &planned.items {
            if let Item::Line(line) = item {
                let secret = line.environment.iter().filter(|(name, _)| is_secret(name));
                exported.extend(secret.cloned());
            }
        }
        let captured = planned.captures.iter().flat_map(|it| &it.environment);
        exported.extend(captured.filter(|(name, _)| is_secret(name)).cloned());
        let around = repository.environment.iter();
        let around = around
            .filter(|(_, value)| value.len() >= LONG)
            .map(|(name, value)| (name.clone(), value.clone()));
        let slots = planned.reads.iter().filter(|read| is_secret(&read.name));
        let slots = slots.flat_map(|read| makefile::segments(&read.value));
        Self {
            // The user's variables come first, because the number of values is
            // limited.
            secrets: Secrets::from_variables(around.chain(given).chain(read).chain(exported)),
            slots: slots
                .filter_map(|segment| match segment {
                    Segment::Slot(slot) => Some(slot),
                    Segment::Text(_) => None,
                })
                .collect(),
        }
    }
}

//! Samples as merged: stacks in the profile's bytes, values and label sets
//! beside them.

use crate::profile::{Label, Span};

/// Samples that are not read in place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub(crate) stacks: Vec<Span>,
    /// `width` for each sample.
    pub(crate) values: Vec<i64>,
    pub(crate) width: usize,
    pub(crate) labels: Vec<u32>,
    pub(crate) label_sets: Vec<Vec<Label>>,
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.stacks.len()
    }

    pub(crate) fn stack(&self, index: usize) -> Span {
        self.stacks[index]
    }

    pub(crate) fn values(&self, index: usize) -> &[i64] {
        &self.values[index * self.width..(index + 1) * self.width]
    }

    pub(crate) fn labels(&self, index: usize) -> &[Label] {
        &self.label_sets[self.labels[index] as usize]
    }
}

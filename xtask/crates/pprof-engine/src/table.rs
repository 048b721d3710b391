//! Merged samples: stacks in the profile's bytes, each once, with values and
//! label sets.

use crate::profile::{Label, Span};
use crate::wire::put_varint;

/// Samples that are not read in place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    /// Distinct stacks, as a sample's message has them.
    pub(crate) stacks: Vec<Span>,
    /// Per sample, an index into `stacks`.
    pub(crate) places: Vec<u32>,
    /// `width` for each sample.
    pub(crate) values: Vec<i64>,
    pub(crate) width: usize,
    /// Per sample, an index into `label_sets`.
    pub(crate) labels: Vec<u32>,
    pub(crate) label_sets: Vec<Vec<Label>>,
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        let sets = self.label_sets.iter();
        let sets: usize = sets
            .map(|set| size_of::<Vec<Label>>() + size_of_val(&**set))
            .sum();
        size_of_val(&*self.stacks)
            + size_of_val(&*self.places)
            + size_of_val(&*self.values)
            + size_of_val(&*self.labels)
            + sets
    }

    pub(crate) fn stack(&self, index: usize) -> Span {
        self.stacks[self.places[index] as usize]
    }

    pub(crate) fn values(&self, index: usize) -> &[i64] {
        &self.values[index * self.width..(index + 1) * self.width]
    }

    pub(crate) fn labels(&self, index: usize) -> &[Label] {
        &self.label_sets[self.labels[index] as usize]
    }
}

/// Appends location ids as the field of a sample; no field for no ids.
pub(crate) fn put_stack(out: &mut Vec<u8>, ids: &[u8]) {
    if !ids.is_empty() {
        out.push(crate::samples::PACKED_STACK);
        put_varint(out, ids.len() as u64);
        out.extend_from_slice(ids);
    }
}

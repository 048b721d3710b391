//! Finds stretches of a buffer by their bytes: equal stacks and equal labels
//! are recognised without being decoded.

use std::hash::Hasher;

use hashbrown::HashTable;
use rustc_hash::FxHasher;

use crate::profile::Span;

/// A known stretch, and the caller's number for it.
#[derive(Debug, Clone, Copy)]
struct Entry {
    span: Span,
    value: u32,
    /// Kept, so that growing does not read the bytes again.
    hash: u32,
}

/// A map from the bytes of stretches, all of one buffer, to numbers.
#[derive(Debug, Default)]
pub(crate) struct Stretches {
    table: HashTable<Entry>,
}

impl Stretches {
    pub(crate) fn with_capacity(room: usize) -> Self {
        Self {
            table: HashTable::with_capacity(room),
        }
    }

    /// Returns the value of these bytes, if known.
    #[inline]
    pub(crate) fn get(&self, buffer: &[u8], bytes: &[u8]) -> Option<u32> {
        let hash = hash(bytes);
        let entry = self.table.find(spread(hash), |entry| {
            entry.hash == hash && slice(buffer, entry.span) == bytes
        });
        entry.map(|entry| entry.value)
    }

    /// Returns the value of a span of the buffer, or `value` from now on if it
    /// has none; and whether it is new.
    #[inline]
    pub(crate) fn intern(&mut self, buffer: &[u8], span: Span, value: u32) -> (u32, bool) {
        let bytes = slice(buffer, span);
        let hash = hash(bytes);
        let same = |entry: &Entry| entry.hash == hash && slice(buffer, entry.span) == bytes;
        if let Some(entry) = self.table.find(spread(hash), same) {
            return (entry.value, false);
        }
        let entry = Entry { span, value, hash };
        let again = |entry: &Entry| spread(entry.hash);
        self.table.insert_unique(spread(hash), entry, again);
        (value, true)
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}

#[inline]
fn slice(buffer: &[u8], span: Span) -> &[u8] {
    &buffer[span.start as usize..span.end()]
}

#[inline]
fn hash(bytes: &[u8]) -> u32 {
    let mut hasher = FxHasher::default();
    hasher.write(bytes);
    let hash = hasher.finish();
    #[allow(clippy::cast_possible_truncation)] // both halves are mixed in
    let folded = (hash ^ (hash >> 32)) as u32;
    folded
}

/// The hash table uses the highest and the lowest bits.
#[inline]
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_are_one_wherever_they_stand() {
        let buffer = b"abcabdab";
        let mut seen = Stretches::default();
        let mut at = |start, end, value| seen.intern(buffer, Span::new(start, end), value);
        assert_eq!(at(0, 2, 0), (0, true));
        assert_eq!(at(3, 5, 1), (0, false));
        assert_eq!(at(3, 6, 1), (1, true));
        assert_eq!(at(8, 8, 2), (2, true));
        assert_eq!(seen.get(buffer, b"ab"), Some(0));
        assert_eq!(seen.get(buffer, b"b"), None);
        assert_eq!(seen.len(), 3);
    }

    #[test]
    fn growing_loses_nothing() {
        let buffer: Vec<u8> = (0..5000_u32).flat_map(u32::to_le_bytes).collect();
        let mut seen = Stretches::default();
        for round in 0..2 {
            for place in 0..5000_u32 {
                let start = place as usize * 4;
                let known = seen.intern(&buffer, Span::new(start, start + 4), place);
                assert_eq!(known, (place, round == 0));
            }
        }
    }
}

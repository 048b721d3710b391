//! Sparse bit sets, as policies store them.

/// 64 bits at a time, by the number of their first bit, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bits {
    words: Vec<(u32, u64)>,
}

impl Bits {
    pub(super) fn from_words(words: Vec<(u32, u64)>) -> Self {
        Self { words }
    }

    pub(super) fn has(&self, bit: u32) -> bool {
        let start = bit & !63;
        let found = self.words.binary_search_by_key(&start, |word| word.0);
        found.is_ok_and(|at| self.words[at].1 >> (bit & 63) & 1 == 1)
    }

    pub(super) fn set(&mut self, bit: u32) {
        let start = bit & !63;
        let at = match self.words.binary_search_by_key(&start, |word| word.0) {
            Ok(at) => at,
            Err(at) => {
                self.words.insert(at, (start, 0));
                at
            }
        };
        self.words[at].1 |= 1 << (bit & 63);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.words.iter().flat_map(|(start, word)| {
            let is_set = move |bit: &u32| word >> bit & 1 == 1;
            (0..64).filter(is_set).map(move |bit| start + bit)
        })
    }

    pub(super) fn is_superset_of(&self, other: &Self) -> bool {
        other.iter().all(|bit| self.has(bit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_across_words() {
        let mut bits = Bits::default();
        for bit in [130, 0, 63, 64] {
            bits.set(bit);
        }
        assert_eq!(bits.iter().collect::<Vec<_>>(), [0, 63, 64, 130]);
        assert!(bits.has(63) && !bits.has(62) && !bits.has(1000));
        let mut fewer = Bits::default();
        fewer.set(64);
        assert!(bits.is_superset_of(&fewer) && !fewer.is_superset_of(&bits));
    }
}

//! Maps the ids of a profile to indices in its tables. Ids need not be dense,
//! nor begin at 1.

use rustc_hash::FxHashMap;

use crate::error::{Error, Result};

const NONE: u32 = u32::MAX;

/// Ids of one table.
#[derive(Debug, Clone)]
pub(crate) enum Ids {
    /// 1, 2 and so on up to this many, as Go and pprof write them.
    Sequence(u32),
    Dense(Vec<u32>),
    Sparse(FxHashMap<u64, u32>),
}

impl Ids {
    /// `ids` in the order of the table; `what` is for errors.
    pub(crate) fn new(what: &str, ids: &[u64]) -> Result<Self> {
        if (1..).zip(ids).all(|(want, id)| want == *id)
            && let Ok(count) = u32::try_from(ids.len())
        {
            return Ok(Self::Sequence(count));
        }
        let most = ids.iter().copied().max().unwrap_or(0);
        let mut map = if most < ids.len() as u64 * 4 + 1024 {
            let size = usize::try_from(most).unwrap_or(0) + 1;
            Self::Dense(vec![NONE; size])
        } else {
            Self::Sparse(FxHashMap::with_capacity_and_hasher(
                ids.len(),
                rustc_hash::FxBuildHasher,
            ))
        };
        for (index, &id) in (0_u32..).zip(ids) {
            if id == 0 {
                return Err(Error::Invalid(format!("a {what} has the reserved id 0")));
            }
            if map.insert(id, index) {
                return Err(Error::Invalid(format!("two {what}s have the id {id}")));
            }
        }
        Ok(map)
    }

    /// Returns whether it was there before.
    fn insert(&mut self, id: u64, index: u32) -> bool {
        match self {
            Self::Sequence(_) => false,
            Self::Dense(table) => usize::try_from(id)
                .ok()
                .and_then(|id| table.get_mut(id))
                .is_some_and(|slot| std::mem::replace(slot, index) != NONE),
            Self::Sparse(map) => map.insert(id, index).is_some(),
        }
    }

    /// Returns the index of an id in its table.
    #[inline]
    pub(crate) fn get(&self, id: u64) -> Option<u32> {
        match self {
            Self::Sequence(count) => in_sequence(id, *count),
            Self::Dense(table) => {
                let slot = *table.get(usize::try_from(id).ok()?)?;
                (slot != NONE).then_some(slot)
            }
            Self::Sparse(map) => map.get(&id).copied(),
        }
    }
}

/// Returns the index of an id among 1 to `count`.
#[inline]
pub(crate) fn in_sequence(id: u64, count: u32) -> Option<u32> {
    let place = u32::try_from(id.wrapping_sub(1)).ok()?;
    (place < count).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_may_have_gaps_and_be_huge() {
        let ids = Ids::new("location", &[7, 3, u64::MAX]).unwrap();
        assert!(matches!(ids, Ids::Sparse(_)));
        assert_eq!(
            (ids.get(3), ids.get(u64::MAX), ids.get(1)),
            (Some(1), Some(2), None)
        );
        let ids = Ids::new("location", &[7, 3]).unwrap();
        assert!(matches!(ids, Ids::Dense(_)));
        assert_eq!(
            (ids.get(7), ids.get(0), ids.get(9999)),
            (Some(0), None, None)
        );
        let ids = Ids::new("location", &[1, 2]).unwrap();
        assert!(matches!(ids, Ids::Sequence(2)));
        assert_eq!(
            (ids.get(0), ids.get(2), ids.get(3), ids.get(u64::MAX)),
            (None, Some(1), None, None)
        );
    }

    #[test]
    fn reserved_and_repeated_ids_are_refused() {
        let error = |ids: &[u64]| Ids::new("function", ids).unwrap_err().to_string();
        assert_eq!(error(&[1, 0]), "a function has the reserved id 0");
        assert_eq!(error(&[4, 4]), "two functions have the id 4");
    }
}

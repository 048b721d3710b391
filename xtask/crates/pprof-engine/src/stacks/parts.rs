//! Work on many samples at once.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::error::Result;

/// Fewer are worked on at once.
pub(super) const FEW: usize = 1 << 14;

/// Many are worked on by all cores, each on a stretch; few by this one.
pub(super) fn in_parts<S: Send>(
    count: usize,
    work: impl Fn(Range<usize>) -> Result<S> + Sync,
) -> Result<Vec<S>> {
    let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get().min(8));
    let parts = if count <= FEW { 1 } else { cores() };
    let done: Vec<Mutex<Option<Result<S>>>> = (0..parts).map(|_| Mutex::new(None)).collect();
    at_once(parts, &|part| {
        let stretch = count * part / parts..count * (part + 1) / parts;
        let result = work(stretch);
        *done[part].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    });
    let done = done.into_iter();
    done.filter_map(|part| part.into_inner().unwrap_or_else(PoisonError::into_inner))
        .collect()
}

/// Of any work, so that it is compiled once.
fn at_once(parts: usize, work: &(dyn Fn(usize) + Sync)) {
    std::thread::scope(|scope| {
        for part in 1..parts {
            scope.spawn(move || work(part));
        }
        work(0);
    });
}

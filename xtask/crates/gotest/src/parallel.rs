//! The same for each of many, on all processors, results in order.

use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) fn map<'t, T: Sync, R: Send>(
    items: &'t [T],
    each: impl Fn(&'t T) -> R + Sync,
) -> Vec<R> {
    let workers = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(16);
    if workers == 1 || items.len() < 32 {
        return items.iter().map(each).collect();
    }
    let next = AtomicUsize::new(0);
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let work = || {
            let mut mine = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(index) else {
                    return mine;
                };
                mine.push((index, each(item)));
            }
        };
        let handles: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let joined = handles.into_iter().map(std::thread::ScopedJoinHandle::join);
        // A worker that panics is a mistake of ours: let it be seen.
        joined
            .flat_map(|mine| mine.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

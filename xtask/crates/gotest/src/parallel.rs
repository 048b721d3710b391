//! Runs the same function on many items, on all processors, with results in
//! order.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{Builder, ScopedJoinHandle};

/// The deepest source uses a fraction of it; unused pages cost nothing.
const STACK: usize = 32 << 20;

/// Runs it on a stack of a known size.
pub(crate) fn on_a_stack<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        // Without a thread nothing could be done at all.
        #[expect(clippy::expect_used, reason = "as `thread::spawn` has it")]
        let handle = Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, work)
            .expect("a thread");
        joined(handle)
    })
}

/// Passes on the panic of a thread, which is a bug.
fn joined<R>(handle: ScopedJoinHandle<'_, R>) -> R {
    handle
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

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
        // With fewer threads the work only takes longer.
        let handles: Vec<_> = (1..workers)
            .map_while(|_| {
                Builder::new()
                    .stack_size(STACK)
                    .spawn_scoped(scope, work)
                    .ok()
            })
            .collect();
        let mut done = work();
        done.extend(handles.into_iter().flat_map(joined));
        done
    });
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

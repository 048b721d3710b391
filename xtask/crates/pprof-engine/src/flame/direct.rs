//! Direct callers and callees of each function over the whole tree.

use rustc_hash::{FxHashMap, FxHashSet};

use super::flatten::Callees;
use super::{Builder, DirectCall, DirectCalls};

/// Stands for the function of calls that are not kept.
const NONE: u32 = u32::MAX;

/// Sums calls by caller and callee, before any is left out; of each kind, `most` are kept, and
/// of their functions the sum of the others. A stack in which a function is more than once counts at its first call.
pub(super) fn direct(builder: &Builder, totals: &[i64], sides: usize, most: usize) -> DirectCalls {
    let (mut above, mut below) = (Sums::new(sides), Sums::new(sides));
    let callees = Callees::new(builder, |_| true);
    let of = |node: u32| &totals[node as usize * sides..][..sides];
    let name = |node: u32| builder.nodes[node as usize].name;
    // How many calls of each name are open above the current one.
    let mut open = vec![0_u32; builder.names.len()];
    // A node, and whether it is left again.
    let mut waiting = vec![(0_u32, false)];
    while let Some((node, is_left)) = waiting.pop() {
        let function = name(node);
        if is_left {
            open[function as usize] -= 1;
            continue;
        }
        let next = callees.of_node(node);
        if node > 0 && open[function as usize] == 0 {
            let caller = builder.nodes[node as usize].caller;
            if caller > 0 {
                above.add(function, name(caller), of(node));
            }
            for callee in next {
                below.add(function, name(*callee), of(*callee));
            }
        }
        open[function as usize] += 1;
        waiting.push((node, true));
        waiting.extend(next.iter().map(|callee| (*callee, false)));
    }
    DirectCalls {
        callers: above.kept(most),
        callees: below.kept(most),
    }
}

/// Values by function and the other one.
struct Sums {
    sides: usize,
    places: FxHashMap<(u32, u32), usize>,
    values: Vec<i64>,
}

impl Sums {
    fn new(sides: usize) -> Self {
        Self {
            sides,
            places: FxHashMap::default(),
            values: Vec::new(),
        }
    }

    fn add(&mut self, function: u32, other: u32, totals: &[i64]) {
        let next = self.values.len();
        let place = *self.places.entry((function, other)).or_insert(next);
        if place == next {
            self.values.resize(next + self.sides, 0);
        }
        let sums = &mut self.values[place..place + self.sides];
        for (sum, value) in sums.iter_mut().zip(totals) {
            *sum = sum.wrapping_add(*value);
        }
    }

    /// The calls by function, the heaviest first; those that are not kept as one.
    fn kept(self, most: usize) -> Vec<DirectCall> {
        let calls = self.places.iter().map(|((function, other), place)| {
            let totals = self.values[*place..place + self.sides].to_vec();
            DirectCall {
                function: *function,
                other: *other,
                small: 0,
                totals,
            }
        });
        let mut calls: Vec<DirectCall> = calls
            .filter(|call| call.totals.iter().any(|value| *value != 0))
            .collect();
        calls.sort_by_key(|call| (std::cmp::Reverse(size(call)), call.function, call.other));
        let mut kept = Vec::new();
        let mut seen = FxHashSet::default();
        let mut small: FxHashMap<u32, DirectCall> = FxHashMap::default();
        for call in calls {
            // One half for the heaviest, the other for each function's heaviest.
            let is_first = seen.insert(call.function);
            if kept.len() < most / 2 || (is_first && kept.len() < most) {
                kept.push(call);
                continue;
            }
            let sum = small.entry(call.function).or_insert_with(|| DirectCall {
                other: NONE,
                totals: vec![0; self.sides],
                ..call.clone()
            });
            sum.small += 1;
            for (sum, value) in sum.totals.iter_mut().zip(&call.totals) {
                *sum = sum.wrapping_add(*value);
            }
        }
        // Of other functions nothing is known here.
        let named: FxHashSet<u32> = kept.iter().map(|call| call.function).collect();
        let small = small.into_values();
        kept.extend(small.filter(|call| named.contains(&call.function)));
        kept.sort_by_key(|call| (call.function, std::cmp::Reverse(size(call)), call.other));
        kept
    }
}

fn size(call: &DirectCall) -> u64 {
    let sizes = call.totals.iter().map(|value| value.unsigned_abs());
    sizes.fold(0, u64::saturating_add)
}

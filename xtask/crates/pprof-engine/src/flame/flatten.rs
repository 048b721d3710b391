//! Turns the tree into calls in order of drawing.

use super::{Builder, Call};

/// Flattens the tree, the heaviest callee first; also returns the number of calls that
/// were too small. Iterative, because stacks may be very deep.
pub(super) fn flatten(builder: &Builder, sides: usize, least: f64) -> (Vec<Call>, usize) {
    let totals = totals(builder, sides);
    let of = |place: usize| &totals[place * sides..(place + 1) * sides];
    let whole: Vec<u64> = of(0).iter().map(|value| value.unsigned_abs()).collect();
    // A call that is large on any side is kept.
    #[allow(clippy::cast_precision_loss)] // a share of a drawing
    let is_kept = |place: usize| {
        let mut sides = of(place).iter().zip(&whole);
        sides.any(|(value, whole)| {
            let size = value.unsigned_abs();
            size > 0 && size as f64 >= *whole as f64 * least
        })
    };
    let callees = Callees::new(builder, is_kept);
    let sum = |place: u32| {
        let values = of(place as usize).iter();
        values.fold(0_u64, |sum, value| sum.saturating_add(value.unsigned_abs()))
    };
    let (mut calls, mut elided) = (Vec::new(), 0);
    let mut waiting = vec![(0_u32, 0_u32)];
    while let Some((place, level)) = waiting.pop() {
        calls.push(Call {
            name: builder.nodes[place as usize].name,
            level,
            totals: of(place as usize).to_vec(),
        });
        elided += callees.dropped[place as usize] as usize;
        let mut next = callees.of_node(place).to_vec();
        next.sort_by_key(|callee| sum(*callee));
        waiting.extend(next.into_iter().map(|callee| (callee, level + 1)));
    }
    (calls, elided)
}

/// Totals of each node with its callees, `sides` per node.
fn totals(builder: &Builder, sides: usize) -> Vec<i64> {
    let mut totals = vec![0_i64; builder.nodes.len() * sides];
    for ((node, side), weight) in &builder.own {
        let place = *node as usize * sides + *side as usize;
        totals[place] = totals[place].wrapping_add(*weight);
    }
    // Callees come after their callers, so a pass from the end sums all of
    // them.
    for (place, node) in builder.nodes.iter().enumerate().skip(1).rev() {
        let (above, below) = totals.split_at_mut(place * sides);
        let caller = node.caller as usize * sides;
        for (sum, value) in above[caller..caller + sides].iter_mut().zip(&*below) {
            *sum = sum.wrapping_add(*value);
        }
    }
    totals
}

/// The callees that are kept, caller by caller.
struct Callees {
    /// Start of each caller's callees, and the end of the last.
    starts: Vec<u32>,
    list: Vec<u32>,
    /// Per caller, the number of callees that are dropped.
    dropped: Vec<u32>,
}

impl Callees {
    fn new(builder: &Builder, is_kept: impl Fn(usize) -> bool) -> Self {
        let count = builder.nodes.len();
        let mut starts = vec![0_u32; count + 1];
        let mut dropped = vec![0_u32; count];
        let mut kept = Vec::new();
        for (place, node) in (0_u32..).zip(&builder.nodes).skip(1) {
            if is_kept(place as usize) {
                starts[node.caller as usize + 1] += 1;
                kept.push((place, node.caller));
            } else {
                dropped[node.caller as usize] += 1;
            }
        }
        for place in 1..=count {
            starts[place] += starts[place - 1];
        }
        let mut ends = starts.clone();
        let mut list = vec![0; kept.len()];
        for (place, caller) in kept {
            let end = &mut ends[caller as usize];
            list[*end as usize] = place;
            *end += 1;
        }
        Self {
            starts,
            list,
            dropped,
        }
    }

    fn of_node(&self, node: u32) -> &[u32] {
        let range = self.starts[node as usize]..self.starts[node as usize + 1];
        &self.list[range.start as usize..range.end as usize]
    }
}

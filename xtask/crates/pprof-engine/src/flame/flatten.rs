//! Turns the tree into calls in order of drawing.

use super::{Builder, Call};

/// Flattens the tree, the heaviest callee first; also returns the number of calls that
/// were too small. Iterative, because stacks may be very deep.
pub(super) fn flatten(
    builder: &Builder,
    totals: &[i64],
    sides: usize,
    least: f64,
) -> (Vec<Call>, usize) {
    let of = |place: usize| &totals[place * sides..(place + 1) * sides];
    let whole: Vec<u64> = of(0).iter().map(|value| value.unsigned_abs()).collect();
    // A call that is large on any side is kept.
    #[allow(clippy::cast_precision_loss)] // a share of a drawing
    let is_kept = |place: usize| {
        if least <= 0.0 {
            return true;
        }
        let mut values = of(place).iter().zip(&whole);
        values.any(|(value, whole)| {
            let size = value.unsigned_abs();
            size > 0 && size as f64 >= *whole as f64 * least
        })
    };
    let is_heavy = weighing(builder);
    let callees = Callees::new(builder, |place| is_heavy[place]);
    let sum = |values: &[i64]| {
        let weights = values.iter().map(|value| value.unsigned_abs());
        weights.fold(0_u64, u64::saturating_add)
    };
    let (mut calls, mut elided) = (Vec::new(), 0);
    let mut waiting = vec![Waiting::Node(0, 0)];
    let mut next: Vec<u32> = Vec::new();
    while let Some(call) = waiting.pop() {
        let (node, level) = match call {
            Waiting::Node(node, level) => (node, level),
            Waiting::Small(call) => {
                calls.push(call);
                continue;
            }
        };
        calls.push(Call {
            name: builder.nodes[node as usize].name,
            level,
            totals: of(node as usize).to_vec(),
            small: 0,
        });
        let mut small = Call {
            name: 0,
            level: level + 1,
            totals: vec![0; sides],
            small: 0,
        };
        next.clear();
        for callee in callees.of_node(node) {
            if is_kept(*callee as usize) {
                next.push(*callee);
                continue;
            }
            small.small += 1;
            for (sum, value) in small.totals.iter_mut().zip(of(*callee as usize)) {
                *sum = sum.wrapping_add(*value);
            }
        }
        elided += small.small as usize;
        // On top of the stack is what comes first: small calls come last.
        if small.totals.iter().any(|value| *value != 0) {
            waiting.push(Waiting::Small(small));
        }
        next.sort_by_key(|callee| sum(of(*callee as usize)));
        waiting.extend(next.iter().map(|callee| Waiting::Node(*callee, level + 1)));
    }
    (calls, elided)
}

/// A share of the whole that few calls beside each other have.
const SMALL: f64 = 0.01;

/// Returns the share of the whole that about `most` calls have.
pub(super) fn share_of(totals: &[i64], sides: usize, most: usize) -> f64 {
    let nodes = totals.chunks(sides);
    if nodes.len() <= most {
        return 0.0;
    }
    let whole = &totals[..sides];
    #[allow(clippy::cast_precision_loss)] // a share of a drawing
    let share = |values: &[i64]| {
        let shares = values.iter().zip(whole).filter(|(_, whole)| **whole != 0);
        let shares =
            shares.map(|(value, whole)| value.unsigned_abs() as f64 / whole.unsigned_abs() as f64);
        shares.fold(0.0, f64::max)
    };
    let mut shares: Vec<f64> = nodes.map(share).collect();
    let (larger, share, smaller) = shares.select_nth_unstable_by(most, |a, b| b.total_cmp(a));
    let share = *share;
    let is_equal = |of: &&f64| of.total_cmp(&share).is_eq();
    let above = larger.iter().filter(|of| **of > share).count();
    let equal = larger.iter().chain(&*smaller).filter(is_equal).count();
    // Many may have exactly this share. They are left out if enough calls are larger, or if
    // small ones are too many; large ones are few beside each other, and one below the other.
    if above > most / 2 || (equal > most && share < SMALL) {
        share.next_up()
    } else {
        share
    }
}

/// Whether any stack through each node weighs something: below zero and above it, they may
/// add up to nothing.
fn weighing(builder: &Builder) -> Vec<bool> {
    let mut weighs = vec![false; builder.nodes.len()];
    for ((node, _), weight) in &builder.own {
        weighs[*node as usize] |= *weight != 0;
    }
    for (place, node) in builder.nodes.iter().enumerate().skip(1).rev() {
        weighs[node.caller as usize] |= weighs[place];
    }
    weighs
}

/// What remains to be written.
enum Waiting {
    /// A node and its level.
    Node(u32, u32),
    Small(Call),
}

/// Totals of each node with its callees, `sides` per node.
pub(super) fn totals(builder: &Builder, sides: usize) -> Vec<i64> {
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

/// Callees, caller by caller.
pub(super) struct Callees {
    /// Start of each caller's callees, and the end of the last.
    starts: Vec<u32>,
    list: Vec<u32>,
}

impl Callees {
    /// Lists the nodes that are `wanted`.
    pub(super) fn new(builder: &Builder, wanted: impl Fn(usize) -> bool) -> Self {
        let count = builder.nodes.len();
        let mut starts = vec![0_u32; count + 1];
        let mut kept = Vec::new();
        for (place, node) in (0_u32..).zip(&builder.nodes).skip(1) {
            if wanted(place as usize) {
                starts[node.caller as usize + 1] += 1;
                kept.push((place, node.caller));
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
        Self { starts, list }
    }

    pub(super) fn of_node(&self, node: u32) -> &[u32] {
        let range = self.starts[node as usize]..self.starts[node as usize + 1];
        &self.list[range.start as usize..range.end as usize]
    }
}

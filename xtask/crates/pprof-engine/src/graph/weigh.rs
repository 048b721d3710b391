//! Sums the weight of each node over all stacks.

use super::Weight;
use crate::error::Result;
use crate::frames::Frames;
use crate::profile::Profile;
use crate::stacks::{Stacks, Weighing};
use crate::view::View;

/// The cumulative sum of a node; the fields that every frame uses are in one struct.
#[derive(Debug, Clone, Copy, Default)]
struct Cum {
    weight: i64,
    divisor: i64,
    /// The stack in which the node was counted last, since each counts once.
    last: u32,
}

/// Sums of one part of the stacks.
struct Weighed {
    cum: Vec<Cum>,
    /// Value and divisor.
    flat: Vec<(i64, i64)>,
    stack: u32,
}

/// Sums that were not begun.
fn begin(count: usize) -> Weighed {
    Weighed {
        cum: vec![Cum::default(); count],
        flat: vec![(0, 0); count],
        stack: 0,
    }
}

/// Counts a stack.
#[inline]
fn count(part: &mut Weighed, frames: &Frames, locations: &[u32], weight: i64, divisor: i64) {
    part.stack = part.stack.wrapping_add(1);
    let stack = part.stack;
    for location in locations {
        for node in frames.of_location(*location) {
            let of = &mut part.cum[*node as usize];
            if of.last != stack {
                of.last = stack;
                of.weight = of.weight.wrapping_add(weight);
                of.divisor = of.divisor.wrapping_add(divisor);
            }
        }
    }
    let mut nodes = locations.iter().flat_map(|of| frames.of_location(*of));
    if let Some(leaf) = nodes.next() {
        let of = &mut part.flat[*leaf as usize];
        of.0 = of.0.wrapping_add(weight);
        of.1 = of.1.wrapping_add(divisor);
    }
}

fn sum(parts: &[Weighed], count: usize) -> Vec<Weight> {
    let mut weights = vec![Weight::default(); count];
    for part in parts {
        for ((sum, cum), flat) in weights.iter_mut().zip(&part.cum).zip(&part.flat) {
            sum.flat = sum.flat.wrapping_add(flat.0);
            sum.flat_divisor = sum.flat_divisor.wrapping_add(flat.1);
            sum.cum = sum.cum.wrapping_add(cum.weight);
            sum.cum_divisor = sum.cum_divisor.wrapping_add(cum.divisor);
        }
    }
    weights
}

/// Returns the stacks, and the sums of each node over them.
///
/// # Errors
/// Malformed samples.
pub fn weigh<'p>(
    profile: &'p Profile,
    view: &'p View,
    weighing: Weighing,
    frames: &Frames,
) -> Result<(Stacks<'p>, Vec<Weight>)> {
    weigh_nodes(profile, view, weighing, frames, frames.infos.len())
}

/// Sums the weights of `count` nodes.
pub(crate) fn weigh_nodes<'p>(
    profile: &'p Profile,
    view: &'p View,
    weighing: Weighing,
    frames: &Frames,
    nodes: usize,
) -> Result<(Stacks<'p>, Vec<Weight>)> {
    let start = || begin(nodes);
    let (stacks, parts) = Stacks::weigh_and_fold(
        profile,
        view,
        weighing,
        start,
        |part, locations, weight, divisor| count(part, frames, locations, weight, divisor),
    )?;
    Ok((stacks, sum(&parts, nodes)))
}

//! Nodes with their own and cumulative weights, and the calls between them
//! (github.com/google/pprof/internal/graph).

mod weigh;

use crate::calls::{Edges, NEW as NO_CALL, connect};
use crate::error::Result;
use crate::frames::{Frames, Info};
use crate::profile::Profile;
use crate::query::Query;
use crate::stacks::{Stacks, Weighing};
use crate::view::View;
pub use weigh::weigh;
pub(crate) use weigh::weigh_nodes;

/// A node's sums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weight {
    pub flat: i64,
    pub flat_divisor: i64,
    pub cum: i64,
    pub cum_divisor: i64,
}

impl Weight {
    pub fn flat_value(&self) -> i64 {
        mean(self.flat, self.flat_divisor)
    }

    pub fn cum_value(&self) -> i64 {
        mean(self.cum, self.cum_divisor)
    }
}

fn mean(value: i64, divisor: i64) -> i64 {
    if divisor == 0 {
        value
    } else {
        value.wrapping_div(divisor)
    }
}

/// A report's graph after trimming.
#[derive(Debug)]
pub struct Graph {
    pub weights: Vec<Weight>,
    /// The nodes that are shown, in order.
    pub shown: Vec<u32>,
    /// Printable names of what is shown or called by it.
    pub names: Vec<String>,
    pub edges: Edges,
    pub total: i64,
    pub dropped: usize,
    /// The number of nodes before it was limited.
    pub original: usize,
}

/// Which calls a report needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// Only those that decide whether a node is marked as inlined.
    Inlined,
    All,
}

/// A profile's stacks, and their nodes.
pub(crate) struct Side<'p> {
    pub(crate) stacks: Stacks<'p>,
    pub(crate) frames: Frames,
}

impl Graph {
    /// # Errors
    /// Malformed samples.
    pub fn new(
        profile: &Profile,
        view: &View,
        query: &Query,
        weighing: Weighing,
        calls: Calls,
    ) -> Result<Self> {
        let frames = Frames::new(profile, view, query, false)?;
        let (stacks, weights) = weigh(profile, view, weighing, &frames)?;
        let total = stacks.total;
        let side = Side { stacks, frames };
        Self::of_sides(&[side], weights, total, query, calls)
    }

    /// Combines weighed sides, of which all but the first count negative. The nodes of
    /// all sides are those of the first.
    ///
    /// # Errors
    /// Malformed samples.
    pub(crate) fn of_sides(
        sides: &[Side<'_>],
        weights: Vec<Weight>,
        total: i64,
        query: &Query,
        calls: Calls,
    ) -> Result<Self> {
        let infos = &sides[0].frames.infos;
        let (fraction, edge_fraction) = if query.trim {
            (query.nodefraction, query.edgefraction)
        } else {
            (0.0, 0.0)
        };
        let present = present(&weights, query);
        let sum = present.iter().fold(0_i64, |sum, node| {
            sum.wrapping_add(weights[*node as usize].flat)
        });
        let cutoff = cutoff(sum, fraction);
        let mut shown = present.clone();
        if cutoff > 0 {
            shown.retain(|node| weights[*node as usize].cum.wrapping_abs() >= cutoff);
        }
        let original = shown.len();
        let dropped = present.len() - original;
        let names: Vec<String> = infos.iter().map(Info::printable).collect();
        sort(&mut shown, query.cum, &weights, infos, &names);
        if query.trim && query.nodecount > 0 {
            shown.truncate(query.nodecount);
        }
        let mut is_shown = vec![false; weights.len()];
        for node in &shown {
            is_shown[*node as usize] = true;
        }
        let kept = (shown.len() != present.len()).then_some(&is_shown[..]);
        let wanted = match calls {
            Calls::Inlined => inlined(sides, weights.len()),
            Calls::All => vec![true; weights.len()],
        };
        let mut edges = edges_of(sides, kept, &wanted)?;
        let least = self::cutoff(sum, edge_fraction);
        // As in pprof, calls of nodes that are hidden for having no weight are kept.
        edges.retain(|(_, callee), edge| {
            !is_shown[*callee as usize] || edge.weight.wrapping_abs() >= least
        });
        Ok(Self {
            weights,
            shown,
            names,
            edges,
            total,
            dropped,
            original,
        })
    }
}

/// Returns the nodes with any weight.
fn present(weights: &[Weight], query: &Query) -> Vec<u32> {
    (0..)
        .zip(weights)
        .filter(|(_, weight)| weight.cum != 0 || weight.flat != 0)
        .filter(|(_, weight)| !(query.drop_negative && is_negative(weight)))
        .map(|(node, _)| node)
        .collect()
}

/// Returns for each node whether it is inlined anywhere.
fn inlined(sides: &[Side<'_>], count: usize) -> Vec<bool> {
    let mut inlined = vec![false; count];
    for side in sides {
        side.frames.mark_inlined(&mut inlined);
    }
    inlined
}

/// The first side's calls, less those of the others.
fn edges_of(sides: &[Side<'_>], kept: Option<&[bool]>, wanted: &[bool]) -> Result<Edges> {
    let mut edges = Edges::default();
    for (place, Side { stacks, frames }) in sides.iter().enumerate() {
        let found = connect(stacks, frames, kept, wanted)?;
        add(&mut edges, found, place > 0);
    }
    Ok(edges)
}

fn add(edges: &mut Edges, found: Edges, negative: bool) {
    if edges.is_empty() && !negative {
        *edges = found;
        return;
    }
    for (pair, of) in found {
        let edge = edges.entry(pair).or_insert(NO_CALL);
        let weight = if negative {
            of.weight.wrapping_neg()
        } else {
            of.weight
        };
        edge.weight = edge.weight.wrapping_add(weight);
        edge.inline &= of.inline;
    }
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // so does pprof
pub fn cutoff(total: i64, fraction: f64) -> i64 {
    ((total as f64 * fraction) as i64).wrapping_abs()
}

fn is_negative(weight: &Weight) -> bool {
    weight.flat < 0 || (weight.flat == 0 && weight.cum < 0)
}

fn sort(shown: &mut [u32], cum: bool, weights: &[Weight], infos: &[Info], names: &[String]) {
    shown.sort_by(|left, right| {
        let (l, r) = (*left as usize, *right as usize);
        let size = |value: i64| std::cmp::Reverse(value.wrapping_abs());
        let first = |of: &Weight| size(if cum { of.cum } else { of.flat });
        let second = |of: &Weight| size(if cum { of.flat } else { of.cum });
        first(&weights[l])
            .cmp(&first(&weights[r]))
            .then_with(|| names[l].cmp(&names[r]))
            .then_with(|| second(&weights[l]).cmp(&second(&weights[r])))
            .then_with(|| infos[l].tie().cmp(&infos[r].tie()))
    });
}

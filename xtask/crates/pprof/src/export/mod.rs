//! Exports a flame graph's tree to the formats of other tools, each side on its own.
//! They have no negative values: calls that lost weight in a difference are left out.

mod firefox;
mod folded;
mod speedscope;
mod svg;

use std::borrow::Cow;

pub use firefox::firefox;
pub use folded::folded;
use pprof_engine::flame::Flame;
pub use speedscope::speedscope;
pub use svg::svg;

/// The number of calls whose own weight is below zero, which no export has.
pub fn calls_below_zero(flame: &Flame) -> usize {
    let sides = 0..flame.sides.len();
    let trees = sides.map(|side| Tree::of_side(flame, side));
    trees.map(|tree| tree.below_zero).sum()
}

/// One side of a flame graph: callers before their callees, no negative values.
struct Tree {
    nodes: Vec<Node>,
    /// Calls that are left out.
    below_zero: usize,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    /// Index into `Flame::names`.
    name: u32,
    /// Index into `Tree::nodes`; none for callees of the root.
    caller: Option<usize>,
    level: u32,
    own: i64,
    /// Includes all callees.
    total: i64,
    /// As in `Call`.
    small: u32,
}

impl Node {
    /// The text of its box.
    fn label(self, flame: &Flame) -> Cow<'_, str> {
        flame.label(self.name, self.small)
    }
}

impl Tree {
    /// The tree of one side. The root of the flame graph is not a call and is left out.
    fn of_side(flame: &Flame, side: usize) -> Self {
        let mut nodes: Vec<Node> = Vec::with_capacity(flame.calls.len());
        let mut above: Vec<usize> = Vec::new();
        for call in flame.calls.iter().skip(1) {
            let total = call.totals.get(side).copied().unwrap_or(0);
            above.truncate((call.level as usize).saturating_sub(1));
            let caller = above.last().copied();
            above.push(nodes.len());
            nodes.push(Node {
                name: call.name,
                caller,
                level: call.level,
                own: total,
                total: 0,
                small: call.small,
            });
            if let Some(caller) = caller {
                nodes[caller].own = nodes[caller].own.wrapping_sub(total);
            }
        }
        let below_zero = nodes.iter().filter(|node| node.own < 0).count();
        // Callees come after their callers, so from the end all are summed.
        for place in (0..nodes.len()).rev() {
            let own = nodes[place].own.max(0);
            nodes[place].own = own;
            let total = nodes[place].total.saturating_add(own);
            nodes[place].total = total;
            if let Some(caller) = nodes[place].caller {
                nodes[caller].total = nodes[caller].total.saturating_add(total);
            }
        }
        Self { nodes, below_zero }
    }

    fn total(&self) -> i64 {
        let roots = self.nodes.iter().filter(|node| node.caller.is_none());
        roots.fold(0_i64, |sum, node| sum.saturating_add(node.total))
    }

    /// The nodes with weight; their callers are indices into the result.
    fn kept(&self) -> Vec<Node> {
        let mut places = vec![usize::MAX; self.nodes.len()];
        let mut kept = Vec::new();
        for (place, node) in self.nodes.iter().enumerate() {
            if node.total > 0 {
                places[place] = kept.len();
                kept.push(Node {
                    caller: node.caller.map(|caller| places[caller]),
                    ..*node
                });
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests;

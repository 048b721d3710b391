//! A flame graph's tree in the forms that other tools open, each side on its
//! own. What has become less than nothing, as in a difference, has no width
//! there and is left out.

mod firefox;
mod folded;
mod speedscope;
mod svg;

pub use firefox::firefox;
pub use folded::folded;
use pprof_engine::flame::Flame;
pub use speedscope::speedscope;
pub use svg::svg;

/// One side of a flame graph: calls before their callees, nothing negative.
struct Tree {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    /// In `Flame::names`.
    name: u32,
    /// In `Tree::nodes`; none is called by the root itself.
    caller: Option<usize>,
    level: u32,
    own: i64,
    /// With all that it calls.
    total: i64,
}

impl Tree {
    /// The root of the flame graph is everything, not a call: it is left out.
    fn of(flame: &Flame, side: usize) -> Self {
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
            });
            if let Some(caller) = caller {
                nodes[caller].own = nodes[caller].own.wrapping_sub(total);
            }
        }
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
        Self { nodes }
    }

    fn total(&self) -> i64 {
        let roots = self.nodes.iter().filter(|node| node.caller.is_none());
        roots.fold(0_i64, |sum, node| sum.saturating_add(node.total))
    }

    /// Without what weighs nothing: places as they are then, and the nodes.
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

/// Comma before all but the first.
fn comma(out: &mut String, place: usize) {
    if place > 0 {
        out.push(',');
    }
}

fn number(out: &mut String, value: impl std::fmt::Display) {
    use std::fmt::Write;
    let _ = write!(out, "{value}");
}

/// A JSON list.
fn list<T>(
    out: &mut String,
    items: impl IntoIterator<Item = T>,
    mut item: impl FnMut(&mut String, T),
) {
    out.push('[');
    for (place, of) in items.into_iter().enumerate() {
        comma(out, place);
        item(out, of);
    }
    out.push(']');
}

#[cfg(test)]
mod tests;

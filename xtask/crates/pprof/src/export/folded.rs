//! Folded stacks, as Brendan Gregg's tools read them: `a;b;c 7`, callers
//! first.

use std::fmt::Write;

use pprof_engine::flame::Flame;

use super::Tree;

/// One line for each stack. Several sides are told apart by a first frame.
/// A `;` within a name, as in Go's generic ones, becomes a `,`: it would be
/// read as the next frame.
pub fn folded(flame: &Flame) -> String {
    let mut out = String::new();
    let names: Vec<String> = flame.names.iter().map(|name| frame(name)).collect();
    for (place, side) in flame.sides.iter().enumerate() {
        let mut path: Vec<&str> = Vec::new();
        let first = frame(side);
        let base = if flame.sides.len() > 1 {
            path.push(&first);
            1
        } else {
            0
        };
        for node in &Tree::of(flame, place).nodes {
            path.truncate(base + node.level as usize - 1);
            path.push(&names[node.name as usize]);
            if node.own > 0 {
                let _ = writeln!(out, "{} {}", path.join(";"), node.own);
            }
        }
    }
    out
}

fn frame(name: &str) -> String {
    name.replace(';', ",").replace(['\n', '\r'], " ")
}

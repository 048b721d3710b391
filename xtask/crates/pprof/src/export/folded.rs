//! Folded stacks, as Brendan Gregg's tools read them: `a;b;c 7`, callers
//! first.

use std::fmt::Write;

use pprof_engine::flame::Flame;
use pprof_engine::{Budget, Result};

use super::Tree;

/// Maximum bytes of all lines.
const MOST: usize = 1 << 30;

/// Returns one line per stack. With several sides the first frame is the side.
/// A `;` within a name, as in Go's generic types, becomes a `,`, because `;`
/// separates frames.
///
/// # Errors
/// Too much text: each line has all names of a stack.
pub fn folded(flame: &Flame) -> Result<String> {
    let mut out = String::new();
    let mut budget = Budget::new(MOST, "the text of all stacks");
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
        for node in &Tree::of_side(flame, place).nodes {
            path.truncate(base + node.level as usize - 1);
            path.push(&names[node.name as usize]);
            if node.own > 0 {
                budget.take(path.iter().map(|name| name.len() + 1).sum())?;
                let _ = writeln!(out, "{} {}", path.join(";"), node.own);
            }
        }
    }
    Ok(out)
}

fn frame(name: &str) -> String {
    name.replace(';', ",").replace(['\n', '\r'], " ")
}

//! What each function counts over the whole tree.

use super::flatten::Callees;
use super::{Builder, Function};

/// Sums each name's values, before any call is left out. Iterative, because stacks may be
/// very deep.
pub(super) fn functions(builder: &Builder, totals: &[i64], sides: usize) -> Vec<Function> {
    let zero = || Function {
        flat: vec![0; sides],
        cum: vec![0; sides],
    };
    let mut functions: Vec<Function> = builder.names.iter().map(|_| zero()).collect();
    for ((node, side), weight) in &builder.own {
        let name = builder.nodes[*node as usize].name;
        add(&mut functions[name as usize].flat[*side as usize], *weight);
    }
    let callees = Callees::new(builder, |_| true);
    // How many calls of each name are open above the current one.
    let mut open = vec![0_u32; builder.names.len()];
    let mut waiting = vec![Step::Enter(0)];
    while let Some(step) = waiting.pop() {
        let (Step::Enter(node) | Step::Leave(node)) = step;
        let name = builder.nodes[node as usize].name as usize;
        if let Step::Leave(_) = step {
            open[name] -= 1;
            continue;
        }
        if open[name] == 0 {
            let of = &totals[node as usize * sides..][..sides];
            for (sum, value) in functions[name].cum.iter_mut().zip(of) {
                add(sum, *value);
            }
        }
        open[name] += 1;
        waiting.push(Step::Leave(node));
        waiting.extend(callees.of_node(node).iter().map(|of| Step::Enter(*of)));
    }
    functions
}

fn add(sum: &mut i64, value: i64) {
    *sum = sum.wrapping_add(value);
}

/// A step of the walk: into a node, or back from it.
#[derive(Debug, Clone, Copy)]
enum Step {
    Enter(u32),
    Leave(u32),
}

//! One function in all of its places: what calls it, and what it calls.

use super::{Builder, DirectCalls, Flame, Node, flatten, functions};

/// Which side of a function is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Callers,
    Callees,
}

/// The box of calls that were too small to keep.
const SMALL: &str = "small calls";

impl Flame {
    /// Returns the tree whose root is the function `name`: of its callers, or of its
    /// callees. A stack in which it is more than once counts once, from its first call on.
    #[must_use]
    pub fn around(&self, name: u32, direction: Direction) -> Self {
        let small = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        let mut builder = Builder {
            names: [&self.names[..], &[SMALL.to_owned()]].concat(),
            places: [&self.places[..], &[None]].concat(),
            nodes: vec![Node { name, caller: 0 }],
            ..Builder::default()
        };
        let own = self.own();
        // From the root to the current call: its index, and its node if it is drawn.
        let mut path: Vec<(usize, Option<u32>)> = Vec::new();
        for (place, call) in self.calls.iter().enumerate() {
            path.truncate(call.level as usize);
            let above = path.last().and_then(|(_, node)| *node);
            let begins = above.is_none() && place > 0 && call.small == 0 && call.name == name;
            let node = match (above, begins) {
                (Some(above), _) => {
                    let name = if call.small > 0 { small } else { call.name };
                    Some(match direction {
                        Direction::Callees => builder.callee(above, name),
                        Direction::Callers => above,
                    })
                }
                (None, true) => Some(match direction {
                    Direction::Callees => 0,
                    Direction::Callers => {
                        let callers = path.iter().skip(1).rev();
                        callers.fold(0, |node, (caller, _)| {
                            builder.callee(node, self.calls[*caller].name)
                        })
                    }
                }),
                (None, false) => None,
            };
            path.push((place, node));
            if let Some(node) = node {
                for (side, weight) in own[place].iter().enumerate() {
                    builder.add(node, side, *weight);
                }
            }
        }
        let sides = self.sides.len();
        let totals = flatten::totals(&builder, sides);
        let (calls, elided) = flatten::flatten(&builder, &totals, sides, 0.0);
        Self {
            sample_type: self.sample_type.clone(),
            unit: self.unit.clone(),
            sides: self.sides.clone(),
            tags: self.tags.clone(),
            functions: functions::functions(&builder, &totals, sides),
            names: builder.names,
            places: builder.places,
            calls,
            elided,
            direct: DirectCalls::default(),
        }
    }

    /// The value of each call without its callees, per side.
    fn own(&self) -> Vec<Vec<i64>> {
        let mut own: Vec<Vec<i64>> = self.calls.iter().map(|call| call.totals.clone()).collect();
        let mut path: Vec<usize> = Vec::new();
        for (place, call) in self.calls.iter().enumerate() {
            path.truncate(call.level as usize);
            if let Some(caller) = path.last() {
                for (sum, value) in own[*caller].iter_mut().zip(&call.totals) {
                    *sum = sum.wrapping_sub(*value);
                }
            }
            path.push(place);
        }
        own
    }
}

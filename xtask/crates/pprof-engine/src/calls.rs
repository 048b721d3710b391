//! Finds calls between nodes, skipping nodes that are not shown.

use std::ops::Range;

use rustc_hash::FxHashMap;

use crate::bounds::{CALLS, check_calls};
use crate::error::Result;
use crate::frames::Frames;
use crate::stacks::Stacks;

/// Calls from one node to another.
#[derive(Debug, Clone, Copy)]
pub struct Edge {
    pub weight: i64,
    /// Always inlined.
    pub inline: bool,
    /// The stack that was counted last, since each counts once.
    last: u32,
}

/// Calls by caller and callee.
pub type Edges = FxHashMap<(u32, u32), Edge>;

/// Stands for no edge.
const NONE: u32 = u32::MAX;

/// The effect of one frame of a location on the walk from the root.
#[derive(Debug, Clone, Copy)]
struct Step {
    node: u32,
    /// The edge whose caller is inlined in the same location: it is the same in every
    /// stack, so that no map is searched.
    inner: u32,
    wanted: bool,
    inline: bool,
}

/// The effect of a location on the walk, in one byte: most locations are passed
/// without looking at their frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// No frame is kept.
    Nothing,
    /// May be a caller, and is not a callee that is shown.
    Caller,
    /// Its steps decide.
    Callee,
}

/// Each location's kept frames, outermost first.
struct Steps {
    flat: Vec<Step>,
    ranges: Vec<(u32, u32)>,
    kinds: Vec<Kind>,
    /// The innermost kept node of each location.
    innermost: Vec<u32>,
    /// Caller and callee of the inner edges.
    pairs: Vec<(u32, u32)>,
}

impl Steps {
    fn new(frames: &Frames, kept: Option<&[bool]>, wanted: &[bool]) -> Self {
        let mut of = Self {
            flat: Vec::new(),
            ranges: Vec::new(),
            kinds: Vec::new(),
            innermost: Vec::new(),
            pairs: Vec::new(),
        };
        let mut places: FxHashMap<(u32, u32), u32> = FxHashMap::default();
        for location in frames.locations() {
            let from = index(of.flat.len());
            let nodes = frames.of_location(location);
            let mut caller = None;
            for (place, &node) in nodes.iter().enumerate().rev() {
                if kept.is_some_and(|kept| !kept[node as usize]) {
                    continue;
                }
                let wanted = wanted[node as usize];
                let mut inner = NONE;
                if let Some(caller) = caller.filter(|caller| *caller != node && wanted) {
                    let next = index(of.pairs.len());
                    inner = *places.entry((caller, node)).or_insert(next);
                    if inner == next {
                        of.pairs.push((caller, node));
                    }
                }
                of.flat.push(Step {
                    node,
                    inner,
                    // The caller is known within the location.
                    wanted: wanted && caller.is_none(),
                    inline: place + 1 != nodes.len(),
                });
                caller = Some(node);
            }
            of.ranges.push((from, index(of.flat.len())));
            of.innermost.push(caller.unwrap_or(NONE));
            let mut steps = of.flat[from as usize..].iter();
            of.kinds.push(match caller {
                None => Kind::Nothing,
                Some(_) if steps.any(|step| step.wanted || step.inner != NONE) => Kind::Callee,
                Some(_) => Kind::Caller,
            });
        }
        of
    }

    /// Returns the indices of a location's steps.
    #[inline]
    fn location(&self, location: u32) -> Range<usize> {
        let (from, to) = self.ranges[location as usize];
        from as usize..to as usize
    }
}

fn index(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(NONE)
}

/// The edges of one part of the stacks.
struct Part {
    edges: Vec<Edge>,
    /// The indices of inner edges are known from the start.
    places: FxHashMap<(u32, u32), u32>,
    /// Each step's last caller and the edge from it, which are mostly the same
    /// again.
    last: Vec<(u32, u32)>,
    stack: u32,
    /// There were more than the limit.
    full: bool,
}

impl Part {
    /// Returns the index of the edge from caller to callee; `None` if there are
    /// too many.
    #[inline]
    fn place(&mut self, pair: (u32, u32), step: usize) -> Option<u32> {
        let last = self.last[step];
        if last.0 == pair.0 {
            return Some(last.1);
        }
        if self.edges.len() > CALLS {
            self.full = true;
            return None;
        }
        let next = index(self.edges.len());
        let place = *self.places.entry(pair).or_insert(next);
        if place == next {
            self.edges.push(NEW);
        }
        self.last[step] = (pair.0, place);
        Some(place)
    }

    fn count(&mut self, place: u32, weight: i64, inline: bool) {
        let edge = &mut self.edges[place as usize];
        if edge.last != self.stack {
            edge.last = self.stack;
            edge.weight = edge.weight.wrapping_add(weight);
            edge.inline &= inline;
        }
    }
}

pub(crate) const NEW: Edge = Edge {
    weight: 0,
    inline: true,
    last: 0,
};

/// Returns the calls into the nodes that are `wanted`, skipping those that are
/// not kept.
pub(crate) fn connect(
    stacks: &Stacks<'_>,
    frames: &Frames,
    kept: Option<&[bool]>,
    wanted: &[bool],
) -> Result<Edges> {
    let is_kept = |node: usize| kept.is_none_or(|kept| kept[node]);
    let mut callees = wanted.iter().enumerate();
    if !callees.any(|(node, wanted)| *wanted && is_kept(node)) {
        return Ok(Edges::default());
    }
    let steps = Steps::new(frames, kept, wanted);
    let start = || Part {
        edges: vec![NEW; steps.pairs.len()],
        places: (0..)
            .zip(&steps.pairs)
            .map(|(place, pair)| (*pair, place))
            .collect(),
        last: vec![(NONE, NONE); steps.flat.len()],
        stack: 0,
        full: false,
    };
    let parts = stacks.fold(start, |part, locations, weight, _| {
        part.stack = part.stack.wrapping_add(1);
        let mut caller = NONE;
        for &location in locations.iter().rev() {
            match steps.kinds[location as usize] {
                Kind::Nothing => {}
                Kind::Caller => caller = steps.innermost[location as usize],
                Kind::Callee => {
                    for at in steps.location(location) {
                        let step = steps.flat[at];
                        if step.inner != NONE {
                            part.count(step.inner, weight, step.inline);
                        } else if step.wanted && caller != NONE && caller != step.node {
                            let Some(place) = part.place((caller, step.node), at) else {
                                return;
                            };
                            part.count(place, weight, step.inline);
                        }
                        caller = step.node;
                    }
                }
            }
        }
    })?;
    check_calls(parts.iter().any(|part| part.full))?;
    Ok(sum(&parts))
}

/// Sums the edges of all parts.
fn sum(parts: &[Part]) -> Edges {
    let mut edges = Edges::default();
    for part in parts {
        for (pair, place) in &part.places {
            let of = part.edges[*place as usize];
            // Inner edges of locations that no stack contains are not calls.
            if of.last != 0 {
                let edge = edges.entry(*pair).or_insert(NEW);
                edge.weight = edge.weight.wrapping_add(of.weight);
                edge.inline &= of.inline;
            }
        }
    }
    edges
}

//! All stacks as one tree, side by side for each node or profile: what a
//! flame graph draws.

mod flatten;
mod grow;

use rustc_hash::FxHashMap;

use crate::bounds::{CALLS, CELLS};
use crate::error::{Error, Result};
use crate::profile::Profile;
use crate::query::Query;
use crate::tagframes;
use grow::grow;

/// Maximum number of sides; more would not fit on a page.
const SIDES: usize = 64;

/// A tree of calls, callers before callees, each caller's callees together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flame {
    pub sample_type: String,
    pub unit: String,
    /// Names of the sides: nodes, or profiles that are compared.
    pub sides: Vec<String>,
    pub names: Vec<String>,
    /// The first is the root: everything.
    pub calls: Vec<Call>,
    /// Calls that were too small to keep.
    pub elided: usize,
}

/// A call at its place in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Index in `Flame::names`.
    pub name: u32,
    /// The distance from the root.
    pub level: u32,
    /// Per side, the value of the call with all of its callees.
    pub totals: Vec<i64>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    name: u32,
    /// Its index is lower; the root is its own caller.
    caller: u32,
}

#[derive(Default)]
struct Builder {
    names: Vec<String>,
    places: FxHashMap<String, u32>,
    nodes: Vec<Node>,
    by_caller: FxHashMap<(u32, u32), u32>,
    /// Weights by node and side: few nodes are where a stack ends.
    own: FxHashMap<(u32, u32), i64>,
    /// There were more calls than the limit.
    full: bool,
}

impl Builder {
    fn name(&mut self, name: &str) -> u32 {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.to_owned());
        self.places.insert(name.to_owned(), place);
        place
    }

    fn callee(&mut self, caller: u32, name: u32) -> u32 {
        if self.nodes.len() > CALLS {
            self.full = true;
            return caller;
        }
        let next = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let place = *self.by_caller.entry((caller, name)).or_insert(next);
        if place == next {
            self.nodes.push(Node { name, caller });
        }
        place
    }

    fn add(&mut self, node: u32, side: usize, weight: i64) {
        let side = u32::try_from(side).unwrap_or(u32::MAX);
        let own = self.own.entry((node, side)).or_default();
        *own = own.wrapping_add(weight);
    }
}

impl Flame {
    /// Makes each profile a side; a single profile is split by the label
    /// `split`, if it has that label. Calls below `least` of the whole are
    /// merged into their callers.
    ///
    /// # Errors
    /// Malformed samples; a query that does not fit.
    pub fn new(
        profiles: &[(&str, &Profile)],
        query: &Query,
        split: &str,
        least: f64,
    ) -> Result<Self> {
        let Some((_, first)) = profiles.first() else {
            return Err(Error::Query("no profiles to draw".into()));
        };
        let of = first.header.sample_types[first.sample_index(query.sample_index.as_deref())?];
        let mut builder = Builder::default();
        let root = builder.name("all");
        builder.nodes.push(Node {
            name: root,
            caller: 0,
        });
        let mut sides = Vec::new();
        for (name, profile) in profiles {
            let split = (profiles.len() == 1).then_some(split);
            tagframes::with(profile, query, |profile, query| {
                grow(&mut builder, &mut sides, profile, query, name, split)
            })?;
        }
        if builder.nodes.len().saturating_mul(sides.len()) > CELLS {
            return Err(Error::TooLarge {
                what: "the number of calls on all sides",
                limit: CELLS as u64,
            });
        }
        let (calls, elided) = flatten::flatten(&builder, sides.len(), least);
        Ok(Self {
            sample_type: first.row(of.kind).into_owned(),
            unit: first.row(of.unit).into_owned(),
            sides,
            names: builder.names,
            calls,
            elided,
        })
    }
}

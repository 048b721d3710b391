//! All stacks as one tree, side by side for each node or profile: what a
//! flame graph draws.

mod direct;
mod flatten;
mod functions;
mod grow;
mod sandwich;
mod tag_sets;

use std::borrow::Cow;

use rustc_hash::FxHashMap;

use crate::bounds::{CALLS, CELLS};
use crate::error::{Error, Result};
use crate::profile::Profile;
use crate::query::Query;
use crate::tagframes;
use grow::grow;
pub use sandwich::Direction;
use tag_sets::TagSets;

/// Maximum number of sides; more would not fit on a page.
const SIDES: usize = 64;

/// A tree of calls, callers before callees, each caller's callees together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flame {
    pub sample_type: String,
    pub unit: String,
    /// Names of the sides: nodes, or profiles that are compared.
    pub sides: Vec<String>,
    /// Per side its labels as `key=value`, if each set of labels is a side.
    pub tags: Vec<Vec<String>>,
    pub names: Vec<String>,
    /// What each name counts in the whole profile, whichever calls are kept.
    pub functions: Vec<Function>,
    /// Where the function of each name begins, if the profile has it.
    pub places: Vec<Option<Place>>,
    /// The first is the root: everything.
    pub calls: Vec<Call>,
    /// Calls that were too small to keep.
    pub elided: usize,
    /// Of each function in the whole profile, if calls may be left out to limit their number.
    pub direct: DirectCalls,
}

/// What calls each function, and what it calls, in all of its places.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DirectCalls {
    pub callers: Vec<DirectCall>,
    pub callees: Vec<DirectCall>,
}

/// Calls of a function by another one, or of another one by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectCall {
    /// Index in `Flame::names`.
    pub function: u32,
    pub other: u32,
    /// If not 0, the number of others that this stands for; `other` has no meaning.
    pub small: u32,
    /// Per side.
    pub totals: Vec<i64>,
}

/// What distinguishes the sides of a single profile.
#[derive(Debug, Clone, Copy)]
pub enum Split<'a> {
    /// The value of this label.
    Label(&'a str),
    /// All labels with text.
    Tags,
}

/// Values of a function, one per side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Function {
    /// Of stacks that end in it.
    pub flat: Vec<i64>,
    /// Of stacks that contain it, each counted once.
    pub cum: Vec<i64>,
}

/// The file of a function, as the profile names it, and its first line; 0 if unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    pub line: i64,
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
    /// If not 0, the number of calls of its caller that this stands for, which were too small to keep;
    /// `name` has no meaning.
    pub small: u32,
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
    by_name: FxHashMap<String, u32>,
    /// Of each name.
    places: Vec<Option<Place>>,
    nodes: Vec<Node>,
    by_caller: FxHashMap<(u32, u32), u32>,
    /// Weights by node and side: few nodes are where a stack ends.
    own: FxHashMap<(u32, u32), i64>,
    tags: TagSets,
    /// There were more calls than the limit.
    full: bool,
}

impl Builder {
    fn name(&mut self, name: &str) -> u32 {
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        let index = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.to_owned());
        self.places.push(None);
        self.by_name.insert(name.to_owned(), index);
        index
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
    /// The text of the box of a call with this name, or of `small` small calls.
    pub fn label(&self, name: u32, small: u32) -> Cow<'_, str> {
        match small {
            0 => Cow::Borrowed(&self.names[name as usize]),
            1 => Cow::Borrowed("1 small call"),
            count => Cow::Owned(format!("{count} small calls")),
        }
    }

    /// Makes each profile a side; a single profile is split by its labels. Calls below `least` of the whole are
    /// replaced by one call of their caller.
    ///
    /// # Errors
    /// Malformed samples; a query that does not fit.
    pub fn new(
        profiles: &[(&str, &Profile)],
        query: &Query,
        split: Split<'_>,
        least: f64,
    ) -> Result<Self> {
        Self::build(profiles, query, split, 0, |_, _| least)
    }

    /// Returns [`Self::new`] with the largest calls, about as many as `most`. If some are left
    /// out, it has at most `direct` callers and as many callees of all functions.
    ///
    /// # Errors
    /// Those of [`Self::new`].
    pub fn of_largest(
        profiles: &[(&str, &Profile)],
        query: &Query,
        split: Split<'_>,
        most: usize,
        direct: usize,
    ) -> Result<Self> {
        Self::build(profiles, query, split, direct, |totals, sides| {
            flatten::share_of(totals, sides, most)
        })
    }

    fn build(
        profiles: &[(&str, &Profile)],
        query: &Query,
        split: Split<'_>,
        direct: usize,
        least: impl FnOnce(&[i64], usize) -> f64,
    ) -> Result<Self> {
        let Some((_, first)) = profiles.first() else {
            return Err(Error::Query("no profiles to draw".into()));
        };
        let of = first.header.sample_types[first.sample_index(query.sample_index.as_deref())?];
        let mut builder = Builder::default();
        // Not a function, even if one has this name.
        builder.names.push("all".to_owned());
        builder.places.push(None);
        builder.nodes.push(Node { name: 0, caller: 0 });
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
        let totals = flatten::totals(&builder, sides.len());
        let functions = functions::functions(&builder, &totals, sides.len());
        let least = least(&totals, sides.len());
        let (calls, elided) = flatten::flatten(&builder, &totals, sides.len(), least);
        let direct = if elided > 0 && direct > 0 {
            direct::direct(&builder, &totals, sides.len(), direct)
        } else {
            DirectCalls::default()
        };
        Ok(Self {
            sample_type: first.row(of.kind).into_owned(),
            unit: first.row(of.unit).into_owned(),
            tags: builder.tags.of_sides(sides.len()),
            sides,
            names: builder.names,
            functions,
            places: builder.places,
            calls,
            elided,
            direct,
        })
    }
}

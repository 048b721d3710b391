//! Stacks by name: grouped by a function of the caller, or each separately, so
//! that they can be compared across builds and times.

use pprof_engine::{
    Budget, Frames, Granularity, Info, Measure, Profile, Query, Result, Stacks, View,
    with_tag_frames,
};
use rustc_hash::FxHashMap;

/// Weights by group; the rest of the total belongs to none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    pub sample_type: String,
    pub unit: String,
    pub total: i64,
    /// In order of name.
    pub groups: Vec<(String, i64)>,
}

/// A stack of functions, the leaf first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedStack {
    /// In `NamedStacks::names`.
    pub frames: Vec<u32>,
    pub value: i64,
}

/// Every stack that the filters keep; equal stacks are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedStacks {
    pub sample_type: String,
    pub unit: String,
    pub total: i64,
    pub names: Vec<String>,
    pub stacks: Vec<NamedStack>,
}

/// Sums weights by group. `of` returns the group of a function, by its name and file;
/// of several in a stack the one nearest to the root counts.
///
/// # Errors
/// Malformed samples, a query that does not fit the profile.
pub fn groups(
    profile: &Profile,
    query: &Query,
    of: &dyn Fn(&str, &str) -> Option<String>,
) -> Result<Groups> {
    let query = &Query {
        granularity: Granularity::FileFunctions,
        ..query.clone()
    };
    with_tag_frames(profile, query, |profile, query| {
        let measure = Measure::new(profile, query)?;
        let view = View::new(profile, query)?;
        let stacks = Stacks::weigh(profile, &view, measure.weighing)?;
        let frames = Frames::new(profile, &view, query, false)?;
        let mut names: Vec<String> = Vec::new();
        let mut places: FxHashMap<String, usize> = FxHashMap::default();
        let group_of: Vec<Option<usize>> = frames
            .infos
            .iter()
            .map(|info| {
                let name = of(&info.name, &info.file)?;
                let next = names.len();
                let place = *places.entry(name.clone()).or_insert(next);
                if place == next {
                    names.push(name);
                }
                Some(place)
            })
            .collect();
        let mut sums = vec![0_i64; names.len()];
        stacks.each(&mut |locations, weight| {
            let from_root = locations.iter().rev();
            let mut groups = from_root.filter_map(|location| {
                let mut nodes = frames.of_location(*location).iter().rev();
                nodes.find_map(|node| group_of[*node as usize])
            });
            if let Some(group) = groups.next() {
                sums[group] = sums[group].wrapping_add(weight);
            }
        })?;
        let mut groups: Vec<(String, i64)> = names.into_iter().zip(sums).collect();
        groups.sort();
        Ok(Groups {
            sample_type: measure.kind,
            unit: measure.unit,
            total: stacks.total,
            groups,
        })
    })
}

/// Returns all stacks by name.
///
/// # Errors
/// Those of [`groups`].
pub fn stacks(profile: &Profile, query: &Query) -> Result<NamedStacks> {
    with_tag_frames(profile, query, |profile, query| {
        let measure = Measure::new(profile, query)?;
        let view = View::new(profile, query)?;
        let stacks = Stacks::weigh(profile, &view, measure.weighing)?;
        let frames = Frames::new(profile, &view, query, false)?;
        let mut sums: FxHashMap<Vec<u32>, i64> = FxHashMap::default();
        let (mut budget, mut fits) = (Budget::frames(), Ok(()));
        stacks.each(&mut |locations, weight| {
            let frames_of = |of: &u32| frames.of_location(*of).len();
            if fits.is_ok() {
                fits = budget.take(locations.iter().map(frames_of).sum());
            }
            if fits.is_err() {
                return;
            }
            let nodes = locations.iter().flat_map(|of| frames.of_location(*of));
            let sum = sums.entry(nodes.copied().collect()).or_default();
            *sum = sum.wrapping_add(weight);
        })?;
        fits?;
        let mut stacks: Vec<NamedStack> = sums
            .into_iter()
            .map(|(frames, value)| NamedStack { frames, value })
            .collect();
        let total = stacks
            .iter()
            .fold(0_i64, |sum, stack| sum.wrapping_add(stack.value));
        stacks.sort_by(|one, other| one.frames.cmp(&other.frames));
        Ok(NamedStacks {
            sample_type: measure.kind,
            unit: measure.unit,
            total,
            names: frames.infos.iter().map(Info::printable).collect(),
            stacks,
        })
    })
}

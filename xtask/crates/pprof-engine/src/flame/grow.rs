//! Adds samples to the tree.

use rustc_hash::FxHashMap;

use super::{Builder, Place, SIDES, Split};
use crate::bounds::check_calls;
use crate::error::Result;
use crate::frames::{Frames, Info};
use crate::labelsets::PerLabels;
use crate::profile::{Label, Profile, Sample, Span};
use crate::query::Query;
use crate::stretch::Stretches;
use crate::view::View;

/// Adds a profile's stacks to the tree.
pub(super) fn grow(
    builder: &mut Builder,
    sides: &mut Vec<String>,
    profile: &Profile,
    query: &Query,
    name: &str,
    split: Option<Split<'_>>,
) -> Result<()> {
    let value = profile.sample_index(query.sample_index.as_deref())?;
    let view = View::new(profile, query)?;
    let frames = Frames::new(profile, &view, query, false)?;
    let printable = frames.infos.iter().map(Info::printable);
    let names: Vec<u32> = printable.map(|name| builder.name(&name)).collect();
    place(builder, profile);
    let mut side_of: FxHashMap<u32, usize> = FxHashMap::default();
    let mut leaves = Leaves::new(profile, &view, &frames, names);
    let mut per_labels = PerLabels::default();
    for index in 0..profile.sample_count() {
        let mut weight = 0;
        let raw = profile.raw(index, |place, of| {
            if place == value {
                weight = of;
            }
        })?;
        if weight == 0 {
            continue;
        }
        // `None` if its samples are not wanted.
        let label = per_labels.get(profile, index, raw.labels, |labels| {
            view.keeps_labels(profile, labels).then(|| match split {
                None => 0,
                Some(Split::Label(key)) => value_of(profile, labels, key),
                Some(Split::Tags) => builder.tags.intern(profile.tags(labels)),
            })
        })?;
        let Some(label) = label else { continue };
        let Some(leaf) = leaves.of_sample(builder, index, raw.stack)? else {
            continue;
        };
        check_calls(builder.full)?;
        let side = *side_of.entry(label).or_insert_with(|| {
            // Sets of labels are named when all of them are known.
            let text = if label == 0 || matches!(split, Some(Split::Tags)) {
                name.to_owned()
            } else {
                profile.text(label).into_owned()
            };
            // Further values are added to the last side.
            if sides.len() < SIDES {
                sides.push(text);
            }
            sides.len() - 1
        });
        builder.add(leaf, side, weight);
    }
    if side_of.is_empty() {
        sides.push(name.to_owned());
    } else if matches!(split, Some(Split::Tags)) && side_of.len() == sides.len() {
        *sides = builder.tags.names(name);
    }
    Ok(())
}

/// Remembers where functions begin.
fn place(builder: &mut Builder, profile: &Profile) {
    for function in &profile.functions {
        let name = profile.row(function.name);
        if let Some(index) = builder.by_name.get(&*name)
            && profile.has_text(function.file)
        {
            builder.places[*index as usize].get_or_insert_with(|| Place {
                file: profile.row(function.file).into_owned(),
                line: function.start_line,
            });
        }
    }
}

/// The value of the label that distinguishes sides; 0 without the label.
fn value_of(profile: &Profile, labels: &[Label], key: &str) -> u32 {
    let mut labels = labels.iter();
    let label = labels.find(|label| profile.text_bytes(label.key) == key.as_bytes());
    label.map_or(0, |label| label.str)
}

/// The calls in which stacks end: equal stacks are walked once.
struct Leaves<'a> {
    profile: &'a Profile,
    view: &'a View,
    frames: &'a Frames,
    /// Per node of the frames, its name in the tree.
    names: Vec<u32>,
    stacks: Stretches,
    /// The leaf of each of `stacks`; `None` where it is not wanted.
    known: Vec<Option<u32>>,
    sample: Sample,
}

impl<'a> Leaves<'a> {
    fn new(profile: &'a Profile, view: &'a View, frames: &'a Frames, names: Vec<u32>) -> Self {
        Self {
            profile,
            view,
            frames,
            names,
            stacks: Stretches::default(),
            known: Vec::new(),
            sample: Sample::default(),
        }
    }

    /// Returns the leaf of sample `index`, whose stack is at `span` or not
    /// contiguous.
    #[inline]
    fn of_sample(
        &mut self,
        builder: &mut Builder,
        index: usize,
        stack: Option<Span>,
    ) -> Result<Option<u32>> {
        let Some(span) = stack else {
            self.profile.sample(index, &mut self.sample)?;
            return Ok(self.walk(builder));
        };
        let next = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        let (place, is_new) = self.stacks.intern(&self.profile.bytes, span, next);
        if is_new {
            let locations = &mut self.sample.locations;
            locations.clear();
            self.profile.push_locations(span, locations)?;
            let leaf = self.walk(builder);
            self.known.push(leaf);
        }
        Ok(self.known[place as usize])
    }

    /// Walks from the root to the leaf of the sample that was read.
    fn walk(&mut self, builder: &mut Builder) -> Option<u32> {
        let stack = &mut self.sample.locations;
        self.view.keeps_stack(stack).then(|| {
            let locations = stack.iter().rev();
            let nodes = locations.flat_map(|of| self.frames.of_location(*of).iter().rev());
            nodes.fold(0, |caller, node| {
                builder.callee(caller, self.names[*node as usize])
            })
        })
    }
}

//! From samples to the tree.

use rustc_hash::FxHashMap;

use super::{Builder, SIDES};
use crate::bounds::check_calls;
use crate::error::Result;
use crate::frames::{Frames, Info};
use crate::labelsets::PerLabels;
use crate::profile::{Profile, Sample};
use crate::query::Query;
use crate::stretch::Stretches;
use crate::view::View;

/// Add a profile's stacks to the tree.
pub(super) fn grow(
    builder: &mut Builder,
    sides: &mut Vec<String>,
    profile: &Profile,
    query: &Query,
    name: &str,
    split: Option<&str>,
) -> Result<()> {
    let value = profile.sample_index(query.sample_index.as_deref())?;
    let view = View::new(profile, query)?;
    let frames = Frames::of(profile, &view, query, false);
    let printable = frames.infos.iter().map(Info::printable);
    let names: Vec<u32> = printable.map(|name| builder.name(&name)).collect();
    let mut side_of: FxHashMap<u32, usize> = FxHashMap::default();
    let (mut leaves, mut leaf_of) = (Stretches::default(), Vec::new());
    let mut per_labels = PerLabels::default();
    let (mut sample, mut stack) = (Sample::default(), Vec::new());
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
        // The label that tells sides apart; none if its samples are not wanted.
        let label = per_labels.get(profile, index, raw.labels, |labels| {
            let label = split.and_then(|key| {
                let mut labels = labels.iter();
                labels.find(|label| profile.text_bytes(label.key) == key.as_bytes())
            });
            view.keeps_labels(profile, labels)
                .then(|| label.map_or(0, |label| label.str))
        })?;
        let Some(label) = label else { continue };
        let mut grow = |locations: &[u32]| {
            stack.clear();
            stack.extend_from_slice(locations);
            view.keeps_stack(&mut stack).then(|| {
                let locations = stack.iter().rev();
                let nodes = locations.flat_map(|of| frames.of_location(*of).iter().rev());
                nodes.fold(0, |caller, node| {
                    builder.callee(caller, names[*node as usize])
                })
            })
        };
        let leaf = if let Some(span) = raw.stack {
            let next = u32::try_from(leaf_of.len()).unwrap_or(u32::MAX);
            let (place, is_new) = leaves.intern(&profile.bytes, span, next);
            if is_new {
                sample.locations.clear();
                profile.push_locations(span, &mut sample.locations)?;
                leaf_of.push(grow(&sample.locations));
            }
            leaf_of[place as usize]
        } else {
            profile.sample(index, &mut sample)?;
            grow(&sample.locations)
        };
        let Some(leaf) = leaf else { continue };
        check_calls(builder.full)?;
        let side = *side_of.entry(label).or_insert_with(|| {
            let text = if label == 0 {
                name.to_owned()
            } else {
                profile.text(label).into_owned()
            };
            // What does not fit goes to the last.
            if sides.len() < SIDES {
                sides.push(text);
            }
            sides.len() - 1
        });
        builder.add(leaf, side, weight);
    }
    if side_of.is_empty() {
        sides.push(name.to_owned());
    }
    Ok(())
}

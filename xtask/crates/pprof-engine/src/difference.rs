//! A difference without merged samples: its graph consists of sums, which can be
//! computed from those of the two profiles. Merging millions of stacks only to sum them
//! would take most of the time.

use crate::error::Result;
use crate::frames::Frames;
use crate::graph::{Calls, Graph, Side, Weight, weigh_nodes};
use crate::merge::{Base, diff, head};
use crate::profile::Profile;
use crate::query::{Granularity, Measure, Query};
use crate::stacks::Weighing;
use crate::view::View;

/// A profile less a base.
#[derive(Debug)]
pub struct Difference {
    pub profile: Profile,
    pub base: Profile,
    pub how: Base,
    pub normalize: bool,
}

impl Difference {
    /// Merges the two into a profile.
    ///
    /// # Errors
    /// Profiles of different kinds; malformed samples.
    pub fn merged(self) -> Result<Profile> {
        diff(self.profile, self.base, self.how, self.normalize)
    }

    /// Returns the graph, and a profile that is the difference except for its samples.
    /// None if the result depends on merged samples: when samples cancel out, units
    /// must be converted, or filters apply.
    ///
    /// # Errors
    /// Profiles of different kinds; malformed samples; a query that does not fit.
    pub fn graph(&self, query: &Query, calls: Calls) -> Result<Option<(Profile, Graph)>> {
        if self.how != Base::Compare || self.normalize || !is_plain(query) {
            return Ok(None);
        }
        let Some((head, columns)) = head(&self.profile, &self.base)? else {
            return Ok(None);
        };
        let measure = Measure::new(&head, query)?;
        let views = [
            View::new(&self.profile, query)?,
            View::new(&self.base, query)?,
        ];
        let sides = [&self.profile, &self.base];
        let mut frames = [
            Frames::new(sides[0], &views[0], query, false)?,
            Frames::new(sides[1], &views[1], query, false)?,
        ];
        let nameless = |of: &Frames| of.infos.iter().any(|info| info.name.is_empty());
        if !views.iter().all(View::is_plain) || frames.iter().any(nameless) {
            return Ok(None);
        }
        let [ours, theirs] = &mut frames;
        ours.join(theirs);
        let nodes = ours.infos.len();
        let mut weighed = Vec::new();
        for place in 0..2 {
            let weighing = Weighing {
                value: columns[place][measure.weighing.value],
                ..measure.weighing
            };
            let (profile, view) = (sides[place], &views[place]);
            let (stacks, weights) = weigh_nodes(profile, view, weighing, &frames[place], nodes)?;
            // Negative values could cancel out positive ones.
            if stacks.negative || stacks.marks_base {
                return Ok(None);
            }
            weighed.push((stacks, weights));
        }
        let mut weights = Vec::with_capacity(nodes);
        for (ours, theirs) in weighed[0].1.iter().zip(&weighed[1].1) {
            weights.push(Weight {
                flat: ours.flat.wrapping_sub(theirs.flat),
                cum: ours.cum.wrapping_sub(theirs.cum),
                ..Weight::default()
            });
        }
        // Percentages are of the base, if it has anything.
        let total = match weighed[1].0.total {
            0 => weighed[0].0.total,
            total => total,
        };
        let sides = weighed.into_iter().zip(frames);
        let sides: Vec<Side<'_>> = sides
            .map(|((stacks, _), frames)| Side { stacks, frames })
            .collect();
        let graph = Graph::of_sides(&sides, weights, total, query, calls)?;
        Ok(Some((head, graph)))
    }
}

/// Whether no filter is set, and the question is about names.
fn is_plain(query: &Query) -> bool {
    let filters = [
        &query.focus,
        &query.ignore,
        &query.hide,
        &query.show,
        &query.show_from,
        &query.prune_from,
        &query.tagfocus,
        &query.tagignore,
        &query.tagroot,
        &query.tagleaf,
    ];
    let is_set = |filter: &&Option<String>| filter.as_ref().is_some_and(|of| !of.is_empty());
    !filters.iter().any(is_set) && !query.mean && query.granularity != Granularity::Addresses
}

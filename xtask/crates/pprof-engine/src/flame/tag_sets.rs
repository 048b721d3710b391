//! Sets of labels as sides of a flame graph.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

/// The sets that were found, in the order of their sides.
#[derive(Debug, Default)]
pub(super) struct TagSets {
    sets: Vec<Vec<String>>,
    places: FxHashMap<Vec<String>, u32>,
}

impl TagSets {
    pub(super) fn intern(&mut self, tags: Vec<String>) -> u32 {
        if let Some(place) = self.places.get(&tags) {
            return *place;
        }
        let place = u32::try_from(self.sets.len()).unwrap_or(u32::MAX);
        self.sets.push(tags.clone());
        self.places.insert(tags, place);
        place
    }

    /// The names of the sides: their nodes if these differ, else the labels that not all
    /// have; `alone` without any.
    pub(super) fn names(&self, alone: &str) -> Vec<String> {
        let node = |tags: &Vec<String>| {
            let mut nodes = tags.iter().filter_map(|tag| tag.strip_prefix("node="));
            nodes.next().map(str::to_owned)
        };
        let nodes: Option<Vec<String>> = self.sets.iter().map(node).collect();
        if let Some(nodes) = nodes
            && nodes.iter().collect::<BTreeSet<_>>().len() == nodes.len()
        {
            return nodes;
        }
        let is_common = |tag: &&String| self.sets.iter().all(|tags| tags.contains(tag));
        let named = self.sets.iter().map(|tags| {
            let own: Vec<&str> = tags
                .iter()
                .filter(|tag| !is_common(tag))
                .map(String::as_str)
                .collect();
            if own.is_empty() {
                alone.to_owned()
            } else {
                own.join(" ")
            }
        });
        named.collect()
    }

    /// The sets of all sides; empty if sides are not sets.
    pub(super) fn of_sides(&self, sides: usize) -> Vec<Vec<String>> {
        if self.sets.len() == sides {
            self.sets.clone()
        } else {
            Vec::new()
        }
    }
}

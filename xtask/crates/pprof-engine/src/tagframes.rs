//! `tagroot` and `tagleaf`: labels as frames at either end of each stack.

use rustc_hash::FxHashMap;

use crate::error::{Error, Result};
use crate::ids::Ids;
use crate::profile::{Function, Line, Location, NO_MAPPING, Profile, Sample, Samples, Span, Text};
use crate::query::Query;
use crate::stretch::Stretches;
use crate::table::{Table, put_stack};
use crate::unit;
use crate::view::View;
use crate::wire::put_varint;

/// Runs `ask` on the profile, or on a copy with the frames that the query adds.
///
/// # Errors
/// Malformed samples; errors of `ask`.
pub fn with<T>(
    profile: &Profile,
    query: &Query,
    ask: impl FnOnce(&Profile, &Query) -> Result<T>,
) -> Result<T> {
    let roots = keys(query.tagroot.as_deref());
    let leaves = keys(query.tagleaf.as_deref());
    if roots.is_empty() && leaves.is_empty() {
        return ask(profile, query);
    }
    // The profile's own rules are about its frames, not about these.
    let view = View::pruned(profile, query)?;
    let built = Builder::new(profile, &view, &query.unit).build(&roots, &leaves)?;
    ask(&built, query)
}

fn keys(list: Option<&str>) -> Vec<&str> {
    let keys = list.unwrap_or_default().split(',');
    // Reversed: the first key is nearest to the root.
    keys.filter(|key| !key.is_empty()).rev().collect()
}

struct Builder<'a> {
    old: &'a Profile,
    view: &'a View,
    new: Profile,
    /// The largest of the profile.
    location_id: u64,
    function_id: u64,
    unit: &'a str,
    table: Table,
    stacks: Stretches,
    label_sets: FxHashMap<Vec<crate::profile::Label>, u32>,
    frames: FxHashMap<(String, String), u32>,
}

impl<'a> Builder<'a> {
    fn new(old: &'a Profile, view: &'a View, unit: &'a str) -> Self {
        let mut new = Profile {
            samples: Samples::Wire(Vec::new()),
            ..old.clone()
        };
        if new.strings.is_empty() {
            new.strings.push(Span::new(0, 0));
        }
        (new.header.drop_frames, new.header.keep_frames) = (0, 0);
        for (location, lines) in new.locations.iter_mut().zip(view.ranges()) {
            location.lines = *lines;
        }
        let locations = old.locations.iter().map(|of| of.id);
        let functions = old.functions.iter().map(|of| of.id);
        Self {
            old,
            view,
            new,
            location_id: locations.max().unwrap_or(0),
            function_id: functions.max().unwrap_or(0),
            unit,
            table: Table {
                width: old.header.sample_types.len(),
                ..Table::default()
            },
            stacks: Stretches::default(),
            label_sets: FxHashMap::default(),
            frames: FxHashMap::default(),
        }
    }

    fn build(mut self, roots: &[&str], leaves: &[&str]) -> Result<Profile> {
        let mut sample = Sample::default();
        let (mut ids, mut stack) = (Vec::new(), Vec::new());
        for index in 0..self.old.sample_count() {
            self.old.sample(index, &mut sample)?;
            self.view.cut_pruned(&mut sample.locations);
            ids.clear();
            let mut places = self.places(leaves, &sample)?;
            places.extend_from_slice(&sample.locations);
            places.extend(self.places(roots, &sample)?);
            for place in places {
                // Ids of the new profile are indices plus one.
                put_varint(&mut ids, u64::from(place) + 1);
            }
            stack.clear();
            put_stack(&mut stack, &ids);
            let place = self.stack(&stack)?;
            self.table.places.push(place);
            self.table.values.extend_from_slice(&sample.values);
            let next = u32::try_from(self.table.label_sets.len()).unwrap_or(u32::MAX);
            let set = *self.label_sets.entry(sample.labels.clone()).or_insert(next);
            if set == next {
                self.table.label_sets.push(sample.labels.clone());
            }
            self.table.labels.push(set);
        }
        let ids: Vec<u64> = (1..=self.new.locations.len() as u64).collect();
        self.new.location_ids = Ids::new("location", &ids)?;
        self.new.samples = Samples::Table(self.table);
        Ok(self.new)
    }

    fn stack(&mut self, stack: &[u8]) -> Result<u32> {
        if let Some(place) = self.stacks.get(&self.new.bytes, stack) {
            return Ok(place);
        }
        let place = u32::try_from(self.table.stacks.len()).unwrap_or(u32::MAX);
        let span = self.append(stack)?;
        self.table.stacks.push(span);
        self.stacks.intern(&self.new.bytes, span, place);
        Ok(place)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<Span> {
        let start = self.new.bytes.len();
        if u32::try_from(start + bytes.len()).is_err() {
            return Err(Error::TooLarge {
                what: "the profile with its labels as frames",
                limit: u64::from(u32::MAX),
            });
        }
        self.new.bytes.extend_from_slice(bytes);
        Ok(Span::new(start, self.new.bytes.len()))
    }

    fn places(&mut self, keys: &[&str], sample: &Sample) -> Result<Vec<u32>> {
        let mut places = Vec::with_capacity(keys.len());
        for key in keys {
            let name = self.values(key, sample).join(",");
            places.push(self.frame(name, key)?);
        }
        Ok(places)
    }

    fn values(&self, key: &str, sample: &Sample) -> Vec<String> {
        let of_key =
            |label: &&crate::profile::Label| self.old.text_bytes(label.key) == key.as_bytes();
        let labels: Vec<_> = sample.labels.iter().filter(of_key).collect();
        let has_unit = labels.iter().any(|label| label.unit != 0);
        let strings = labels.iter().filter(|label| label.str != 0);
        let numbers = labels.iter().filter(|label| label.str == 0);
        let mut values: Vec<String> = strings
            .map(|label| self.old.text(label.str).into_owned())
            .collect();
        values.extend(numbers.map(|label| {
            if has_unit {
                unit::label(label.num, &self.old.text(label.unit), self.unit)
            } else {
                unit::label(label.num, "", "")
            }
        }));
        values
    }

    fn text(&mut self, text: &str) -> Result<Text> {
        let span = self.append(text.as_bytes())?;
        self.new.strings.push(span);
        Ok(u32::try_from(self.new.strings.len() - 1).unwrap_or(0))
    }

    /// Returns the location of a frame: its function is the values, its file
    /// the key.
    fn frame(&mut self, name: String, key: &str) -> Result<u32> {
        let known = (name, key.to_owned());
        if let Some(place) = self.frames.get(&known) {
            return Ok(*place);
        }
        let name = if known.0.is_empty() {
            0
        } else {
            self.text(&known.0)?
        };
        let file = self.text(key)?;
        let next = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let (function, line) = (next(self.new.functions.len()), next(self.new.lines.len()));
        let place = next(self.new.locations.len());
        self.function_id = self.function_id.saturating_add(1);
        self.location_id = self.location_id.saturating_add(1);
        self.new.functions.push(Function {
            id: self.function_id,
            name,
            system_name: 0,
            file,
            start_line: 0,
        });
        self.new.lines.push(Line {
            function,
            line: 0,
            column: 0,
        });
        self.new.locations.push(Location {
            id: self.location_id,
            mapping: NO_MAPPING,
            address: 0,
            lines: (line, line + 1),
            folded: false,
        });
        self.frames.insert(known, place);
        Ok(place)
    }
}

//! Builds a profile's messages, entry by entry.

use std::collections::hash_map::Entry;

use pprof_engine::proto::{Function, Label, Line, Location, Mapping, Profile, Sample, ValueType};
use pprof_engine::{Error, Limits, Result};
use rustc_hash::{FxHashMap, FxHashSet};

/// Growing tables, with each entry once.
pub(super) struct Builder {
    profile: Profile,
    limits: Limits,
    strings: FxHashMap<String, i64>,
    functions: FxHashMap<(i64, i64), u64>,
    addresses: FxHashMap<u64, u64>,
    places: FxHashMap<(u64, i64), u64>,
    samples: FxHashMap<(Vec<u64>, Vec<Label>), usize>,
    /// Locations whose name is known to be missing.
    pub(super) nameless: FxHashSet<u64>,
}

impl Builder {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            profile: Profile {
                string_table: vec![Vec::new()],
                ..Profile::default()
            },
            limits,
            strings: FxHashMap::from_iter([(String::new(), 0)]),
            functions: FxHashMap::default(),
            addresses: FxHashMap::default(),
            places: FxHashMap::default(),
            samples: FxHashMap::default(),
            nameless: FxHashSet::default(),
        }
    }

    pub(super) fn text(&mut self, text: &str) -> i64 {
        if let Some(place) = self.strings.get(text) {
            return *place;
        }
        let place = i64::try_from(self.profile.string_table.len()).unwrap_or(0);
        self.profile.string_table.push(text.as_bytes().to_vec());
        self.strings.insert(text.to_owned(), place);
        place
    }

    /// Kinds with their units; the last is the default.
    pub(super) fn kinds(&mut self, kinds: &[(&str, &str)]) {
        for kind in kinds {
            let kind = self.kind(*kind);
            self.profile.sample_type.push(kind);
        }
    }

    fn kind(&mut self, (kind, unit): (&str, &str)) -> ValueType {
        ValueType {
            r#type: self.text(kind),
            unit: self.text(unit),
        }
    }

    pub(super) fn period(&mut self, kind: (&str, &str), period: i64) {
        self.profile.period_type = Some(self.kind(kind));
        self.profile.period = period;
    }

    pub(super) fn duration(&mut self, nanos: i64) {
        self.profile.duration_nanos = nanos;
    }

    pub(super) fn frames(&mut self, drop: &str, keep: &str) {
        self.profile.drop_frames = self.text(drop);
        self.profile.keep_frames = self.text(keep);
    }

    /// The location of an address.
    pub(super) fn address(&mut self, address: u64) -> u64 {
        let next = self.profile.location.len() as u64 + 1;
        match self.addresses.entry(address) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                self.profile.location.push(Location {
                    id: next,
                    // As in pprof: without mappings, one mapping contains all
                    // addresses.
                    mapping_id: u64::from(address != 0),
                    address,
                    ..Location::default()
                });
                *entry.insert(next)
            }
        }
    }

    fn function(&mut self, name: &str, file: &str) -> u64 {
        let (name, file) = (self.text(name), self.text(file));
        let next = self.profile.function.len() as u64 + 1;
        match self.functions.entry((name, file)) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                self.profile.function.push(Function {
                    id: next,
                    name,
                    system_name: name,
                    filename: file,
                    ..Function::default()
                });
                *entry.insert(next)
            }
        }
    }

    /// Names the location of an address, once.
    pub(super) fn name(&mut self, location: u64, name: &str, file: &str, line: i64) {
        let function_id = self.function(name, file);
        let place = usize::try_from(location - 1).unwrap_or(usize::MAX);
        if let Some(location) = self.profile.location.get_mut(place)
            && location.line.is_empty()
        {
            location.line = self::line(function_id, line);
        }
    }

    pub(super) fn is_named(&self, location: u64) -> bool {
        let place = usize::try_from(location - 1).unwrap_or(usize::MAX);
        let location = self.profile.location.get(place);
        location.is_some_and(|location| !location.line.is_empty())
    }

    /// Returns the location of an address that occurs in a stack.
    pub(super) fn known(&self, address: u64) -> Option<u64> {
        self.addresses.get(&address).copied()
    }

    /// The location of a place in the source without a known address.
    pub(super) fn place(&mut self, name: &str, file: &str, line: i64) -> u64 {
        let function_id = self.function(name, file);
        let next = self.profile.location.len() as u64 + 1;
        match self.places.entry((function_id, line)) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                self.profile.location.push(Location {
                    id: next,
                    line: self::line(function_id, line),
                    ..Location::default()
                });
                *entry.insert(next)
            }
        }
    }

    /// A label: text, or a number with its unit.
    pub(super) fn label(&mut self, key: &str, value: &str) -> Label {
        Label {
            key: self.text(key),
            str: self.text(value),
            ..Label::default()
        }
    }

    pub(super) fn number(&mut self, key: &str, num: i64, unit: &str) -> Label {
        Label {
            key: self.text(key),
            num,
            num_unit: self.text(unit),
            ..Label::default()
        }
    }

    /// Adds a sample unchanged.
    ///
    /// # Errors
    /// More than the limits.
    pub(super) fn sample(
        &mut self,
        stack: Vec<u64>,
        value: Vec<i64>,
        label: Vec<Label>,
    ) -> Result<()> {
        if self.profile.sample.len() as u64 >= self.limits.entries {
            return Err(Error::TooLarge {
                what: "samples",
                limit: self.limits.entries,
            });
        }
        self.profile.sample.push(Sample {
            location_id: stack,
            value,
            label,
        });
        Ok(())
    }

    /// Sets the labels of the last sample.
    pub(super) fn label_last(&mut self, labels: Vec<Label>) {
        if let Some(last) = self.profile.sample.last_mut() {
            last.label.extend(labels);
        }
    }

    /// Adds 1 to the sample of the same stack and labels.
    ///
    /// # Errors
    /// Those of [`Self::sample`].
    pub(super) fn count(&mut self, stack: Vec<u64>, label: Vec<Label>) -> Result<()> {
        let next = self.profile.sample.len();
        let place = *self
            .samples
            .entry((stack.clone(), label.clone()))
            .or_insert(next);
        if place == next {
            return self.sample(stack, vec![1], label);
        }
        self.profile.sample[place].value[0] += 1;
        Ok(())
    }

    /// The stacks so far.
    pub(super) fn stacks(&self) -> Vec<Vec<u64>> {
        let samples = self.profile.sample.iter();
        samples.map(|sample| sample.location_id.clone()).collect()
    }

    pub(super) fn finish(mut self) -> Profile {
        let named = !self.profile.function.is_empty();
        if !self.addresses.is_empty() {
            // A mapping that contains all addresses.
            self.profile.mapping.push(Mapping {
                id: 1,
                memory_limit: u64::MAX,
                has_functions: named,
                has_filenames: named,
                has_line_numbers: named,
                ..Mapping::default()
            });
        }
        self.profile
    }
}

fn line(function_id: u64, line: i64) -> Vec<Line> {
    vec![Line {
        function_id,
        line,
        ..Line::default()
    }]
}

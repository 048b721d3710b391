//! Merges samples of several profiles into one table.

use hashbrown::HashTable;
use rustc_hash::FxHashMap;

use super::Source;
use super::tables::{self, Tables};
use crate::bounds::LABELS;
use crate::error::{Error, Result};
use crate::ids::Ids;
use crate::labelsets::PerLabels;
use crate::profile::{Header, Label, Profile, Sample, Samples, Span, Text};
use crate::stacks::repeats;
use crate::stretch::Stretches;
use crate::table::{Table, put_stack};
use crate::wire::put_varint;

#[derive(Default)]
pub(super) struct Merger {
    pub(super) tables: Tables,
    table: Table,
    /// Indices in `table.stacks`.
    stacks: Stretches,
    /// Kept to save allocations: ids, and the stack that they are.
    ids: Vec<u8>,
    bytes: Vec<u8>,
    /// Indices of samples by stack and labels.
    seen: HashTable<u32>,
    label_sets: FxHashMap<Vec<Label>, u32>,
    /// The number of labels in them.
    label_count: usize,
}

impl Merger {
    /// A merger for `width` sample types.
    pub(super) fn new(width: usize) -> Self {
        let mut merger = Self::default();
        merger.table.width = width;
        merger.tables.clear();
        merger
    }

    /// `columns` has, for each type of the result, its column in the source and the
    /// factor.
    pub(super) fn add(&mut self, source: &Source, columns: &[(usize, f64)]) -> Result<()> {
        let profile = &source.profile;
        let mut places = tables::Places::new(profile);
        self.tables.first_mapping(profile, &mut places);
        let added: Vec<Label> = source
            .labels
            .iter()
            .map(|(key, value)| Label {
                key: self.tables.text(key.as_bytes()),
                str: self.tables.text(value.as_bytes()),
                num: 0,
                unit: 0,
            })
            .collect();
        let ratios: Vec<f64> = columns.iter().map(|(_, r)| r * source.factor).collect();
        // The stack in the result for each stack of the source, by its bytes.
        let mut known = repeats(profile)?.then(Stretches::default);
        let mut sets = PerLabels::default();
        let mut sample = Sample::default();
        let mut theirs = vec![0; profile.header.sample_types.len()];
        let mut values = vec![0; columns.len()];
        for index in 0..profile.sample_count() {
            let raw = profile.raw(index, |place, value| {
                if let Some(slot) = theirs.get_mut(place) {
                    *slot = value;
                }
            })?;
            for ((value, (column, _)), ratio) in values.iter_mut().zip(columns).zip(&ratios) {
                *value = multiply(theirs[*column], *ratio);
            }
            if values.iter().all(|value| *value == 0) {
                continue;
            }
            let stack = self.stack(
                profile,
                index,
                raw.stack,
                &mut sample,
                &mut places,
                &mut known,
            )?;
            let labels = sets.get(profile, index, raw.labels, |labels| {
                self.labels(profile, labels, &added, &mut places)
            })?;
            if self.label_count > LABELS {
                return Err(Error::TooLarge {
                    what: "the number of labels",
                    limit: LABELS as u64,
                });
            }
            self.insert(stack, labels, &values);
        }
        Ok(())
    }

    /// Returns the index in the result of a source's stack.
    fn stack(
        &mut self,
        profile: &Profile,
        index: usize,
        span: Option<Span>,
        sample: &mut Sample,
        places: &mut tables::Places,
        known: &mut Option<Stretches>,
    ) -> Result<u32> {
        let Some(span) = span else {
            profile.sample(index, sample)?;
            return self.own_stack(profile, &sample.locations, places);
        };
        let before = known
            .as_ref()
            .and_then(|known| known.get(&profile.bytes, of_span(&profile.bytes, span)));
        if let Some(place) = before {
            return Ok(place);
        }
        sample.locations.clear();
        profile.push_locations(span, &mut sample.locations)?;
        let place = self.own_stack(profile, &sample.locations, places)?;
        if let Some(known) = known {
            known.intern(&profile.bytes, span, place);
        }
        Ok(place)
    }

    fn own_stack(
        &mut self,
        profile: &Profile,
        locations: &[u32],
        places: &mut tables::Places,
    ) -> Result<u32> {
        self.ids.clear();
        for location in locations {
            let place = self.tables.location(profile, *location, places);
            put_varint(&mut self.ids, u64::from(place) + 1);
        }
        self.bytes.clear();
        put_stack(&mut self.bytes, &self.ids);
        if let Some(place) = self.stacks.get(&self.tables.bytes, &self.bytes) {
            return Ok(place);
        }
        let place = u32::try_from(self.table.stacks.len()).unwrap_or(u32::MAX);
        let span = self.tables.append(&self.bytes)?;
        self.table.stacks.push(span);
        self.stacks.intern(&self.tables.bytes, span, place);
        Ok(place)
    }

    fn labels(
        &mut self,
        profile: &Profile,
        labels: &[Label],
        added: &[Label],
        places: &mut tables::Places,
    ) -> u32 {
        let tables = &mut self.tables;
        let mut text = |text: Text| tables.own_text(profile, text, places);
        let mut set: Vec<Label> = labels
            .iter()
            .map(|label| Label {
                key: text(label.key),
                str: text(label.str),
                num: label.num,
                unit: text(label.unit),
            })
            .collect();
        set.retain(|label| added.iter().all(|added| added.key != label.key));
        set.extend_from_slice(added);
        // The order of different keys has no meaning, that of one key's values has.
        set.sort_by_key(|label| (label.str == 0, label.key));
        if let Some(place) = self.label_sets.get(&set) {
            return *place;
        }
        let place = u32::try_from(self.table.label_sets.len()).unwrap_or(u32::MAX);
        self.label_count += set.len();
        self.table.label_sets.push(set.clone());
        self.label_sets.insert(set, place);
        place
    }

    fn insert(&mut self, stack: u32, labels: u32, values: &[i64]) {
        let table = &mut self.table;
        let found = self.seen.find(hash(stack, labels), |&place| {
            let place = place as usize;
            table.places[place] == stack && table.labels[place] == labels
        });
        if let Some(&place) = found {
            let from = place as usize * table.width;
            let sums = &mut table.values[from..from + table.width];
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum = sum.wrapping_add(*value);
            }
            return;
        }
        let place = u32::try_from(table.len()).unwrap_or(u32::MAX);
        table.places.push(stack);
        table.values.extend_from_slice(values);
        table.labels.push(labels);
        self.seen
            .insert_unique(hash(stack, labels), place, |&place| {
                hash(table.places[place as usize], table.labels[place as usize])
            });
    }

    pub(super) fn has_zero(&self) -> bool {
        let mut samples = self.table.values.chunks(self.table.width.max(1));
        samples.any(|values| values.iter().all(|value| *value == 0))
    }

    pub(super) fn finish(self, header: Header) -> Result<Profile> {
        let tables = self.tables;
        let ids: Vec<u64> = (1..=tables.locations.len() as u64).collect();
        Ok(Profile {
            location_ids: Ids::new("location", &ids)?,
            bytes: tables.bytes,
            strings: tables.strings,
            header,
            functions: tables.functions,
            mappings: tables.mappings,
            locations: tables.locations,
            lines: tables.lines,
            samples: Samples::Table(self.table),
        })
    }
}

fn of_span(bytes: &[u8], span: Span) -> &[u8] {
    &bytes[span.start as usize..span.end()]
}

fn hash(stack: u32, labels: u32) -> u64 {
    let both = u64::from(stack) << 32 | u64::from(labels);
    // The hash table uses the highest and the lowest bits.
    both.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32) ^ both
}

fn multiply(value: i64, ratio: f64) -> i64 {
    #[allow(clippy::float_cmp)] // exactly what was set
    if ratio == 1.0 {
        return value;
    }
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // so does pprof
    let scaled = (value as f64 * ratio).round() as i64;
    scaled
}

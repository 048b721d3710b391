//! Reads samples: complete ones, or only the parts that a query needs.

pub(crate) mod shape;

use crate::error::{Error, Result};
use crate::ids::{Ids, in_sequence};
use crate::labelsets::PerLabels;
use crate::profile::{Label, Profile, Sample, Samples, Span};
use crate::wire::{Field, Reader, numbers, signed};
pub(crate) use shape::PACKED_STACK;

/// A sample whose stack and labels have not been read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Raw {
    /// The fields of the stack; `None` if they are not contiguous.
    pub(crate) stack: Option<Span>,
    pub(crate) labels: RawLabels,
}

/// The location of a sample's labels.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RawLabels {
    /// The label fields.
    Wire(Span),
    /// An index in `Table::label_sets`.
    Set(u32),
    /// Between other fields.
    Apart,
}

impl Profile {
    /// The number of samples, including those with only zeros.
    pub fn sample_count(&self) -> usize {
        match &self.samples {
            Samples::Wire(spans) => spans.len(),
            Samples::Table(table) => table.len(),
        }
    }

    /// Returns the texts of a label's key in all samples, in order.
    ///
    /// # Errors
    /// Malformed samples.
    pub fn label_values(&self, key: &str) -> Result<Vec<String>> {
        let mut found = std::collections::BTreeSet::new();
        let mut asked = PerLabels::default();
        for index in 0..self.sample_count() {
            let raw = self.raw(index, |_, _| {})?;
            asked.get(self, index, raw.labels, |labels| {
                let of_key = |label: &&Label| self.text_bytes(label.key) == key.as_bytes();
                found.extend(labels.iter().filter(of_key).map(|label| label.str));
            })?;
        }
        let texts = found.into_iter().filter(|text| *text != 0);
        let mut texts: Vec<String> = texts.map(|text| self.text(text).into_owned()).collect();
        texts.sort();
        texts.dedup();
        Ok(texts)
    }

    /// Returns the number of distinct sets of labels with text; `None` if there are more
    /// than `most`.
    ///
    /// # Errors
    /// Malformed samples.
    pub fn count_tags(&self, most: usize) -> Result<Option<usize>> {
        let mut found = std::collections::BTreeSet::new();
        let mut asked = PerLabels::default();
        for index in 0..self.sample_count() {
            let raw = self.raw(index, |_, _| {})?;
            asked.get(self, index, raw.labels, |labels| {
                found.insert(self.tags(labels));
            })?;
            if found.len() > most {
                return Ok(None);
            }
        }
        Ok(Some(found.len()))
    }

    /// The labels with text as `key=value`, sorted.
    pub(crate) fn tags(&self, labels: &[Label]) -> Vec<String> {
        let labels = labels.iter().filter(|label| label.str != 0);
        let mut tags: Vec<String> = labels
            .map(|label| format!("{}={}", self.row(label.key), self.row(label.str)))
            .collect();
        tags.sort();
        tags
    }

    /// Reads one sample.
    ///
    /// # Errors
    /// A malformed message, an unknown location, a wrong number of values.
    pub fn sample(&self, index: usize, sample: &mut Sample) -> Result<()> {
        let Sample {
            locations,
            values,
            labels,
        } = sample;
        locations.clear();
        values.clear();
        values.resize(self.header.sample_types.len(), 0);
        labels.clear();
        let raw = self.raw(index, |place, value| {
            if let Some(slot) = values.get_mut(place) {
                *slot = value;
            }
        })?;
        self.push_stack(index, raw, locations)?;
        match raw.labels {
            RawLabels::Wire(span) => self.push_labels(span, labels)?,
            RawLabels::Set(_) => {
                if let Samples::Table(table) = &self.samples {
                    labels.extend_from_slice(table.labels(index));
                }
            }
            RawLabels::Apart => {
                if let Samples::Wire(spans) = &self.samples {
                    self.push_labels(spans[index], labels)?;
                }
            }
        }
        Ok(())
    }

    /// Passes a sample's values with their indices to `value`, and returns the
    /// spans of the rest. An index may occur twice: the last value counts.
    #[inline]
    pub(crate) fn raw(&self, index: usize, mut value: impl FnMut(usize, i64)) -> Result<Raw> {
        let spans = match &self.samples {
            Samples::Wire(spans) => spans,
            Samples::Table(table) => {
                for (place, of) in table.values(index).iter().enumerate() {
                    value(place, *of);
                }
                return Ok(Raw {
                    stack: Some(table.stack(index)),
                    labels: RawLabels::Set(table.labels[index]),
                });
            }
        };
        let span = spans[index];
        let bytes = &self.bytes[span.start as usize..span.end()];
        let want = self.header.sample_types.len();
        match shape::raw(bytes, span.start as usize, &mut value) {
            Some((raw, got)) if got == want => Ok(raw),
            _ => self.raw_slowly(span, value),
        }
    }

    /// Reads encodings that are legal but unusual, with errors.
    #[cold]
    fn raw_slowly(&self, span: Span, mut value: impl FnMut(usize, i64)) -> Result<Raw> {
        let mut reader = Reader::new(&self.bytes, span.start as usize, span.end());
        let mut got = 0;
        while let Some(field) = reader.field()? {
            match field {
                Field::Varint(2, _) | Field::Bytes(2, ..) => {
                    numbers(&self.bytes, field, |of| {
                        value(got, signed(of));
                        got += 1;
                    })?;
                }
                _ => {}
            }
        }
        let want = self.header.sample_types.len();
        if got != want {
            return Err(Error::at(
                span.start as usize,
                format!("a sample has {got} values, the profile {want} sample types"),
            ));
        }
        Ok(Raw {
            stack: None,
            labels: RawLabels::Apart,
        })
    }

    /// Adds the stack of a sample that was read in part, as indices.
    pub(crate) fn push_stack(&self, index: usize, raw: Raw, into: &mut Vec<u32>) -> Result<()> {
        match raw.stack {
            Some(stack) => self.push_locations(stack, into),
            None => self.push_apart(index, into),
        }
    }

    fn push_apart(&self, index: usize, into: &mut Vec<u32>) -> Result<()> {
        let Samples::Wire(spans) = &self.samples else {
            return Ok(());
        };
        let span = spans[index];
        let mut reader = Reader::new(&self.bytes, span.start as usize, span.end());
        while let Some(field) = reader.field()? {
            if let Field::Varint(1, _) | Field::Bytes(1, ..) = field {
                let mut unknown = None;
                numbers(&self.bytes, field, |id| match self.location_ids.get(id) {
                    Some(place) => into.push(place),
                    None => unknown = Some(id),
                })?;
                if let Some(id) = unknown {
                    return Err(self::unknown(id, span));
                }
            }
        }
        Ok(())
    }

    /// Converts a stack's ids to indices.
    #[inline]
    pub(crate) fn push_locations(&self, stack: Span, into: &mut Vec<u32>) -> Result<()> {
        let bytes = &self.bytes[stack.start as usize..stack.end()];
        into.reserve(bytes.len());
        let pushed = match &self.location_ids {
            Ids::Sequence(count) => shape::push(bytes, into, |id| in_sequence(id, *count)),
            ids => shape::push(bytes, into, |id| ids.get(id)),
        };
        pushed.map_err(|id| match id {
            Some(id) => unknown(id, stack),
            None => Error::at(stack.start as usize, "truncated number"),
        })
    }

    pub(crate) fn push_labels(&self, span: Span, into: &mut Vec<Label>) -> Result<()> {
        let mut reader = Reader::new(&self.bytes, span.start as usize, span.end());
        while let Some(field) = reader.field()? {
            if let Field::Bytes(3, start, end) = field {
                let label = self.label(start, end)?;
                // As in pprof, a label without a value is ignored.
                if label.str != 0 || label.num != 0 || label.unit != 0 {
                    into.push(label);
                }
            }
        }
        Ok(())
    }

    /// Reads the labels of a sample that was read in part.
    pub(crate) fn labels(&self, index: usize, raw: RawLabels, into: &mut Vec<Label>) -> Result<()> {
        into.clear();
        match (raw, &self.samples) {
            (RawLabels::Wire(span), _) => self.push_labels(span, into),
            (_, Samples::Table(table)) => {
                into.extend_from_slice(table.labels(index));
                Ok(())
            }
            (_, Samples::Wire(spans)) => self.push_labels(spans[index], into),
        }
    }

    pub(crate) fn label(&self, start: usize, end: usize) -> Result<Label> {
        let mut reader = Reader::new(&self.bytes, start, end);
        let mut label = Label {
            key: 0,
            str: 0,
            num: 0,
            unit: 0,
        };
        while let Some(field) = reader.field()? {
            match field {
                Field::Varint(1, value) => label.key = self.check_text(value, start)?,
                Field::Varint(2, value) => label.str = self.check_text(value, start)?,
                Field::Varint(3, value) => label.num = signed(value),
                Field::Varint(4, value) => label.unit = self.check_text(value, start)?,
                _ => {}
            }
        }
        Ok(label)
    }
}

fn unknown(id: u64, whose: Span) -> Error {
    Error::at(
        whose.start as usize,
        format!("a sample names location {id}, which is not in the profile"),
    )
}

//! Valid profiles out: what other tools open. Written as profile.proto's
//! fields directly, in their order: a large profile is never held as messages.

use std::io::Write;

use crate::error::{Error, Result};
use crate::profile::{Header, Location, Profile, Sample, ValueType};
use crate::wire::put_varint;

/// A message's fields as they are written.
#[derive(Debug, Default)]
pub struct Fields(Vec<u8>);

impl Fields {
    /// A number; as proto3 has it, zero is not written.
    pub fn number(&mut self, field: u64, value: u64) {
        if value != 0 {
            put_varint(&mut self.0, field << 3);
            put_varint(&mut self.0, value);
        }
    }

    /// As [`Self::number`].
    pub fn signed(&mut self, field: u64, value: i64) {
        self.number(field, value.cast_unsigned());
    }

    fn text(&mut self, field: u64, text: u32) {
        self.number(field, u64::from(text));
    }

    pub fn bytes(&mut self, field: u64, bytes: &[u8]) {
        put_varint(&mut self.0, field << 3 | 2);
        put_varint(&mut self.0, bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Numbers in one field; none is no field.
    pub fn packed(&mut self, field: u64, numbers: impl Iterator<Item = u64>) {
        let mut packed = Vec::new();
        self.packed_by(field, numbers, &mut packed);
    }

    fn packed_by(&mut self, field: u64, numbers: impl Iterator<Item = u64>, spare: &mut Vec<u8>) {
        spare.clear();
        numbers.for_each(|number| put_varint(spare, number));
        if !spare.is_empty() {
            self.bytes(field, spare);
        }
    }

    /// A message within.
    pub fn message(&mut self, field: u64, put: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        put(&mut inner);
        self.bytes(field, &inner.0);
    }

    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn value_type(&mut self, field: u64, of: ValueType) {
        self.message(field, |inner| {
            inner.text(1, of.kind);
            inner.text(2, of.unit);
        });
    }
}

/// Everything that the profile has, as profile.proto.
///
/// # Errors
/// Malformed samples.
pub fn encode(profile: &Profile) -> Result<Vec<u8>> {
    let mut out = Fields(Vec::with_capacity(profile.bytes.len()));
    for of in &profile.header.sample_types {
        out.value_type(1, *of);
    }
    samples(profile, &mut out)?;
    tables(profile, &mut out);
    header(&profile.header, &mut out);
    Ok(out.0)
}

fn samples(profile: &Profile, out: &mut Fields) -> Result<()> {
    let mut sample = Sample::default();
    let (mut message, mut label) = (Fields::default(), Fields::default());
    let mut spare = Vec::new();
    for index in 0..profile.sample_count() {
        profile.sample(index, &mut sample)?;
        message.0.clear();
        let ids = sample.locations.iter();
        let ids = ids.map(|place| profile.locations[*place as usize].id);
        message.packed_by(1, ids, &mut spare);
        let values = sample.values.iter().map(|value| value.cast_unsigned());
        message.packed_by(2, values, &mut spare);
        for of in &sample.labels {
            label.0.clear();
            label.text(1, of.key);
            label.text(2, of.str);
            label.signed(3, of.num);
            label.text(4, of.unit);
            message.bytes(3, &label.0);
        }
        out.bytes(2, &message.0);
    }
    Ok(())
}

fn tables(profile: &Profile, out: &mut Fields) {
    let mut message = Fields::default();
    for of in &profile.mappings {
        message.0.clear();
        message.number(1, of.id);
        message.number(2, of.start);
        message.number(3, of.limit);
        message.number(4, of.offset);
        message.text(5, of.file);
        message.text(6, of.build_id);
        for (field, has) in (7..).zip(of.has) {
            message.number(field, u64::from(has));
        }
        out.bytes(3, &message.0);
    }
    for of in &profile.locations {
        message.0.clear();
        location(profile, of, &mut message);
        out.bytes(4, &message.0);
    }
    for of in &profile.functions {
        message.0.clear();
        message.number(1, of.id);
        message.text(2, of.name);
        message.text(3, of.system_name);
        message.text(4, of.file);
        message.signed(5, of.start_line);
        out.bytes(5, &message.0);
    }
    // The empty string is there even where no table was.
    let count = u32::try_from(profile.strings.len()).unwrap_or(u32::MAX);
    for place in 0..count.max(1) {
        out.bytes(6, profile.text_bytes(place));
    }
}

fn location(profile: &Profile, of: &Location, message: &mut Fields) {
    message.number(1, of.id);
    message.number(2, profile.mapping(of).map_or(0, |mapping| mapping.id));
    message.number(3, of.address);
    let mut inner = Fields::default();
    for line in profile.lines(of) {
        inner.0.clear();
        inner.number(1, profile.functions[line.function as usize].id);
        inner.signed(2, line.line);
        inner.signed(3, line.column);
        message.bytes(4, &inner.0);
    }
    message.number(5, u64::from(of.folded));
}

fn header(of: &Header, out: &mut Fields) {
    out.text(7, of.drop_frames);
    out.text(8, of.keep_frames);
    out.signed(9, of.time_nanos);
    out.signed(10, of.duration_nanos);
    out.value_type(11, of.period_type);
    out.signed(12, of.period);
    let comments = of.comments.iter().map(|comment| u64::from(*comment));
    out.packed(13, comments);
    out.text(14, of.default_sample_type);
    out.text(15, of.doc_url);
}

/// A profile's file: protocol buffer in gzip.
///
/// # Errors
/// Malformed samples.
pub fn compress(profile: &Profile) -> Result<Vec<u8>> {
    let bytes = encode(profile)?;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let written = encoder.write_all(&bytes).and_then(|()| encoder.finish());
    written.map_err(|error| Error::Inflate {
        format: "gzip",
        what: error.to_string(),
    })
}

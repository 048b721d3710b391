//! Writes profiles in profile.proto, as other tools open them. The concatenation of
//! encoded messages is the encoding of the merged message, so each entry of a table
//! is encoded as a profile of its own: a large profile never exists as messages.

use std::io::Write;

use prost::Message;

use crate::error::{Error, Result};
use crate::profile::{Line, Profile, Sample, Text, ValueType};
use crate::proto;
use crate::query::{Measure, Query};
use crate::tagframes;
use crate::tags::Shown;
use crate::unit;
use crate::view::View;

/// Encodes the whole profile as profile.proto.
///
/// # Errors
/// A sample is malformed.
pub fn encode(profile: &Profile) -> Result<Vec<u8>> {
    encoded(profile, None)
}

/// Encodes what the filters of a query keep; also returns the filters that matched nothing.
///
/// # Errors
/// A sample is malformed; filters that do not compile.
pub(crate) fn encode_kept(profile: &Profile, query: &Query) -> Result<(Vec<u8>, Vec<String>)> {
    tagframes::with(profile, query, |profile, query| {
        Measure::new(profile, query)?;
        let kept = Kept {
            view: View::new(profile, query)?,
            shown: Shown::new(query)?,
            divide_by: query.divide_by,
        };
        let bytes = encoded(profile, Some(&kept))?;
        Ok((bytes, kept.view.warnings))
    })
}

/// What is written of a profile.
struct Kept {
    view: View,
    shown: Shown,
    divide_by: f64,
}

impl Kept {
    /// Applies the filters to a sample; returns whether it stays.
    fn keeps(&self, profile: &Profile, sample: &mut Sample) -> bool {
        if !self.view.keeps_labels(profile, &sample.labels)
            || !self.view.keeps_stack(&mut sample.locations)
        {
            return false;
        }
        let shown = |key| self.shown.shows(&profile.text(key));
        sample.labels.retain(|label| shown(label.key));
        for value in &mut sample.values {
            *value = unit::divided(*value, self.divide_by);
        }
        true
    }
}

fn encoded(profile: &Profile, kept: Option<&Kept>) -> Result<Vec<u8>> {
    let mut out = Out(Vec::with_capacity(profile.bytes.len()));
    let types = profile.header.sample_types.iter();
    out.put(&proto::Profile {
        sample_type: types.map(|of| value_type(*of)).collect(),
        ..proto::Profile::default()
    })?;
    samples(profile, kept, &mut out)?;
    tables(profile, kept, &mut out)?;
    out.put(&header(profile))?;
    Ok(out.0)
}

struct Out(Vec<u8>);

impl Out {
    fn put(&mut self, part: &proto::Profile) -> Result<()> {
        part.encode(&mut self.0)
            .map_err(|error| Error::Invalid(error.to_string()))
    }
}

fn value_type(of: ValueType) -> proto::ValueType {
    proto::ValueType {
        r#type: of.kind.into(),
        unit: of.unit.into(),
    }
}

fn samples(profile: &Profile, kept: Option<&Kept>, out: &mut Out) -> Result<()> {
    let mut sample = Sample::default();
    let mut part = proto::Profile {
        sample: vec![proto::Sample::default()],
        ..proto::Profile::default()
    };
    for index in 0..profile.sample_count() {
        profile.sample(index, &mut sample)?;
        if kept.is_some_and(|kept| !kept.keeps(profile, &mut sample)) {
            continue;
        }
        // The vectors are reused: an allocation per sample would be noticeable.
        let message = &mut part.sample[0];
        message.location_id.clear();
        let ids = sample.locations.iter();
        let ids = ids.map(|place| profile.locations[*place as usize].id);
        message.location_id.extend(ids);
        message.value.clone_from(&sample.values);
        message.label.clear();
        let labels = sample.labels.iter().map(|of| proto::Label {
            key: of.key.into(),
            str: of.str.into(),
            num: of.num,
            num_unit: of.unit.into(),
        });
        message.label.extend(labels);
        out.put(&part)?;
    }
    Ok(())
}

fn tables(profile: &Profile, kept: Option<&Kept>, out: &mut Out) -> Result<()> {
    for of in &profile.mappings {
        let [
            has_functions,
            has_filenames,
            has_line_numbers,
            has_inline_frames,
        ] = of.has;
        out.put(&proto::Profile {
            mapping: vec![proto::Mapping {
                id: of.id,
                memory_start: of.start,
                memory_limit: of.limit,
                file_offset: of.offset,
                filename: of.file.into(),
                build_id: of.build_id.into(),
                has_functions,
                has_filenames,
                has_line_numbers,
                has_inline_frames,
            }],
            ..proto::Profile::default()
        })?;
    }
    for (place, of) in (0_u32..).zip(&profile.locations) {
        let message = |line: &Line| proto::Line {
            function_id: profile.functions[line.function as usize].id,
            line: line.line,
            column: line.column,
        };
        let lines = match kept {
            Some(kept) => {
                let lines = kept.view.lines(place).iter();
                lines.map(|line| message(&profile.line(*line))).collect()
            }
            None => profile.lines(of).iter().map(message).collect(),
        };
        out.put(&proto::Profile {
            location: vec![proto::Location {
                id: of.id,
                mapping_id: profile.mapping(of).map_or(0, |mapping| mapping.id),
                address: of.address,
                line: lines,
                is_folded: of.folded,
            }],
            ..proto::Profile::default()
        })?;
    }
    for of in &profile.functions {
        out.put(&proto::Profile {
            function: vec![proto::Function {
                id: of.id,
                name: of.name.into(),
                system_name: of.system_name.into(),
                filename: of.file.into(),
                start_line: of.start_line,
            }],
            ..proto::Profile::default()
        })?;
    }
    // The empty string is written even if the profile has no table of strings.
    let count = Text::try_from(profile.strings.len()).unwrap_or(Text::MAX);
    for place in 0..count.max(1) {
        out.put(&proto::Profile {
            string_table: vec![profile.text_bytes(place).to_vec()],
            ..proto::Profile::default()
        })?;
    }
    Ok(())
}

fn header(profile: &Profile) -> proto::Profile {
    let of = &profile.header;
    proto::Profile {
        drop_frames: of.drop_frames.into(),
        keep_frames: of.keep_frames.into(),
        time_nanos: of.time_nanos,
        duration_nanos: of.duration_nanos,
        period_type: Some(value_type(of.period_type)),
        period: of.period,
        comment: of.comments.iter().map(|text| i64::from(*text)).collect(),
        default_sample_type: of.default_sample_type.into(),
        doc_url: of.doc_url.into(),
        ..proto::Profile::default()
    }
}

/// Encodes the whole profile as profile.proto in gzip, the form of a profile's file.
///
/// # Errors
/// A sample is malformed.
pub fn compress(profile: &Profile) -> Result<Vec<u8>> {
    gzip(&encode(profile)?)
}

/// Returns [`encode_kept`] in gzip.
///
/// # Errors
/// Those of [`encode_kept`].
pub fn compress_kept(profile: &Profile, query: &Query) -> Result<(Vec<u8>, Vec<String>)> {
    let (bytes, warnings) = encode_kept(profile, query)?;
    Ok((gzip(&bytes)?, warnings))
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.map_err(|error| Error::Inflate {
        format: "gzip",
        what: error.to_string(),
    })
}

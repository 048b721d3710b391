//! Valid profiles out: what other tools open.

use std::io::Write;

use prost::Message;

use crate::error::Result;
use crate::message;
use crate::profile::{Profile, Sample, Text};

/// As messages, everything that the profile has.
///
/// # Errors
/// Malformed samples.
pub fn encode(profile: &Profile) -> Result<message::Profile> {
    let header = &profile.header;
    let text = |text: Text| i64::from(text);
    let mut out = message::Profile {
        sample_type: header
            .sample_types
            .iter()
            .map(|of| message::ValueType {
                r#type: text(of.kind),
                unit: text(of.unit),
            })
            .collect(),
        drop_frames: text(header.drop_frames),
        keep_frames: text(header.keep_frames),
        time_nanos: header.time_nanos,
        duration_nanos: header.duration_nanos,
        period_type: Some(message::ValueType {
            r#type: text(header.period_type.kind),
            unit: text(header.period_type.unit),
        }),
        period: header.period,
        comment: header.comments.iter().map(|of| text(*of)).collect(),
        default_sample_type: text(header.default_sample_type),
        doc_url: text(header.doc_url),
        ..message::Profile::default()
    };
    tables(profile, &mut out);
    let mut sample = Sample::default();
    out.sample.reserve(profile.sample_count());
    for index in 0..profile.sample_count() {
        profile.sample(index, &mut sample)?;
        let places = sample.locations.iter();
        out.sample.push(message::Sample {
            location_id: places
                .map(|place| profile.locations[*place as usize].id)
                .collect(),
            value: sample.values.clone(),
            label: sample
                .labels
                .iter()
                .map(|label| message::Label {
                    key: text(label.key),
                    str: text(label.str),
                    num: label.num,
                    num_unit: text(label.unit),
                })
                .collect(),
        });
    }
    Ok(out)
}

fn tables(profile: &Profile, out: &mut message::Profile) {
    let strings = (0_u32..).zip(&profile.strings);
    out.string_table = strings
        .map(|(place, _)| profile.text_bytes(place).to_vec())
        .collect();
    if out.string_table.is_empty() {
        out.string_table.push(Vec::new());
    }
    let functions = profile.functions.iter();
    out.function = functions
        .map(|of| message::Function {
            id: of.id,
            name: i64::from(of.name),
            system_name: i64::from(of.system_name),
            filename: i64::from(of.file),
            start_line: of.start_line,
        })
        .collect();
    let mappings = profile.mappings.iter();
    out.mapping = mappings
        .map(|of| message::Mapping {
            id: of.id,
            memory_start: of.start,
            memory_limit: of.limit,
            file_offset: of.offset,
            filename: i64::from(of.file),
            build_id: i64::from(of.build_id),
            has_functions: of.has[0],
            has_filenames: of.has[1],
            has_line_numbers: of.has[2],
            has_inline_frames: of.has[3],
        })
        .collect();
    let locations = profile.locations.iter();
    out.location = locations
        .map(|of| message::Location {
            id: of.id,
            mapping_id: profile.mapping(of).map_or(0, |mapping| mapping.id),
            address: of.address,
            line: profile
                .lines(of)
                .iter()
                .map(|line| message::Line {
                    function_id: profile.functions[line.function as usize].id,
                    line: line.line,
                    column: line.column,
                })
                .collect(),
            is_folded: of.folded,
        })
        .collect();
}

/// A profile's file: protocol buffer in gzip.
///
/// # Errors
/// Malformed samples.
pub fn compress(profile: &Profile) -> Result<Vec<u8>> {
    let bytes = encode(profile)?.encode_to_vec();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let written = encoder.write_all(&bytes).and_then(|()| encoder.finish());
    written.map_err(|error| crate::error::Error::Inflate {
        format: "gzip",
        what: error.to_string(),
    })
}

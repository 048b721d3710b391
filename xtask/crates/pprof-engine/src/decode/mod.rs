//! Decodes inflated bytes to a `Profile`: one pass over the top-level fields,
//! in any order, then the tables. Samples are only located.

mod tables;

use crate::bounds;
use crate::error::{Error, Result};
use crate::ids::Ids;
use crate::incoming::Incoming;
use crate::inflate::{Limits, incoming, refuse_other, unwrap};
use crate::profile::{Profile, Samples, Span};
use crate::wire::{Field, Reader, numbers, quick};
use tables::{functions, header, location, mappings};

/// The spans of each table's messages.
#[derive(Default)]
struct Fields {
    types: Vec<Span>,
    samples: Vec<Span>,
    mappings: Vec<Span>,
    locations: Vec<Span>,
    functions: Vec<Span>,
    strings: Vec<Span>,
    comments: Vec<u64>,
    period_type: Option<Span>,
    /// drop, keep, time, duration, period, default type, doc: fields 7 to 15.
    numbers: [u64; 16],
}

/// Converts a profile's text to profile.proto; `None` if it is not such a text.
pub type FromText = fn(&[u8], Limits) -> Option<Result<Vec<u8>>>;

impl Profile {
    /// Reads a profile in any of the supported wrappings.
    ///
    /// # Errors
    /// The problem and its offset; for bytes of another kind, what they are.
    pub fn read(bytes: Vec<u8>, limits: Limits, from_text: FromText) -> Result<Self> {
        if let Some(incoming) = incoming(&bytes, limits)
            && let Some(mut profile) = from_incoming(incoming, limits)
        {
            profile.shorten_names();
            return Ok(profile);
        }
        let mut bytes = unwrap(bytes, limits)?;
        if let Some(converted) = from_text(&bytes, limits) {
            bytes = converted?;
        }
        refuse_other(&bytes)?;
        let mut profile = Self::from_proto(bytes, limits)?;
        profile.shorten_names();
        bounds::check_frames(&profile, profile.bytes.len() as u64)?;
        Ok(profile)
    }

    /// Reads inflated bytes.
    fn from_proto(bytes: Vec<u8>, limits: Limits) -> Result<Self> {
        let fields = scan(&bytes, limits)?;
        let strings = fields.strings.len();
        bounds::check_texts(&fields.strings)?;
        if fields.strings.first().is_some_and(|first| first.len != 0) {
            return Err(Error::Invalid("string 0 is not the empty string".into()));
        }
        let header = header(&bytes, &fields)?;
        let functions = functions(&bytes, &fields.functions, strings)?;
        let mappings = mappings(&bytes, &fields.mappings, strings)?;
        let function_ids = Ids::new("function", &ids(&functions, |function| function.id))?;
        let mapping_ids = Ids::new("mapping", &ids(&mappings, |mapping| mapping.id))?;
        let mut lines = Vec::new();
        let mut locations = Vec::with_capacity(fields.locations.len());
        for span in &fields.locations {
            let location = location(&bytes, *span, &function_ids, &mapping_ids, &mut lines)?;
            locations.push(location);
            if lines.len() as u64 > limits.entries {
                return Err(too_many("lines", limits));
            }
        }
        let location_ids = Ids::new("location", &ids(&locations, |location| location.id))?;
        if header.sample_types.is_empty() && !fields.samples.is_empty() {
            return Err(Error::Invalid("samples but no sample types".into()));
        }
        Ok(Self {
            strings: fields.strings,
            header,
            functions,
            mappings,
            locations,
            lines,
            location_ids,
            samples: Samples::Wire(fields.samples),
            bytes,
        })
    }
}

/// Completes a profile that was summed while it inflated: reads the tables and
/// the labels, which refer to strings. `None` if anything is wrong.
fn from_incoming(incoming: Incoming, limits: Limits) -> Option<Profile> {
    let Incoming {
        rest,
        arena,
        mut table,
        sets,
        inflated,
        ..
    } = incoming;
    let mut profile = Profile::from_proto(rest, limits).ok()?;
    // Types and samples in an unusual encoding are missing there.
    if profile.header.sample_types.len() != table.width || profile.sample_count() > 0 {
        return None;
    }
    let offset = profile.bytes.len();
    profile.bytes.extend_from_slice(&arena);
    drop(arena);
    let moved = |span: Span| Span::new(offset + span.start as usize, offset + span.end());
    let mut locations = Vec::new();
    for stack in &mut table.stacks {
        *stack = moved(*stack);
        // An unknown location is an error with its offset in the file.
        locations.clear();
        profile.push_locations(*stack, &mut locations).ok()?;
    }
    for set in sets {
        let mut labels = Vec::new();
        profile.push_labels(moved(set), &mut labels).ok()?;
        table.label_sets.push(labels);
    }
    profile.samples = Samples::Table(table);
    bounds::check_frames(&profile, inflated).ok()?;
    Some(profile)
}

fn ids<T>(table: &[T], id: impl Fn(&T) -> u64) -> Vec<u64> {
    table.iter().map(id).collect()
}

fn too_many(what: &'static str, limits: Limits) -> Error {
    Error::TooLarge {
        what,
        limit: limits.entries,
    }
}

fn scan(bytes: &[u8], limits: Limits) -> Result<Fields> {
    let mut fields = Fields::default();
    let mut reader = Reader::new(bytes, 0, bytes.len());
    loop {
        samples(bytes, &mut reader, &mut fields.samples, limits)?;
        let Some(field) = reader.field()? else { break };
        let (table, start, end, what) = match field {
            Field::Bytes(1, start, end) => (&mut fields.types, start, end, "sample types"),
            Field::Bytes(2, start, end) => {
                push_sample(&mut fields.samples, start, end, limits)?;
                continue;
            }
            Field::Bytes(3, start, end) => (&mut fields.mappings, start, end, "mappings"),
            Field::Bytes(4, start, end) => (&mut fields.locations, start, end, "locations"),
            Field::Bytes(5, start, end) => (&mut fields.functions, start, end, "functions"),
            Field::Bytes(6, start, end) => (&mut fields.strings, start, end, "strings"),
            Field::Bytes(11, start, end) => {
                fields.period_type = Some(Span::new(start, end));
                continue;
            }
            Field::Varint(13, _) | Field::Bytes(13, ..) => {
                numbers(bytes, field, |value| fields.comments.push(value))?;
                continue;
            }
            // A second time stamp shows that two profiles without gzip were
            // written one after the other.
            Field::Varint(9, _) if fields.numbers[9] != 0 => {
                let what = "a second profile begins here: read them one by one";
                return Err(Error::at(reader.position(), what));
            }
            Field::Varint(number @ 7..=15, value) => {
                fields.numbers[number as usize] = value;
                continue;
            }
            _ => continue,
        };
        if table.len() as u64 >= limits.entries {
            return Err(too_many(what, limits));
        }
        table.push(Span::new(start, end));
    }
    Ok(fields)
}

/// Limited, because two bytes may claim to be a sample, and eight are kept of
/// each.
#[inline]
fn push_sample(samples: &mut Vec<Span>, start: usize, end: usize, limits: Limits) -> Result<()> {
    if samples.len() as u64 >= limits.entries.saturating_mul(4) {
        return Err(too_many("samples", limits));
    }
    samples.push(Span::new(start, end));
    Ok(())
}

/// Reads consecutive samples, most of a large profile. Errors are left to the
/// general reader.
fn samples(
    bytes: &[u8],
    reader: &mut Reader<'_>,
    samples: &mut Vec<Span>,
    limits: Limits,
) -> Result<()> {
    const SAMPLE: u8 = 0x12;
    while bytes.get(reader.position()) == Some(&SAMPLE) {
        let mut at = reader.position() + 1;
        let len = quick(bytes, &mut at).and_then(|len| usize::try_from(len).ok());
        let end = len.and_then(|len| len.checked_add(at));
        let Some(end) = end.filter(|end| *end <= bytes.len()) else {
            return Ok(());
        };
        push_sample(samples, at, end, limits)?;
        reader.seek(end);
    }
    Ok(())
}

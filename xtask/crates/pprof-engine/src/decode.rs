//! From inflated bytes to a `Profile`: one pass over the top-level fields, in
//! whatever order they come, then the tables. Samples are only located.

use crate::bounds;
use crate::error::{Error, Result};
use crate::ids::Ids;
use crate::incoming::Incoming;
use crate::inflate::{Limits, incoming, refuse_other, unwrap};
use crate::profile::{
    Function, Header, Line, Location, Mapping, NO_MAPPING, Profile, Samples, Span, Text, ValueType,
    check_text,
};
use crate::wire::{Field, Reader, numbers, quick, signed};

/// Where each table's messages are.
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

/// Makes profile.proto of what may be a profile's text; none if it is none.
pub type FromText = fn(&[u8], Limits) -> Option<Result<Vec<u8>>>;

impl Profile {
    /// Read a profile in whatever wrapping it comes.
    ///
    /// # Errors
    /// What is wrong and where; what it is if it is no profile.
    pub fn read(bytes: Vec<u8>, limits: Limits, from_text: FromText) -> Result<Self> {
        if let Some(incoming) = incoming(&bytes, limits)
            && let Some(profile) = of_incoming(incoming, limits)
        {
            return Ok(profile);
        }
        let mut bytes = unwrap(bytes, limits)?;
        if let Some(converted) = from_text(&bytes, limits) {
            bytes = converted?;
        }
        refuse_other(&bytes)?;
        let profile = Self::of_proto(bytes, limits)?;
        bounds::check_frames(&profile, profile.bytes.len() as u64)?;
        Ok(profile)
    }

    /// Of inflated bytes.
    fn of_proto(bytes: Vec<u8>, limits: Limits) -> Result<Self> {
        let fields = scan(&bytes, limits)?;
        let strings = fields.strings.len();
        bounds::check_texts(&fields.strings)?;
        if fields.strings.first().is_some_and(|first| first.len != 0) {
            return Err(Error::Invalid("string 0 is not the empty string".into()));
        }
        let header = header(&bytes, &fields)?;
        let functions = functions(&bytes, &fields.functions, strings)?;
        let mappings = mappings(&bytes, &fields.mappings, strings)?;
        let function_ids = Ids::of("function", &ids(&functions, |function| function.id))?;
        let mapping_ids = Ids::of("mapping", &ids(&mappings, |mapping| mapping.id))?;
        let mut lines = Vec::new();
        let mut locations = Vec::with_capacity(fields.locations.len());
        for span in &fields.locations {
            let location = location(&bytes, *span, &function_ids, &mapping_ids, &mut lines)?;
            locations.push(location);
            if lines.len() as u64 > limits.entries {
                return Err(too_many("lines", limits));
            }
        }
        let location_ids = Ids::of("location", &ids(&locations, |location| location.id))?;
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

/// A profile that was summed as it came: its tables are read now, and the
/// labels, which are among its strings. None if there is anything wrong.
fn of_incoming(incoming: Incoming, limits: Limits) -> Option<Profile> {
    let Incoming {
        rest,
        arena,
        mut table,
        sets,
        inflated,
        ..
    } = incoming;
    let mut profile = Profile::of_proto(rest, limits).ok()?;
    // What was written in an odd way is neither a type nor a sample there.
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
        // A location that is not there is told with its place in the file.
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
            // A second time stamp is how two plain profiles written one
            // after the other give themselves away.
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

/// Two bytes may claim to be a sample; eight are kept of each.
#[inline]
fn push_sample(samples: &mut Vec<Span>, start: usize, end: usize, limits: Limits) -> Result<()> {
    if samples.len() as u64 >= limits.entries.saturating_mul(4) {
        return Err(too_many("samples", limits));
    }
    samples.push(Span::new(start, end));
    Ok(())
}

/// Samples in a row: most of a large profile. What is wrong is left for the
/// reader to say.
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

fn header(bytes: &[u8], fields: &Fields) -> Result<Header> {
    let strings = fields.strings.len();
    let text = |number: usize| check_text(fields.numbers[number], strings, 0);
    let sample_types: Result<Vec<ValueType>> = fields
        .types
        .iter()
        .map(|span| value_type(bytes, *span, strings))
        .collect();
    let comments: Result<Vec<Text>> = fields
        .comments
        .iter()
        .map(|comment| check_text(*comment, strings, 0))
        .collect();
    Ok(Header {
        sample_types: sample_types?,
        period_type: match fields.period_type {
            Some(span) => value_type(bytes, span, strings)?,
            None => ValueType::default(),
        },
        period: signed(fields.numbers[12]),
        time_nanos: signed(fields.numbers[9]),
        duration_nanos: signed(fields.numbers[10]),
        comments: comments?,
        default_sample_type: text(14)?,
        doc_url: text(15)?,
        drop_frames: text(7)?,
        keep_frames: text(8)?,
    })
}

/// The number fields of a message without repeated ones, by field number.
fn flat<const N: usize>(bytes: &[u8], span: Span) -> Result<[u64; N]> {
    let mut values = [0; N];
    let mut reader = Reader::new(bytes, span.start as usize, span.end());
    while let Some(field) = reader.field()? {
        if let Field::Varint(number, value) = field
            && let Some(slot) = values.get_mut(number as usize)
        {
            *slot = value;
        }
    }
    Ok(values)
}

fn value_type(bytes: &[u8], span: Span, strings: usize) -> Result<ValueType> {
    let values = flat::<3>(bytes, span)?;
    let text = |number: usize| check_text(values[number], strings, span.start as usize);
    Ok(ValueType {
        kind: text(1)?,
        unit: text(2)?,
    })
}

fn functions(bytes: &[u8], spans: &[Span], strings: usize) -> Result<Vec<Function>> {
    let one = |span: &Span| {
        let values = flat::<6>(bytes, *span)?;
        let text = |number: usize| check_text(values[number], strings, span.start as usize);
        Ok(Function {
            id: values[1],
            name: text(2)?,
            system_name: text(3)?,
            file: text(4)?,
            start_line: signed(values[5]),
        })
    };
    spans.iter().map(one).collect()
}

fn mappings(bytes: &[u8], spans: &[Span], strings: usize) -> Result<Vec<Mapping>> {
    let one = |span: &Span| {
        let values = flat::<11>(bytes, *span)?;
        let text = |number: usize| check_text(values[number], strings, span.start as usize);
        Ok(Mapping {
            id: values[1],
            start: values[2],
            limit: values[3],
            offset: values[4],
            file: text(5)?,
            build_id: text(6)?,
            has: [7, 8, 9, 10].map(|number: usize| values[number] != 0),
        })
    };
    spans.iter().map(one).collect()
}

fn location(
    bytes: &[u8],
    span: Span,
    functions: &Ids,
    mappings: &Ids,
    lines: &mut Vec<Line>,
) -> Result<Location> {
    let from = u32::try_from(lines.len()).unwrap_or(u32::MAX);
    let mut values = [0_u64; 6];
    let mut reader = Reader::new(bytes, span.start as usize, span.end());
    while let Some(field) = reader.field()? {
        match field {
            Field::Bytes(4, start, end) => {
                let line = flat::<4>(bytes, Span::new(start, end))?;
                let function = functions.get(line[1]).ok_or_else(|| {
                    let what = format!(
                        "location {} names function {}, which is not in the profile",
                        values[1], line[1]
                    );
                    Error::at(start, what)
                })?;
                lines.push(Line {
                    function,
                    line: signed(line[2]),
                    column: signed(line[3]),
                });
            }
            Field::Varint(number @ 1..=5, value) => values[number as usize] = value,
            _ => {}
        }
    }
    Ok(Location {
        id: values[1],
        // As in pprof, a mapping that is not there is none.
        mapping: mappings.get(values[2]).unwrap_or(NO_MAPPING),
        address: values[3],
        lines: (from, u32::try_from(lines.len()).unwrap_or(u32::MAX)),
        folded: values[5] != 0,
    })
}

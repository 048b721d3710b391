//! Reads the messages of the tables.

use super::Fields;
use crate::error::{Error, Result};
use crate::ids::Ids;
use crate::profile::{
    Function, Header, Line, Location, Mapping, NO_MAPPING, Span, Text, ValueType, check_text,
};
use crate::wire::{Field, Reader, quick, signed};

/// The tag of a location's line.
const LINE: u8 = 0x22;

pub(super) fn header(bytes: &[u8], fields: &Fields) -> Result<Header> {
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
    let message = &bytes[span.start as usize..span.end()];
    if let Some(values) = usual(message, |_, _| None) {
        return Ok(values);
    }
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

pub(super) fn functions(bytes: &[u8], spans: &[Span], strings: usize) -> Result<Vec<Function>> {
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

pub(super) fn mappings(bytes: &[u8], spans: &[Span], strings: usize) -> Result<Vec<Mapping>> {
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

pub(super) fn location(
    bytes: &[u8],
    span: Span,
    functions: &Ids,
    mappings: &Ids,
    lines: &mut Vec<Line>,
) -> Result<Location> {
    let from = lines.len();
    let first = u32::try_from(from).unwrap_or(u32::MAX);
    let message = &bytes[span.start as usize..span.end()];
    let values = if let Some(values) = usual_location(message, functions, lines) {
        values
    } else {
        lines.truncate(from);
        any_location(bytes, span, functions, lines)?
    };
    Ok(Location {
        id: values[1],
        // As in pprof, an unknown mapping counts as none.
        mapping: mappings.get(values[2]).unwrap_or(NO_MAPPING),
        address: values[3],
        lines: (first, u32::try_from(lines.len()).unwrap_or(u32::MAX)),
        folded: values[5] != 0,
    })
}

/// Reads the number fields of a message in the usual encoding, and passes
/// others to `other`; `None` for any other encoding.
#[inline]
fn usual<const N: usize>(
    message: &[u8],
    mut other: impl FnMut(u8, &[u8]) -> Option<()>,
) -> Option<[u64; N]> {
    let mut values = [0; N];
    let mut at = 0;
    while let Some(&tag) = message.get(at) {
        at += 1;
        // No field has the number 0, and no tag here has two bytes.
        if !(8..0x80).contains(&tag) {
            return None;
        }
        let number = quick(message, &mut at)?;
        match tag & 7 {
            0 => *values.get_mut(usize::from(tag >> 3))? = number,
            2 => {
                let end = at.checked_add(usize::try_from(number).ok()?)?;
                other(tag, message.get(at..end)?)?;
                at = end;
            }
            _ => return None,
        }
    }
    Some(values)
}

#[inline]
fn usual_location(message: &[u8], functions: &Ids, lines: &mut Vec<Line>) -> Option<[u64; 6]> {
    usual::<6>(message, |tag, inner| {
        if tag != LINE {
            return None;
        }
        let line = usual::<4>(inner, |_, _| None)?;
        lines.push(Line {
            function: functions.get(line[1])?,
            line: signed(line[2]),
            column: signed(line[3]),
        });
        Some(())
    })
}

/// Reads any form of the message, with errors.
#[cold]
fn any_location(
    bytes: &[u8],
    span: Span,
    functions: &Ids,
    lines: &mut Vec<Line>,
) -> Result<[u64; 6]> {
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
    Ok(values)
}

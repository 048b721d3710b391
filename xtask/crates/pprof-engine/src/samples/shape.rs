//! Reads a sample's message in the encoding of all known writers. Any other
//! encoding is left to the general reader.

use std::ops::Range;

use super::{Raw, RawLabels};
use crate::profile::Span;
use crate::wire::{quick, signed};

/// Tags of a sample's fields in the usual encoding.
pub(crate) const PACKED_STACK: u8 = 0x0a;
const LOCATION: u8 = 0x08;
const PACKED_VALUES: u8 = 0x12;
const VALUE: u8 = 0x10;
const LABEL: u8 = 0x1a;

/// Consecutive fields of one kind.
#[derive(Clone, Copy, Default)]
struct Run {
    start: usize,
    end: usize,
    broken: bool,
}

impl Run {
    #[inline]
    fn extend(&mut self, start: usize, end: usize) {
        if self.end == 0 {
            self.start = start;
        } else if self.end != start {
            self.broken = true;
        }
        self.end = end;
    }

    fn span(self, offset: usize) -> Option<Span> {
        (!self.broken).then(|| Span::new(offset + self.start, offset + self.end))
    }
}

/// Reads a sample in the usual encoding, and counts its values; none for any other.
/// `offset` is the position of `bytes`.
#[inline]
pub(crate) fn raw(
    bytes: &[u8],
    offset: usize,
    value: &mut impl FnMut(usize, i64),
) -> Option<(Raw, usize)> {
    if let Some((stack, values, labels)) = usual(bytes) {
        let (mut at, mut got) = (values.start, 0);
        while at < values.end {
            value(got, signed(quick(&bytes[..values.end], &mut at)?));
            got += 1;
        }
        let span = |of: Range<usize>| Span::new(offset + of.start, offset + of.end);
        let raw = Raw {
            stack: Some(span(stack)),
            labels: RawLabels::Wire(span(labels)),
        };
        return Some((raw, got));
    }
    let (mut stack, mut labels) = (Run::default(), Run::default());
    let (mut at, mut got) = (0, 0);
    while let Some(&tag) = bytes.get(at) {
        let start = at;
        at += 1;
        let number = quick(bytes, &mut at)?;
        if matches!(tag, VALUE | LOCATION) {
            if tag == VALUE {
                value(got, signed(number));
                got += 1;
            } else {
                stack.extend(start, at);
            }
            continue;
        }
        let end = usize::try_from(number).ok()?.checked_add(at)?;
        if end > bytes.len() {
            return None;
        }
        match tag {
            PACKED_STACK => stack.extend(start, end),
            LABEL => labels.extend(start, end),
            PACKED_VALUES => {
                while at < end {
                    value(got, signed(quick(&bytes[..end], &mut at)?));
                    got += 1;
                }
            }
            _ => return None,
        }
        at = end;
    }
    let raw = Raw {
        stack: stack.span(offset),
        labels: labels
            .span(offset)
            .map_or(RawLabels::Apart, RawLabels::Wire),
    };
    Some((raw, got))
}

/// Matches the fields of the stack, the packed values and the fields of the
/// labels in this order, none of them long, as in nearly every sample.
#[inline]
fn usual(bytes: &[u8]) -> Option<(Range<usize>, Range<usize>, Range<usize>)> {
    let after = |at: usize, tag: u8| {
        let [of, length] = *bytes.get(at..)?.first_chunk::<2>()?;
        let end = at + 2 + usize::from(length);
        (of == tag && length < 0x80 && end <= bytes.len()).then_some(end)
    };
    let stack = after(0, PACKED_STACK)?;
    let values = after(stack, PACKED_VALUES)?;
    let mut labels = values;
    while labels < bytes.len() {
        labels = after(labels, LABEL)?;
    }
    Some((0..stack, stack + 2..values, values..labels))
}

/// Returns the id if it is unknown, or `None` for an incomplete number.
#[inline]
pub(super) fn push(
    bytes: &[u8],
    into: &mut Vec<u32>,
    place: impl Fn(u64) -> Option<u32>,
) -> Result<(), Option<u64>> {
    let mut at = 0;
    while let Some(&tag) = bytes.get(at) {
        at += 1;
        let number = quick(bytes, &mut at).ok_or(None)?;
        if tag == LOCATION {
            into.push(place(number).ok_or(Some(number))?);
            continue;
        }
        // Checked when the sample was first read.
        let end = usize::try_from(number)
            .map_or(bytes.len(), |len| bytes.len().min(at.saturating_add(len)));
        push_packed(&bytes[at..end], into, &place)?;
        at = end;
    }
    Ok(())
}

/// Adds consecutive ids.
#[inline]
fn push_packed(
    mut packed: &[u8],
    into: &mut Vec<u32>,
    place: &impl Fn(u64) -> Option<u32>,
) -> Result<(), Option<u64>> {
    loop {
        // Nearly all ids have three bytes at most.
        let (id, rest) = match *packed {
            [a, ref rest @ ..] if a < 0x80 => (u32::from(a), rest),
            [a, b, ref rest @ ..] if b < 0x80 => (u32::from(a & 0x7f) | u32::from(b) << 7, rest),
            [a, b, c, ref rest @ ..] if c < 0x80 => {
                let low = u32::from(a & 0x7f) | u32::from(b & 0x7f) << 7;
                (low | u32::from(c) << 14, rest)
            }
            _ => break,
        };
        packed = rest;
        let id = u64::from(id);
        into.push(place(id).ok_or(Some(id))?);
    }
    let mut at = 0;
    while at < packed.len() {
        let id = quick(packed, &mut at).ok_or(None)?;
        into.push(place(id).ok_or(Some(id))?);
    }
    Ok(())
}

//! A sample's message in the shape that all writers give it: read without
//! ado. Any other shape is left to the reader of all shapes.

use super::{Raw, RawLabels};
use crate::profile::Span;
use crate::wire::{quick, signed};

/// Tags of a sample's fields, as everybody writes them.
pub(crate) const PACKED_STACK: u8 = 0x0a;
const LOCATION: u8 = 0x08;
const PACKED_VALUES: u8 = 0x12;
const VALUE: u8 = 0x10;
const LABEL: u8 = 0x1a;

/// Fields of a kind that stand together.
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

/// A sample's message as everybody writes it, and how many values it has;
/// none for any other. `offset` is where `bytes` stand.
#[inline]
pub(crate) fn raw(
    bytes: &[u8],
    offset: usize,
    value: &mut impl FnMut(usize, i64),
) -> Option<(Raw, usize)> {
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

/// The id that is unknown, or none for a number that breaks off.
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
        let packed = &bytes[at..end];
        let mut from = 0;
        while let Some(&first) = packed.get(from) {
            // Nearly all ids have one byte or two.
            let id = match packed.get(from + 1) {
                _ if first < 0x80 => {
                    from += 1;
                    u64::from(first)
                }
                Some(&second) if second < 0x80 => {
                    from += 2;
                    u64::from(first & 0x7f) | u64::from(second) << 7
                }
                _ => quick(packed, &mut from).ok_or(None)?,
            };
            into.push(place(id).ok_or(Some(id))?);
        }
        at = end;
    }
    Ok(())
}

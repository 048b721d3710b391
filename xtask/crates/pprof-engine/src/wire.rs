//! Reads fields of protocol buffers in place. Every error has its offset, and nothing
//! is allocated: claimed sizes are checked against the available bytes first.

use crate::error::{Error, Result};

/// Reads fields from `start..end` of a buffer.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

/// One field: number and value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Field {
    Varint(u32, u64),
    /// Start and end in the buffer.
    Bytes(u32, usize, usize),
    /// Fixed-width; profile.proto has none, so they are unknown and skipped.
    Skipped,
}

impl<'a> Reader<'a> {
    /// `start..end` must lie within `bytes`.
    pub(crate) fn new(bytes: &'a [u8], start: usize, end: usize) -> Self {
        Self {
            bytes,
            at: start,
            end: end.min(bytes.len()),
        }
    }

    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Continues at `at`, but not beyond the end.
    pub(crate) fn seek(&mut self, at: usize) {
        self.at = at.min(self.end);
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64> {
        let start = self.at;
        let Some(bytes) = self.bytes.get(start..self.end) else {
            return Err(Error::at(start, "truncated"));
        };
        if let Some(&first) = bytes.first()
            && first < 0x80
        {
            self.at += 1;
            return Ok(u64::from(first));
        }
        let mut value = 0_u64;
        for (index, &byte) in bytes.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.at = start + index + 1;
                return Ok(value);
            }
        }
        let what = if bytes.len() < 10 {
            "truncated number"
        } else {
            "number of more than ten bytes"
        };
        Err(Error::at(start, what))
    }

    /// The next field, or none at the end.
    #[inline]
    pub(crate) fn field(&mut self) -> Result<Option<Field>> {
        if self.at >= self.end {
            return Ok(None);
        }
        let start = self.at;
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3)
            .ok()
            .filter(|number| *number != 0)
            .ok_or_else(|| Error::at(start, format!("field number {} is impossible", tag >> 3)))?;
        match tag & 7 {
            0 => Ok(Some(Field::Varint(number, self.varint()?))),
            1 => self.skip(8),
            2 => {
                let length = self.varint()?;
                let from = self.at;
                let left = self.end - from;
                let length = usize::try_from(length)
                    .ok()
                    .filter(|length| *length <= left)
                    .ok_or_else(|| {
                        Error::at(
                            start,
                            format!("field {number} claims {length} bytes, {left} are left"),
                        )
                    })?;
                self.at = from + length;
                Ok(Some(Field::Bytes(number, from, from + length)))
            }
            5 => self.skip(4),
            kind => Err(Error::at(
                start,
                format!("field {number} has wire type {kind}, which is not valid"),
            )),
        }
    }

    fn skip(&mut self, width: usize) -> Result<Option<Field>> {
        if self.end - self.at < width {
            return Err(Error::at(self.at, "truncated"));
        }
        self.at += width;
        Ok(Some(Field::Skipped))
    }
}

/// Reads a number at `at`; `None` if it is incomplete or too long, which the
/// general reader reports.
#[inline]
pub(crate) fn quick(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let first = *bytes.get(*at)?;
    if first < 0x80 {
        *at += 1;
        return Some(u64::from(first));
    }
    let mut value = u64::from(first & 0x7f);
    let mut shift = 7;
    let mut place = *at + 1;
    while shift < 70 {
        let byte = *bytes.get(place)?;
        place += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            *at = place;
            return Some(value);
        }
        shift += 7;
    }
    None
}

/// Reads a repeated number field, packed or not: both are legal.
#[inline]
pub(crate) fn numbers(bytes: &[u8], field: Field, mut push: impl FnMut(u64)) -> Result<()> {
    match field {
        Field::Varint(_, value) => push(value),
        Field::Bytes(_, start, end) => {
            let mut reader = Reader::new(bytes, start, end);
            while reader.at < end {
                push(reader.varint()?);
            }
        }
        Field::Skipped => {}
    }
    Ok(())
}

/// Decodes an int64.
#[inline]
pub(crate) fn signed(value: u64) -> i64 {
    value.cast_signed()
}

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        #[allow(clippy::cast_possible_truncation)] // only the low seven bits are used
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    #[allow(clippy::cast_possible_truncation)] // below 0x80
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_the_round_trip() {
        for value in [0, 1, 127, 128, 300, 1 << 32, u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(Reader::new(&out, 0, out.len()).varint(), Ok(value));
            let mut at = 0;
            assert_eq!(quick(&out, &mut at), Some(value));
            assert_eq!(at, out.len());
            assert_eq!(quick(&out[..out.len() - 1], &mut 0), None);
        }
    }

    #[test]
    fn a_claimed_length_is_checked_before_it_is_believed() {
        let bytes = [0x32, 0xff, 0xff, 0xff, 0xff, 0x0f, 1];
        let error = Reader::new(&bytes, 0, bytes.len()).field().unwrap_err();
        assert_eq!(
            error.to_string(),
            "byte 0: field 6 claims 4294967295 bytes, 1 are left"
        );
    }

    #[test]
    fn endless_and_broken_numbers_are_told_apart() {
        let at = |bytes: &[u8]| {
            Reader::new(bytes, 0, bytes.len())
                .varint()
                .unwrap_err()
                .to_string()
        };
        assert!(at(&[0x80; 11]).contains("more than ten"));
        assert!(at(&[0x80; 3]).contains("truncated"));
        assert_eq!(quick(&[0x80; 11], &mut 0), None);
    }
}

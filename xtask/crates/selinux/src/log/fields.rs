//! `key=value` pairs of a record, and the encodings of their values.

use std::borrow::Cow;

/// Kinds of bytes: a table, because every byte of a log is looked up.
const PLAIN: u8 = 0;
const SEPARATOR: u8 = 1;
const EQUALS: u8 = 2;

/// The last separator stands before fields that auditd adds (`log_format = ENRICHED`).
const KINDS: [u8; 256] = {
    let mut kinds = [PLAIN; 256];
    let separators = *b" \t\r\n\0\x1d";
    let mut at = 0;
    while at < separators.len() {
        kinds[separators[at] as usize] = SEPARATOR;
        at += 1;
    }
    kinds[b'=' as usize] = EQUALS;
    kinds
};

fn is_separator(byte: u8) -> bool {
    KINDS[usize::from(byte)] == SEPARATOR
}

/// Iterates over `key=value`; other words are skipped. The value has its quotes.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    /// Bytes that were not read yet.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let start = self.rest.iter().position(|byte| !is_separator(*byte))?;
            let text = &self.rest[start..];
            let stop = text
                .iter()
                .position(|byte| KINDS[usize::from(*byte)] != PLAIN)
                .unwrap_or(text.len());
            if text.get(stop) != Some(&b'=') {
                self.rest = &text[stop..];
                continue;
            }
            let (key, after) = (&text[..stop], &text[stop + 1..]);
            let end = end_of_value(after);
            self.rest = &after[end..];
            return Some((key, &after[..end]));
        }
    }
}

/// A quoted value may contain blanks; a quote that is not closed ends like a
/// value without quotes.
fn end_of_value(text: &[u8]) -> usize {
    if text.first() == Some(&b'"')
        && let Some(close) = memchr::memchr(b'"', &text[1..])
    {
        return close + 2;
    }
    let end = text.iter().position(|byte| is_separator(*byte));
    end.unwrap_or(text.len())
}

/// The text between quotes, or the value itself.
pub(super) fn unquoted(value: &[u8]) -> &[u8] {
    let value = value.strip_prefix(b"\"").unwrap_or(value);
    value.strip_suffix(b"\"").unwrap_or(value)
}

/// A value of which the kernel says that it is untrusted: in quotes as it is, else
/// in upper-case hexadecimal digits. Numbers are not such values.
pub(super) fn untrusted(value: &[u8], is_interpreted: bool) -> Cow<'_, [u8]> {
    if value.first() == Some(&b'"') || is_interpreted {
        return Cow::Borrowed(unquoted(value));
    }
    match from_hex(value) {
        Some(bytes) => Cow::Owned(bytes),
        None => Cow::Borrowed(value),
    }
}

fn from_hex(value: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    };
    if value.is_empty() || !value.len().is_multiple_of(2) {
        return None;
    }
    value
        .chunks_exact(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}

/// The leading word of letters, digits and `_`: what follows in the same field is
/// text of another line, or JSON.
pub(super) fn identifier(value: &[u8]) -> &[u8] {
    let value = unquoted(value);
    let end = value
        .iter()
        .position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_');
    &value[..end.unwrap_or(value.len())]
}

/// The leading decimal number.
pub(super) fn number(value: &[u8]) -> Option<u64> {
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit());
    let mut sum = None;
    for digit in digits {
        let so_far: u64 = sum.unwrap_or(0);
        sum = Some(
            so_far
                .checked_mul(10)?
                .checked_add(u64::from(digit - b'0'))?,
        );
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let text_of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Fields::new(text.as_bytes())
            .map(|(key, value)| (text_of(key), text_of(value)))
            .collect()
    }

    #[test]
    fn quotes_blanks_and_words_between_fields() {
        let text = "for  pid=7 comm=\"a b\" [talos] odd name=\"open tclass=file\u{1d}UID=\"root\"";
        let expected = [
            ("pid", "7"),
            ("comm", "\"a b\""),
            ("name", "\"open tclass=file\u{1d}UID=\""),
        ];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(pairs(text), expected);
        assert_eq!(pairs("a= =b =").len(), 3);
    }

    #[test]
    fn untrusted_values_are_decoded_and_numbers_are_not() {
        assert_eq!(&*untrusted(b"2F746D702F6120", false), b"/tmp/a ");
        assert_eq!(&*untrusted(b"\"2F74\"", false), b"2F74");
        assert_eq!(&*untrusted(b"2F7", false), b"2F7");
        assert_eq!(&*untrusted(b"cafe", false), b"cafe");
        assert_eq!(&*untrusted(b"2F74", true), b"2F74");
        assert_eq!(number(b"8443x"), Some(8443));
        assert_eq!(number(b"99999999999999999999999"), None);
        assert_eq!(identifier(b"file\"},"), b"file");
    }
}

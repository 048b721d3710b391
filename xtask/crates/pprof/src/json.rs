//! JSON for exports and for the page, whose script contains it.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// Serializes `value` as JSON without blanks, safe within a `<script>`: names in a
/// profile may come from anyone.
pub(crate) fn to_string(value: &impl Serialize) -> String {
    let mut out = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut out, InScript);
    // Neither the values nor writing to memory can fail.
    let _ = value.serialize(&mut serializer);
    String::from_utf8(out).unwrap_or_default()
}

/// Escapes the characters that end a script, begin a comment, or end a line.
struct InScript;

impl Formatter for InScript {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            writer.write_all(&rest.as_bytes()[..at])?;
            let mut chars = rest[at..].chars();
            if let Some(escaped) = chars.next() {
                write!(writer, "\\u{:04x}", u32::from(escaped))?;
            }
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_its_quotes_or_its_script() {
        let name = "a\"b\\c</script><!--\n\u{2028}";
        let json = to_string(&name);
        assert_eq!(json, r#""a\"b\\c\u003c/script\u003e\u003c!--\n\u2028""#);
        let read: String = serde_json::from_str(&json).unwrap();
        assert_eq!(read, name);
    }
}

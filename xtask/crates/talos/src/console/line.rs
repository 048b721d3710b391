//! Splits a console into lines, and a line into time stamp and text.

use memchr::{memchr, memchr2};
use std::borrow::Cow;

/// Maximum length of a line in bytes. A longer one, most likely binary noise,
/// is passed on in pieces of this length, so that memory is bounded. QEMU's
/// arguments, the longest line that matters, have 2 to 4 KiB.
pub const MAX_LINE: usize = 16 * 1024;

/// Splits chunks of any size into lines.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
    /// Offset of the first byte of `partial`.
    start: u64,
}

impl Lines {
    /// Reads a file from `offset` on, which should be a line's first byte.
    pub fn at(offset: u64) -> Self {
        Self {
            partial: Vec::new(),
            start: offset,
        }
    }

    /// Passes every line that `chunk` completes to `each`: offset of its first
    /// byte, and its bytes without the newline. The rest is kept.
    pub fn feed(&mut self, chunk: &[u8], mut each: impl FnMut(u64, &[u8])) {
        let mut rest = chunk;
        while !rest.is_empty() {
            let room = MAX_LINE - self.partial.len();
            // Not farther than the piece may reach: a chunk may be a single
            // line.
            let newline = memchr(b'\n', &rest[..rest.len().min(room + 1)]);
            let piece = newline.unwrap_or(rest.len());
            if piece > room {
                self.emit(&rest[..room], 0, &mut each);
                rest = &rest[room..];
            } else if newline.is_some() {
                self.emit(&rest[..piece], 1, &mut each);
                rest = &rest[piece + 1..];
            } else {
                self.partial.extend_from_slice(rest);
                return;
            }
        }
    }

    /// Passes on a last line without a newline.
    pub fn finish(&mut self, mut each: impl FnMut(u64, &[u8])) {
        if !self.partial.is_empty() {
            self.emit(&[], 0, &mut each);
        }
    }

    /// `newline` is 1 when one follows `tail` and belongs to the line.
    fn emit(&mut self, tail: &[u8], newline: u64, each: &mut impl FnMut(u64, &[u8])) {
        let start = self.start;
        self.start += (self.partial.len() + tail.len()) as u64 + newline;
        if self.partial.is_empty() {
            each(start, tail);
        } else {
            self.partial.extend_from_slice(tail);
            each(start, &self.partial);
            self.partial.clear();
        }
    }
}

/// Removes escape sequences and carriage returns from a line.
pub fn clean(line: &[u8]) -> Cow<'_, [u8]> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let Some(first) = memchr2(0x1b, b'\r', line) else {
        return Cow::Borrowed(line);
    };
    let mut text = line[..first].to_vec();
    let mut rest = &line[first..];
    while let Some((&byte, tail)) = rest.split_first() {
        rest = match byte {
            0x1b => after_escape(tail),
            b'\r' => tail,
            _ => {
                text.push(byte);
                tail
            }
        };
    }
    Cow::Owned(text)
}

/// Returns the rest after an escape sequence whose ESC is already removed (ECMA-48).
fn after_escape(rest: &[u8]) -> &[u8] {
    match rest.first() {
        Some(b'[') => {
            let end = rest[1..].iter().position(|b| (0x40..=0x7e).contains(b));
            end.map_or(&[], |end| &rest[end + 2..])
        }
        // Operating system commands end with BEL.
        Some(b']') => memchr(0x07, rest).map_or(&[], |end| &rest[end + 1..]),
        // Intermediate bytes, then a final one: `ESC ( B`.
        Some(0x20..=0x2f) => {
            let end = rest.iter().position(|b| (0x30..=0x7e).contains(b));
            end.map_or(&[], |end| &rest[end + 1..])
        }
        Some(_) => &rest[1..],
        None => rest,
    }
}

/// Splits `[   12.345678] text` into seconds since the kernel's start and text.
/// A caller field (`[T1]`, kernels with `CONFIG_PRINTK_CALLER`) is skipped.
pub fn kernel_time(line: &[u8]) -> Option<(f64, &[u8])> {
    let inner = line.strip_prefix(b"[")?;
    let end = inner.iter().take(24).position(|b| *b == b']')?;
    let number = std::str::from_utf8(&inner[..end])
        .ok()?
        .trim_start_matches(' ');
    let (seconds, micros) = number.split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(seconds) || !digits(micros) || micros.len() != 6 {
        return None;
    }
    let time = number.parse().ok()?;
    Some((time, after_caller(&inner[end + 1..])))
}

fn after_caller(rest: &[u8]) -> &[u8] {
    let caller = || {
        let inner = rest.strip_prefix(b"[")?.trim_ascii_start();
        let end = inner.iter().take(12).position(|b| *b == b']')?;
        let (kind, number) = inner[..end].split_first()?;
        (matches!(kind, b'T' | b'C') && number.iter().all(u8::is_ascii_digit))
            .then(|| &inner[end + 1..])
    };
    let rest = caller().unwrap_or(rest);
    rest.strip_prefix(b" ").unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(chunks: &[&[u8]]) -> Vec<(u64, Vec<u8>)> {
        let mut found = Vec::new();
        let mut lines = Lines::default();
        for chunk in chunks {
            lines.feed(chunk, |at, line| found.push((at, line.to_vec())));
        }
        lines.finish(|at, line| found.push((at, line.to_vec())));
        found
    }

    #[test]
    fn offsets_are_the_files() {
        let found = lines(&[b"ab\r\n\ncd", b"ef\ng"]);
        let expected: [(u64, &[u8]); 4] = [(0, b"ab\r"), (4, b""), (5, b"cdef"), (10, b"g")];
        assert_eq!(found, expected.map(|(at, line)| (at, line.to_vec())));
    }

    #[test]
    fn noise_without_newlines_is_handed_on_in_pieces() {
        let noise = vec![0xff; 2 * MAX_LINE + 5];
        let found = lines(&[&noise]);
        let lengths: Vec<_> = found.iter().map(|(at, line)| (*at, line.len())).collect();
        let max = MAX_LINE as u64;
        assert_eq!(lengths, [(0, MAX_LINE), (max, MAX_LINE), (2 * max, 5)]);
    }

    #[test]
    fn a_line_of_exactly_the_maximum_is_one() {
        let mut line = vec![b'x'; MAX_LINE];
        line.push(b'\n');
        assert_eq!(lines(&[&line]).len(), 1);
        assert_eq!(lines(&[&line[..MAX_LINE], b"\n"]).len(), 1);
    }

    #[test]
    fn escapes_go() {
        let cases: [(&[u8], &[u8]); 7] = [
            (b"plain\r", b"plain"),
            (b"\x1bc\x1b[?7l\x1b[2J\x1b[0mSeaBIOS", b"SeaBIOS"),
            (b"a\x1b(Bb\x1b]0;title\x07c", b"abc"),
            (b"a\rb", b"ab"),
            (b"cut \x1b[", b"cut "),
            (b"cut \x1b", b"cut "),
            (b"\x1b[1;31mred\x1b[m", b"red"),
        ];
        for (line, text) in cases {
            assert_eq!(clean(line).as_ref(), text);
        }
    }

    #[test]
    fn time_stamps() {
        assert_eq!(
            kernel_time(b"[   12.345678] hi"),
            Some((12.345_678, b"hi".as_slice()))
        );
        assert_eq!(
            kernel_time(b"[    0.000000][    T0] hi"),
            Some((0.0, b"hi".as_slice()))
        );
        assert_eq!(
            kernel_time(b"[12345.000001] [talos] x"),
            Some((12_345.000_001, &b"[talos] x"[..]))
        );
        for none in [
            "",
            "[talos] hi",
            "[ 1.5] x",
            "[   12.345678",
            "[x.000000] y",
            "12.345678] y",
        ] {
            assert_eq!(kernel_time(none.as_bytes()), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_lines(bytes: Vec<u8>, cuts in prop::collection::vec(0usize..300, 0..8)) {
            let mut cuts: Vec<_> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for cut in cuts {
                chunks.push(&bytes[from..cut]);
                from = cut;
            }
            chunks.push(&bytes[from..]);
            prop_assert_eq!(lines(&chunks), lines(&[&bytes]));
        }

        #[test]
        fn clean_never_panics(bytes: Vec<u8>) {
            let text = clean(&bytes);
            prop_assert!(!text.contains(&0x1b) && !text.contains(&b'\r'));
            let _ = kernel_time(&text);
        }
    }
}

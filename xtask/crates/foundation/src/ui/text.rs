//! Escapes text for terminals: text from outside cannot move the cursor, set
//! the clipboard, change the order of letters or forge the colours of this
//! program.

use std::borrow::Cow;
use std::fmt::Write;
use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

/// Starts a style. A noncharacter, which valid text does not contain.
const OPEN: char = '\u{fdd0}';

/// Whether a terminal would interpret the character, hide it, or reorder others
/// because of it. Joiners are allowed: emoji and some scripts need them.
pub fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fdd0}'..='\u{fdef}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// Escapes text from outside: newlines and tabs stay, every other hidden
/// character is spelled out, as in `\x1b` or `\u{202e}`.
pub fn escape(text: &str) -> Cow<'_, str> {
    spelled(text, false)
}

/// `1 error`, `2 errors`
pub fn counted(n: u64, what: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {what}{s}")
}

/// Like [`escape`], for a name within a line: newlines and tabs are spelled out
/// too.
pub fn one_line(text: &str) -> Cow<'_, str> {
    spelled(text, true)
}

/// Indents all lines after the first by at least `width`, so that a text of
/// several lines looks like one item.
pub fn hanging(text: &str, width: usize) -> Cow<'_, str> {
    if !text.contains('\n') {
        return Cow::Borrowed(text);
    }
    let mut lines = text.split('\n');
    let mut out = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        let has = line.len() - line.trim_start_matches(' ').len();
        let padding = if line.is_empty() {
            0
        } else {
            width.min(WIDEST_COLUMN).saturating_sub(has)
        };
        let _ = write!(out, "\n{:padding$}{line}", "");
    }
    Cow::Owned(out)
}

/// Breaks text of one line at its spaces, so that it ends before column `width` if it begins
/// at column `indent`; further lines begin there too. A word is never broken.
pub fn wrapped(text: &str, indent: usize, width: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut column = indent;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > indent && column + 1 + length > width {
            let _ = write!(out, "\n{:indent$}", "");
            column = indent;
        } else if column > indent {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

/// A wider cell is printed whole, and moves its own row alone. Also far below
/// the largest width that `format!` takes, 65535: more is a panic.
const WIDEST_COLUMN: usize = 100;

/// Characters that the widest of these cells takes on one line.
pub fn column_width<T: AsRef<str>>(cells: impl IntoIterator<Item = T>) -> usize {
    let widths = cells
        .into_iter()
        .map(|cell| one_line(cell.as_ref()).chars().count());
    widths.max().unwrap_or(0).min(WIDEST_COLUMN)
}

/// A line in this many characters.
pub fn cut(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let mut out: String = line.chars().take(width.saturating_sub(1)).collect();
    out.push('…');
    out
}

fn spelled(text: &str, one_line: bool) -> Cow<'_, str> {
    let Some(mut at) = next_hidden(text, one_line) else {
        return Cow::Borrowed(text);
    };
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    loop {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let mut characters = from.chars();
        if let Some(c) = characters.next() {
            rest = characters.as_str();
            // `\r\n` is a line end.
            if one_line || c != '\r' || !rest.starts_with('\n') {
                spell(&mut out, c);
            }
        }
        match next_hidden(rest, one_line) {
            Some(next) => at = next,
            None => break,
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn next_hidden(text: &str, one_line: bool) -> Option<usize> {
    let is_shown = |c: char| match c {
        '\n' | '\t' => !one_line,
        _ => !is_hidden(c),
    };
    text.find(|c| !is_shown(c))
}

fn spell(out: &mut String, c: char) {
    let _ = match c {
        '\n' => write!(out, "\\n"),
        '\r' => write!(out, "\\r"),
        '\t' => write!(out, "\\t"),
        c if c.is_ascii() => write!(out, "\\x{:02x}", u32::from(c)),
        c => write!(out, "\\u{{{:x}}}", u32::from(c)),
    };
}

/// Escapes hidden characters in JSON without changing its value. Outside
/// strings JSON only contains spaces and line ends, inside of them no control
/// characters but DEL, so megabytes of ASCII are not looked at one by one.
pub fn json(text: &str) -> Cow<'_, str> {
    if is_plain_json(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for object in text.split_inclusive('}') {
        if is_plain_json(object) {
            out.push_str(object);
            continue;
        }
        for c in object.chars() {
            if is_hidden(c) && !matches!(c, '\n' | '\r' | '\t') {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            } else {
                out.push(c);
            }
        }
    }
    Cow::Owned(out)
}

fn is_plain_json(text: &str) -> bool {
    text.is_ascii() && !text.contains('\x7f')
}

/// A random token per process: text from outside cannot know it, and so cannot
/// forge a style.
fn token() -> &'static str {
    static TOKEN: OnceLock<String> = OnceLock::new();
    TOKEN.get_or_init(|| {
        let random = std::hash::RandomState::new();
        format!("{OPEN}{:016x}", random.build_hasher().finish())
    })
}

/// Text without colours and other styles of a terminal.
pub fn without_styles(text: &str) -> Cow<'_, str> {
    if !text.contains("\x1b[") {
        return Cow::Borrowed(text);
    }
    let mut pieces = text.split("\x1b[");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let plain = piece.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        if let Some(plain) = plain.strip_prefix('m') {
            out.push_str(plain);
        } else {
            out.push_str("\x1b[");
            out.push_str(piece);
        }
    }
    Cow::Owned(out)
}

/// Returns a mark for SGR parameters such as `1;31`; only [`rendered`] turns it
/// into an escape sequence.
pub fn sgr(parameters: &str) -> String {
    format!("{}{parameters}m", token())
}

/// SGR sequences of a text of our own, such as help, as marks of [`sgr`].
pub fn with_marks(ansi: &str) -> String {
    let mut pieces = ansi.split("\x1b[");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let plain = piece.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        if let Some(plain) = plain.strip_prefix('m') {
            out.push_str(&sgr(&piece[..piece.len() - plain.len() - 1]));
            out.push_str(plain);
        } else {
            out.push_str("\x1b[");
            out.push_str(piece);
        }
    }
    out
}

/// What may be written to a terminal: our styles as its sequences, everything
/// else as [`escape`] shows it.
pub fn rendered(text: &str) -> Cow<'_, str> {
    if !text.contains(OPEN) {
        return escape(text);
    }
    let mut out = String::with_capacity(text.len() + 64);
    let mut pieces = text.split(token());
    out.push_str(&escape(pieces.next().unwrap_or_default()));
    for piece in pieces {
        let plain = piece.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        let parameters = &piece[..piece.len() - plain.len()];
        if let Some(plain) = plain.strip_prefix('m') {
            let _ = write!(out, "\x1b[{parameters}m");
            out.push_str(&escape(plain));
        } else {
            out.push_str(&escape(piece));
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_colours_of_help_are_kept() {
        let help = with_marks("\x1b[1;4mUsage:\x1b[0m x \x1b[2J");
        assert_eq!(rendered(&help), "\x1b[1;4mUsage:\x1b[0m x \\x1b[2J");
    }

    #[test]
    fn styles_are_removed_and_nothing_else() {
        assert_eq!(without_styles("\x1b[1;31ma\x1b[0mb\x1b[2Jc"), "ab\x1b[2Jc");
        assert!(matches!(without_styles("plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_a_terminal_would_obey_is_spelled_out() {
        for (text, shown) in [
            ("a\x1b[31mb", "a\\x1b[31mb"),
            ("\x1b]52;c;eA==\x07", "\\x1b]52;c;eA==\\x07"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("\u{202e}txt.exe", "\\u{202e}txt.exe"),
            (
                "a\u{2066}b\u{2069}c\u{200f}",
                "a\\u{2066}b\\u{2069}c\\u{200f}",
            ),
            ("over\rwritten", "over\\rwritten"),
            ("\x00\x7f\x08", "\\x00\\x7f\\x08"),
            ("\u{e0041}\u{feff}", "\\u{e0041}\\u{feff}"),
            ("\u{fdd0}0000000000000000m", "\\u{fdd0}0000000000000000m"),
        ] {
            assert_eq!(escape(text), shown);
            assert_eq!(rendered(text), shown);
        }
        assert_eq!(escape("a\r\nb\r\r\n"), "a\nb\\r\n");
        let kept = "lines\n\tand tabs\n, \u{e4}, \u{1f469}\u{200d}\u{1f4bb}";
        assert!(matches!(escape(kept), Cow::Borrowed(text) if text == kept));
        assert_eq!(one_line("a\nb\tc\r\nd"), "a\\nb\\tc\\r\\nd");
    }

    #[test]
    fn only_our_own_styles_become_sequences() {
        let painted = format!("{}a\x1b[31mb{}c", sgr("1;31"), sgr("0"));
        assert_eq!(rendered(&painted), "\x1b[1;31ma\\x1b[31mb\x1b[0mc");
        let forged = sgr("31").replace(|c: char| c.is_ascii_hexdigit(), "0");
        assert!(!rendered(&forged).contains('\x1b'));
        let odd = format!("{}2J", token());
        assert_eq!(rendered(&odd), "2J");
    }

    #[test]
    fn json_keeps_its_value() {
        let value = serde_json::json!({"a\u{9b}": "\x1b\x7f\u{202e}\u{e0041}\n\u{e4}\r\u{2028}"});
        for text in [value.to_string(), format!("{value:#}")] {
            let safe = json(&text);
            assert!(!safe.chars().any(|c| is_hidden(c) && c != '\n'), "{safe:?}");
            let read: serde_json::Value = serde_json::from_str(&safe).unwrap();
            assert_eq!(read, value);
        }
    }

    #[test]
    fn lines_are_broken_at_spaces_and_begin_at_one_column() {
        assert_eq!(wrapped("one two  three", 2, 9), "one two\n  three");
        assert_eq!(
            wrapped("one incomprehensible two", 1, 8),
            "one\n incomprehensible\n two"
        );
        assert_eq!(wrapped("", 4, 10), "");
    }

    #[test]
    fn further_lines_hang_below_the_first() {
        assert_eq!(hanging("a\nhint: b\n    c\n", 2), "a\n  hint: b\n    c\n");
        assert_eq!(hanging("a", 2), "a");
    }
}

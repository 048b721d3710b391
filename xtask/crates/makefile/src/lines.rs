//! Joins physical lines to logical ones: continuations and comments.

/// A logical line with the number of its first physical line, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Logical<'a> {
    pub(crate) number: usize,
    /// The whole line with its backslash-newlines, without the last newline.
    pub(crate) raw: &'a str,
}

/// All logical lines: a newline after an odd number of backslashes continues.
pub(crate) fn logical(text: &str) -> Vec<Logical<'_>> {
    let mut lines = Vec::new();
    let (mut start, mut number, mut first) = (0, 1, 1);
    for (at, _) in text.match_indices('\n') {
        number += 1;
        if is_continued(&text[start..at]) {
            continue;
        }
        lines.push(Logical {
            number: first,
            raw: &text[start..at],
        });
        start = at + 1;
        first = number;
    }
    if start < text.len() {
        lines.push(Logical {
            number: first,
            raw: &text[start..],
        });
    }
    lines
}

/// Whether `line` ends in an odd number of backslashes.
pub(crate) fn is_continued(line: &str) -> bool {
    (line.len() - line.trim_end_matches('\\').len()) % 2 == 1
}

/// Backslash-newlines with the blanks around them become one space
/// (`collapse_continuations`).
pub(crate) fn collapse(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\n') {
        let before = &rest[..at];
        rest = &rest[at + 1..];
        let kept = before.trim_end_matches('\\');
        let slashes = before.len() - kept.len();
        out.push_str(kept);
        out.push_str(&"\\".repeat(slashes / 2));
        if slashes.is_multiple_of(2) {
            out.push('\n');
            continue;
        }
        if slashes / 2 == 0 {
            out.truncate(out.trim_end_matches([' ', '\t']).len());
        }
        out.push(' ');
        rest = rest.trim_start_matches([' ', '\t']);
    }
    out.push_str(rest);
    out
}

/// Splits at the first `#` that is neither escaped nor inside a variable
/// reference (`remove_comments`); an escaped one loses its backslash.
pub(crate) fn split_comment(line: &str) -> (String, Option<&str>) {
    let bytes = line.as_bytes();
    let mut out = String::with_capacity(line.len());
    let (mut at, mut from) = (0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'$' => at = reference_end(line, at),
            b'#' => {
                let slashes = bytes[from..at]
                    .iter()
                    .rev()
                    .take_while(|byte| **byte == b'\\')
                    .count();
                out.push_str(&line[from..at - slashes]);
                out.push_str(&"\\".repeat(slashes / 2));
                if slashes.is_multiple_of(2) {
                    return (out, Some(&line[at + 1..]));
                }
                out.push('#');
                from = at + 1;
                at += 1;
            }
            _ => at += 1,
        }
    }
    out.push_str(&line[from..]);
    (out, None)
}

/// The end of the reference whose `$` is at `at`: after its closing bracket,
/// or after the one character that it names.
pub(crate) fn reference_end(text: &str, at: usize) -> usize {
    let rest = &text[at + 1..];
    let Some(open) = rest.chars().next() else {
        return text.len();
    };
    let close = match open {
        '(' => ')',
        '{' => '}',
        other => return at + 1 + other.len_utf8(),
    };
    let mut depth = 0_usize;
    for (offset, character) in rest.char_indices() {
        if character == open {
            depth += 1;
        } else if character == close {
            depth -= 1;
            if depth == 0 {
                return at + 1 + offset + close.len_utf8();
            }
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_number_of_backslashes_continues() {
        let lines = logical("a \\\n b\nc\\\\\nd");
        let raws: Vec<_> = lines.iter().map(|line| (line.number, line.raw)).collect();
        assert_eq!(raws, [(1, "a \\\n b"), (3, "c\\\\"), (4, "d")]);
        assert_eq!(collapse("a \\\n\t b"), "a b");
    }

    #[test]
    fn a_number_sign_in_a_reference_or_escaped_is_no_comment() {
        assert_eq!(
            split_comment("a $(x #) b # c"),
            ("a $(x #) b ".into(), Some(" c"))
        );
        assert_eq!(split_comment(r"a\#b"), ("a#b".into(), None));
        assert_eq!(split_comment("plain"), ("plain".into(), None));
    }
}

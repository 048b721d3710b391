//! Values as they are written: literal text, variables, function calls.

use crate::lines::reference_end;

/// A piece of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    Text(&'a str),
    /// `$$`
    Dollar,
    /// The inside of `$(…)`, `${…}`, or the one character of `$x`; with the
    /// closing bracket, which decides how arguments are split.
    Reference(&'a str, Option<char>),
    /// `$(` that nothing closes.
    Unclosed(&'a str),
}

/// All pieces of `text`, in order.
pub(crate) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut out = Vec::new();
    let (mut at, mut from) = (0, 0);
    while let Some(offset) = text[at..].find('$') {
        at += offset;
        if at > from {
            out.push(Piece::Text(&text[from..at]));
        }
        let end = reference_end(text, at);
        let inside = &text[at + 1..end];
        match inside.chars().next() {
            // A lone `$` at the end is dropped, as make does.
            None => {}
            Some('$') => out.push(Piece::Dollar),
            Some(open @ ('(' | '{')) => {
                let close = if open == '(' { ')' } else { '}' };
                match inside
                    .strip_suffix(close)
                    .filter(|_| is_closed(inside, open, close))
                {
                    Some(inside) => out.push(Piece::Reference(&inside[1..], Some(close))),
                    None => out.push(Piece::Unclosed(inside)),
                }
            }
            Some(_) => out.push(Piece::Reference(inside, None)),
        }
        at = end;
        from = end;
    }
    if from < text.len() {
        out.push(Piece::Text(&text[from..]));
    }
    out
}

fn is_closed(inside: &str, open: char, close: char) -> bool {
    let count = |wanted: char| {
        inside
            .chars()
            .filter(|character| *character == wanted)
            .count()
    };
    count(open) == count(close)
}

/// Split a call into its name and the rest after the blank, if `inside` is one.
pub(crate) fn call(inside: &str) -> Option<(&str, &str)> {
    let end = inside.find(|c: char| !(c.is_ascii_lowercase() || c == '-'))?;
    let rest = &inside[end..];
    let arguments = rest.strip_prefix([' ', '\t'])?;
    (end > 0 && crate::functions::NAMES.contains(&&inside[..end]))
        .then(|| (&inside[..end], arguments.trim_start_matches([' ', '\t'])))
}

/// Arguments of a call, not expanded; the last keeps further commas.
pub(crate) fn arguments(text: &str, close: Option<char>, most: usize) -> Vec<&str> {
    let (open, close) = match close {
        Some('}') => ('{', '}'),
        _ => ('(', ')'),
    };
    let (mut out, mut depth, mut from) = (Vec::new(), 0_i32, 0);
    for (at, character) in text.char_indices() {
        if character == open {
            depth += 1;
        } else if character == close {
            depth -= 1;
        } else if character == ',' && depth == 0 && out.len() + 1 < most {
            out.push(&text[from..at]);
            from = at + 1;
        }
    }
    out.push(&text[from..]);
    out
}

/// `NAME:A=B` of a substitution reference.
pub(crate) fn substitution(inside: &str) -> Option<(&str, &str, &str)> {
    let mut colon = None;
    let bytes = inside.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'$' => {
                at = reference_end(inside, at);
                continue;
            }
            b':' if colon.is_none() => colon = Some(at),
            b'=' => {
                let colon = colon?;
                return Some((&inside[..colon], &inside[colon + 1..at], &inside[at + 1..]));
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Names of all variables that `text` may refer to, those inside calls too;
/// names that are themselves made of variables are left out.
pub(crate) fn names(text: &str, found: &mut dyn FnMut(&str)) {
    for piece in pieces(text) {
        let Piece::Reference(inside, _) = piece else {
            continue;
        };
        if call(inside).is_none() {
            let name = substitution(inside).map_or(inside, |(name, ..)| name);
            if !name.contains('$') {
                found(name);
            }
        }
        names(inside, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_a_value() {
        assert_eq!(
            pieces("a$(b $(c))$$d$@"),
            [
                Piece::Text("a"),
                Piece::Reference("b $(c)", Some(')')),
                Piece::Dollar,
                Piece::Text("d"),
                Piece::Reference("@", None)
            ]
        );
        assert_eq!(pieces("$(a"), [Piece::Unclosed("(a")]);
        assert_eq!(pieces("x$"), [Piece::Text("x")]);
    }

    #[test]
    fn arguments_split_at_their_own_brackets_only() {
        assert_eq!(
            arguments("a,(b,c),d,e", Some(')'), 3),
            ["a", "(b,c)", "d,e"]
        );
        assert_eq!(call("subst ,, "), Some(("subst", ",, ")));
        assert_eq!(call("substitute x"), None);
        assert_eq!(substitution("X:.c=.o"), Some(("X", ".c", ".o")));
    }
}

//! Values as written: literal text, variables, function calls.

use crate::functions::{self, Function};
use crate::limits::MAX_NESTING;
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

/// Whether references are nested too deeply for evaluation. One pass over the
/// text, because evaluating each level costs a pass over all levels below it.
pub(crate) fn is_too_deep(text: &str) -> bool {
    let mut depth = 0_usize;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'$' if matches!(bytes.next(), Some(b'(' | b'{')) => depth += 1,
            b')' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_NESTING {
            return true;
        }
    }
    false
}

/// Returns all pieces of `text`, in order. An iterator, because a list would
/// take many times the memory of the text.
pub(crate) fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let dollar = rest.find('$').unwrap_or(rest.len());
            if dollar > 0 {
                let (before, after) = rest.split_at(dollar);
                rest = after;
                return Some(Piece::Text(before));
            }
            let (reference, after) = rest.split_at(reference_end(rest, 0));
            rest = after;
            // A lone `$` at the end is dropped, as make does.
            if let Some(piece) = reference_piece(&reference[1..]) {
                return Some(piece);
            }
        }
        None
    })
}

/// Parses the text after a `$`.
fn reference_piece(inside: &str) -> Option<Piece<'_>> {
    Some(match inside.chars().next()? {
        '$' => Piece::Dollar,
        open @ ('(' | '{') => {
            let close = if open == '(' { ')' } else { '}' };
            match inside
                .strip_suffix(close)
                .filter(|_| is_closed(inside, open, close))
            {
                Some(inside) => Piece::Reference(&inside[1..], Some(close)),
                None => Piece::Unclosed(inside),
            }
        }
        _ => Piece::Reference(inside, None),
    })
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

/// Splits a call of a function into the function and its arguments.
pub(crate) fn call(inside: &str) -> Option<(&'static Function, &str)> {
    let end = inside.find(|c: char| !(c.is_ascii_lowercase() || c == '-'))?;
    let rest = &inside[end..];
    let arguments = rest.strip_prefix([' ', '\t'])?;
    let function = functions::find(&inside[..end])?;
    Some((function, arguments.trim_start_matches([' ', '\t'])))
}

/// Returns the arguments of a call, not expanded; the last one keeps further
/// commas.
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

/// Names all variables that `text` may refer to, including those inside calls;
/// without names that are themselves made of variables, and without what is
/// nested too deeply for evaluation.
pub(crate) fn names(text: &str, found: &mut dyn FnMut(&str)) {
    if !is_too_deep(text) {
        names_within(text, MAX_NESTING, found);
    }
}

fn names_within(text: &str, depth: usize, found: &mut dyn FnMut(&str)) {
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
        if depth > 0 {
            names_within(inside, depth - 1, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<Piece<'_>> {
        pieces(text).collect()
    }

    #[test]
    fn pieces_of_a_value() {
        assert_eq!(
            all("a$(b $(c))$$d$@"),
            [
                Piece::Text("a"),
                Piece::Reference("b $(c)", Some(')')),
                Piece::Dollar,
                Piece::Text("d"),
                Piece::Reference("@", None)
            ]
        );
        assert_eq!(all("$(a"), [Piece::Unclosed("(a")]);
        assert_eq!(all("x$"), [Piece::Text("x")]);
        assert_eq!(all("$"), []);
    }

    #[test]
    fn names_end_where_evaluation_does() {
        let deep = format!("{}x{}", "$(".repeat(100_000), ")".repeat(100_000));
        let mut found = 0;
        names(&deep, &mut |_| found += 1);
        assert_eq!(found, 0);
        names("$(a $(b) $(c:x=$(d)))", &mut |_| found += 1);
        assert_eq!(found, 3);
    }

    #[test]
    fn arguments_split_at_their_own_brackets_only() {
        assert_eq!(
            arguments("a,(b,c),d,e", Some(')'), 3),
            ["a", "(b,c)", "d,e"]
        );
        let call = |inside| call(inside).map(|(function, text)| (function.name, text));
        assert_eq!(call("subst ,, "), Some(("subst", ",, ")));
        assert_eq!(call("substitute x"), None);
        assert_eq!(substitution("X:.c=.o"), Some(("X", ".c", ".o")));
    }
}

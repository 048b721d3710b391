//! `ifeq`, `ifneq`, `ifdef`, `ifndef` as written.

/// A condition, not expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Test {
    /// Both sides, and whether they must be equal.
    Equal {
        left: String,
        right: String,
        wanted: bool,
    },
    Defined {
        name: String,
        wanted: bool,
    },
}

/// Parses a condition; none for a line that begins with another word.
pub(crate) fn parse(line: &str) -> Option<Result<Test, &'static str>> {
    let line = line.trim();
    let (word, rest) = line.split_at(line.find([' ', '\t', '(', '"', '\'']).unwrap_or(line.len()));
    let rest = rest.trim();
    let wanted = matches!(word, "ifeq" | "ifdef");
    match word {
        "ifeq" | "ifneq" => Some(sides(rest).map(|(left, right)| Test::Equal {
            left,
            right,
            wanted,
        })),
        "ifdef" | "ifndef" if rest.is_empty() => Some(Err("a condition without a variable")),
        "ifdef" | "ifndef" => Some(Ok(Test::Defined {
            name: rest.to_owned(),
            wanted,
        })),
        _ => None,
    }
}

fn sides(rest: &str) -> Result<(String, String), &'static str> {
    let wrong = "a condition that is neither `(a,b)` nor `\"a\" \"b\"`";
    if let Some(inside) = rest.strip_prefix('(') {
        let inside = inside.strip_suffix(')').ok_or(wrong)?;
        let comma = top_level_comma(inside).ok_or(wrong)?;
        let left = inside[..comma].trim_end_matches([' ', '\t']);
        let right = inside[comma + 1..].trim_start_matches([' ', '\t']);
        return Ok((left.to_owned(), right.to_owned()));
    }
    let (left, rest) = quoted(rest).ok_or(wrong)?;
    let (right, rest) = quoted(rest.trim_start()).ok_or(wrong)?;
    rest.trim()
        .is_empty()
        .then(|| (left.to_owned(), right.to_owned()))
        .ok_or(wrong)
}

fn top_level_comma(inside: &str) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, character) in inside.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text
        .chars()
        .next()
        .filter(|first| matches!(first, '"' | '\''))?;
    let rest = &text[1..];
    let end = rest.find(quote)?;
    Some((&rest[..end], &rest[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings() {
        let equal = |left: &str, right: &str, wanted| Test::Equal {
            left: left.into(),
            right: right.into(),
            wanted,
        };
        assert_eq!(
            parse("ifneq (, $(filter $(X), t true))").unwrap().unwrap(),
            equal("", "$(filter $(X), t true)", false)
        );
        assert_eq!(
            parse("ifeq \"a b\" 'c'").unwrap().unwrap(),
            equal("a b", "c", true)
        );
        assert_eq!(
            parse("ifdef X").unwrap().unwrap(),
            Test::Defined {
                name: "X".into(),
                wanted: true
            }
        );
        assert!(parse("ifeq a b").unwrap().is_err());
        assert_eq!(parse("iffy: x"), None);
    }
}

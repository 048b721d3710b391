//! Recognises assignments (`parse_variable_definition`).

use crate::lines::reference_end;

/// The operator of an assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    /// `=`
    Recursive,
    /// `:=`, `::=`
    Simple,
    /// `?=`
    Conditional,
    /// `+=`
    Append,
    /// `!=`
    Shell,
}

/// Returns name, operator, and the value with its trailing blanks; `None` for
/// any other line.
pub(crate) fn parse(line: &str) -> Option<(&str, Op, &str)> {
    let line = line.trim_start_matches([' ', '\t']);
    let bytes = line.as_bytes();
    let mut at = 0;
    let mut blank_at = None;
    while at < bytes.len() {
        let found = match bytes[at] {
            b'$' => {
                if blank_at.is_some() {
                    return None;
                }
                at = reference_end(line, at);
                continue;
            }
            b' ' | b'\t' => {
                blank_at = blank_at.or(Some(at));
                at += 1;
                continue;
            }
            b'=' => Some((Op::Recursive, 1)),
            b':' => match &bytes[at + 1..] {
                [b'=', ..] => Some((Op::Simple, 2)),
                [b':', b'=', ..] => Some((Op::Simple, 3)),
                _ => return None,
            },
            operator @ (b'+' | b'?' | b'!') if bytes.get(at + 1) == Some(&b'=') => {
                let op = match operator {
                    b'+' => Op::Append,
                    b'?' => Op::Conditional,
                    _ => Op::Shell,
                };
                Some((op, 2))
            }
            _ => None,
        };
        if let Some((op, length)) = found {
            let name = &line[..blank_at.unwrap_or(at)];
            let value = line[at + length..].trim_start_matches([' ', '\t']);
            return (!name.is_empty()).then_some((name, op, value));
        }
        // A second word before an operator: not an assignment.
        if blank_at.is_some() {
            return None;
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators() {
        assert_eq!(parse("A = b "), Some(("A", Op::Recursive, "b ")));
        assert_eq!(parse("A:=b"), Some(("A", Op::Simple, "b")));
        assert_eq!(parse("A ?="), Some(("A", Op::Conditional, "")));
        assert_eq!(parse("A+=b=c"), Some(("A", Op::Append, "b=c")));
        assert_eq!(parse(", := ,"), Some((",", Op::Simple, ",")));
        assert_eq!(parse("$(X)_Y := 1"), Some(("$(X)_Y", Op::Simple, "1")));
    }

    #[test]
    fn rules_are_not_assignments() {
        for line in [
            "all: a",
            "a b = c",
            "a: B=c",
            "$(X): y",
            "x",
            "= y",
            "$(A) $(B): c",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}

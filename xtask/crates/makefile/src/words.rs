//! Splits a simple shell command into words.

/// Returns the words of `line` as a POSIX shell splits them, or `None` if a
/// shell would do more than split and unquote: expand, redirect, pipe, match
/// files.
pub fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars().peekable();
    while let Some(character) = chars.next() {
        match character {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        other => word.push(other),
                    }
                }
            }
            '"' => double_quoted(&mut chars, word.get_or_insert_default())?,
            '\\' => match chars.next()? {
                '\n' => {}
                other => word.get_or_insert_default().push(other),
            },
            '|' | '&' | ';' | '<' | '>' | '(' | ')' | '$' | '`' | '\n' | '*' | '?' | '[' => {
                return None;
            }
            '~' | '#' if word.is_none() => return None,
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Some(words)
}

fn double_quoted(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    word: &mut String,
) -> Option<()> {
    loop {
        match chars.next()? {
            '"' => return Some(()),
            '$' | '`' => return None,
            '\\' => match chars.next()? {
                '\n' => {}
                escaped @ ('$' | '`' | '"' | '\\') => word.push(escaped),
                other => word.extend(['\\', other]),
            },
            other => word.push(other),
        }
    }
}

/// Returns what stands within quotes in a line that [`split`] takes, and the rest.
pub(crate) fn by_quotes(line: &str) -> (String, String) {
    let (mut quoted, mut unquoted) = (String::new(), String::new());
    let mut open = None;
    let mut chars = line.chars();
    while let Some(character) = chars.next() {
        match (open, character) {
            (None, '"' | '\'') => open = Some(character),
            (Some(quote), _) if quote == character => open = None,
            (None | Some('"'), '\\') => drop(chars.next()),
            (Some(_), _) => quoted.push(character),
            (None, _) => unquoted.push(character),
        }
    }
    (quoted, unquoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_join_words() {
        assert_eq!(
            split(r#"a "b "c" d" 'e f'\ g"#).unwrap(),
            ["a", "b c d", "e f g"]
        );
        assert_eq!(split("''").unwrap(), [""]);
        assert_eq!(split(" a \\\n b").unwrap(), ["a", "b"]);
    }

    #[test]
    fn text_within_quotes_is_told_from_the_rest() {
        let text = |(quoted, unquoted): (String, String)| format!("{quoted}|{unquoted}");
        assert_eq!(text(by_quotes(r#"a"b'c"d'e"f'g"#)), r#"b'ce"f|adg"#);
        assert_eq!(text(by_quotes(r#"\"a"\"b""#)), "b|a");
    }

    #[test]
    fn what_a_shell_would_do_more_than_split_is_left_to_it() {
        for line in [
            "a; b", "a $x", "\"$x\"", "a | b", "a > b", "*", "`a`", "'open", "a &", "~",
        ] {
            assert_eq!(split(line), None, "{line}");
        }
    }
}

//! The patterns of `go test -run` and `-skip`, as the testing package reads them
//! (`testing/match.go`).

use std::fmt;

use regex::Regex;

/// A pattern: alternatives, each with one regular expression per level of names.
#[derive(Debug, Clone)]
pub struct Pattern {
    alternatives: Vec<Alternative>,
}

#[derive(Debug, Clone)]
struct Alternative {
    /// As it was given.
    text: String,
    levels: Vec<Element>,
    /// The text after the first level, with its `/`.
    below: String,
}

/// One level of an alternative.
#[derive(Debug, Clone)]
enum Element {
    Regex(Regex),
    /// Valid for Go, but in a form that only Go's engine has: it may match any name.
    Unknown,
}

/// Why a pattern is invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(&'static str);

impl std::error::Error for Invalid {}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When Go would refuse it.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let mut alternatives = Vec::new();
        for levels in split(text) {
            let mut elements = Vec::with_capacity(levels.len());
            for level in &levels {
                check(level)?;
                // Names have no blanks: Go rewrites them, here and in names.
                let level = level.replace(char::is_whitespace, "_");
                elements.push(Regex::new(&level).map_or(Element::Unknown, Element::Regex));
            }
            let below = levels[1..].iter().map(|level| format!("/{level}"));
            alternatives.push(Alternative {
                text: levels.join("/"),
                levels: elements,
                below: below.collect(),
            });
        }
        Ok(Self { alternatives })
    }

    /// Whether `-run` starts this test: it matches, or subtests of it may.
    pub fn selects(&self, name: &str) -> bool {
        let all = &self.alternatives;
        all.iter().any(|it| begins(&it.levels, name, true))
    }

    /// Returns the alternatives that match none of `names` in all of their levels.
    pub fn unmatched(&self, names: &[&str]) -> Vec<&str> {
        let matches = |it: &Alternative, name: &str| {
            it.levels.len() <= name.split('/').count() && begins(&it.levels, name, true)
        };
        let all = self.alternatives.iter();
        all.filter(|it| !names.iter().any(|name| matches(it, name)))
            .map(|it| it.text.as_str())
            .collect()
    }

    /// Whether `-skip` leaves this test out with all of its subtests.
    pub fn leaves_out(&self, name: &str) -> bool {
        let depth = name.split('/').count();
        let all = &self.alternatives;
        all.iter()
            .any(|it| it.levels.len() <= depth && begins(&it.levels, name, false))
    }

    /// Returns the pattern that selects the same subtests, but of one test function.
    ///
    /// # Arguments
    /// `exactly`: a pattern that matches only the name of `function`.
    pub fn within(&self, function: &str, exactly: &str) -> String {
        let all = self.alternatives.iter();
        let mine = all.filter(|it| begins(&it.levels, function, true));
        let mine: Vec<String> = mine.map(|it| format!("{exactly}{}", it.below)).collect();
        if mine.is_empty() || mine.iter().any(|it| it == exactly) {
            return exactly.to_owned();
        }
        mine.join("|")
    }
}

/// `unknown`: the answer for a pattern of which only Go knows what it matches.
fn begins(levels: &[Element], name: &str, unknown: bool) -> bool {
    levels
        .iter()
        .zip(name.split('/'))
        .all(|(level, part)| match level {
            Element::Regex(regex) => regex.is_match(part),
            Element::Unknown => unknown,
        })
}

/// Splits at `|`, and these at `/`, outside of brackets and parentheses.
fn split(text: &str) -> Vec<Vec<&str>> {
    let mut alternatives = vec![Vec::new()];
    let (mut brackets, mut parentheses, mut from) = (0_u32, 0_i64, 0);
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'[' => brackets += 1,
            b']' => brackets = brackets.saturating_sub(1),
            b'(' if brackets == 0 => parentheses += 1,
            b')' if brackets == 0 => parentheses -= 1,
            b'\\' => {
                bytes.next();
            }
            b'/' | b'|' if brackets == 0 && parentheses == 0 => {
                let last = alternatives.len() - 1;
                alternatives[last].push(&text[from..at]);
                if byte == b'|' {
                    alternatives.push(Vec::new());
                }
                from = at + 1;
            }
            _ => {}
        }
    }
    let last = alternatives.len() - 1;
    alternatives[last].push(&text[from..]);
    alternatives
}

/// Refuses what every engine refuses. Forms that only Go knows are not judged here.
fn check(text: &str) -> Result<(), Invalid> {
    let mut open = 0;
    let mut can_repeat = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                if characters.next().is_none() {
                    return Err(Invalid("a backslash at its end"));
                }
                can_repeat = true;
            }
            '[' => {
                class(&mut characters)?;
                can_repeat = true;
            }
            '(' => {
                open += 1;
                can_repeat = false;
                // The `?` of `(?i)` repeats nothing.
                characters.next_if_eq(&'?');
            }
            ')' if open == 0 => return Err(Invalid("a `)` without its `(`")),
            ')' => {
                open -= 1;
                can_repeat = true;
            }
            '*' | '+' | '?' if !can_repeat => {
                return Err(Invalid("a `*`, `+` or `?` that repeats nothing"));
            }
            '|' => can_repeat = false,
            _ => can_repeat = true,
        }
    }
    if open > 0 {
        return Err(Invalid("a `(` without its `)`"));
    }
    Ok(())
}

/// Reads to the end of a class; its `[` is read.
fn class(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<(), Invalid> {
    const OPEN: Invalid = Invalid("a `[` without its `]`");
    characters.next_if_eq(&'^');
    // A `]` in the first place is one of the class.
    characters.next_if_eq(&']');
    loop {
        match characters.next().ok_or(OPEN)? {
            '\\' => {
                characters.next().ok_or(OPEN)?;
            }
            '[' if characters.next_if_eq(&':').is_some() => {
                while characters.next().ok_or(OPEN)? != ']' {}
            }
            ']' => return Ok(()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selects(pattern: &str, name: &str) -> bool {
        Pattern::parse(pattern).unwrap().selects(name)
    }

    #[test]
    fn levels_and_alternatives_are_those_of_go() {
        assert!(selects("TestA", "TestAll") && !selects("^TestA$", "TestAll"));
        assert!(selects("TestA/x", "TestA") && selects("TestA/x", "TestA/x/y"));
        assert!(!selects("TestA/x", "TestA/b"));
        assert!(selects("TestA/x|TestB/y", "TestB/y") && !selects("TestA/x|TestB/y", "TestB/x"));
        assert!(selects("Test(A|B)/x", "TestB/x") && selects("a[/|]b", "a|b"));
        assert!(selects("TestA/two words", "TestA/two_words"));
        assert!(selects("", "TestA") && selects("A/", "TestA/b"));
        // Only Go's engine knows this class.
        assert!(selects(r"Test\p{Greek}", "TestA"));
    }

    #[test]
    fn a_pattern_within_a_function_keeps_its_subtests() {
        let within = |pattern: &str| Pattern::parse(pattern).unwrap().within("TestA", "^TestA$");
        assert_eq!(within("Test/good"), "^TestA$/good");
        assert_eq!(within("TestA/x|TestB/y|A/z/1"), "^TestA$/x|^TestA$/z/1");
        assert_eq!(within("TestA/x|TestA"), "^TestA$");
    }

    #[test]
    fn an_alternative_that_matches_nothing_is_named() {
        let pattern = Pattern::parse("TestA/one|TestA/typo|TestB|Typo").unwrap();
        let names = ["TestA", "TestA/one", "TestB"];
        assert_eq!(pattern.unmatched(&names), ["TestA/typo", "Typo"]);
    }

    #[test]
    fn skip_leaves_out_what_matches_at_its_depth() {
        let skips = |pattern: &str, name: &str| Pattern::parse(pattern).unwrap().leaves_out(name);
        assert!(skips("TestA", "TestA") && skips("TestA", "TestA/b"));
        assert!(!skips("TestA/b", "TestA") && skips("TestA/b", "TestA/b/c"));
        assert!(!skips("TestA/b", "TestA/x"));
        assert!(!skips(r"\p{Greek}", "TestA"));
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in [
            "(",
            "a)",
            "[a",
            "*a",
            "a|+b",
            "(?i",
            "a\\",
            "TestA/[",
            "[[:alpha:",
        ] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
        for text in [
            "(?i)a",
            "a**",
            "[]a]",
            r"\(",
            "a{2}",
            "{",
            "[[:alpha:]]",
            "()",
            "(?:a)+?",
            "^*",
        ] {
            assert!(Pattern::parse(text).is_ok(), "{text}");
        }
    }
}

//! Splits the words of a command into options and operands, as `getopt` does.

use super::shell::Word;

/// The options with which a program only reads. Any other option is unknown,
/// also the abbreviation of a known one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Options {
    /// Letters; a letter followed by `:` takes a value.
    pub(super) short: &'static str,
    /// Names; `name=` takes a value, `name=?` may have one after a `=`.
    pub(super) long: &'static [&'static str],
    /// `-3` is short for `-n 3`.
    pub(super) number: bool,
}

/// The options and operands of a command.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Given<'a> {
    /// With their values; one letter without a dash, names with two.
    pub(super) options: Vec<(String, String)>,
    pub(super) operands: Vec<&'a Word>,
    /// Whether the last word is the only operand.
    pub(super) operand_is_last: bool,
}

impl Given<'_> {
    pub(super) fn has(&self, names: &[&str]) -> bool {
        self.options
            .iter()
            .any(|(name, _)| names.contains(&name.as_str()))
    }
}

impl Options {
    /// Returns `None` if an option is unknown, or if a word might be one.
    pub(super) fn read<'a>(&self, words: &'a [Word]) -> Option<Given<'a>> {
        let mut given = Given::default();
        let mut rest = words.iter();
        let mut only_operands = false;
        while let Some(word) = rest.next() {
            let text = word.text.as_str();
            if word.has_variable || (word.is_pattern && word.literal == 0) {
                return None;
            }
            if only_operands || !text.starts_with('-') || text == "-" {
                given.operands.push(word);
                given.operand_is_last = given.operands.len() == 1 && rest.len() == 0;
                continue;
            }
            if text == "--" {
                only_operands = true;
                continue;
            }
            match text.strip_prefix("--") {
                Some(long) => given.options.push(self.long(word, long, &mut rest)?),
                None => self.short(word, &mut rest, &mut given)?,
            }
        }
        Some(given)
    }

    fn long<'a>(
        &self,
        word: &Word,
        text: &str,
        rest: &mut impl Iterator<Item = &'a Word>,
    ) -> Option<(String, String)> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        // The part of a pattern that contains the option's name must be
        // literal.
        if word.is_pattern && word.literal < "--=".len() + name.len() {
            return None;
        }
        let known = self.long.iter().find(|known| {
            let known = known.strip_suffix('?').unwrap_or(known);
            known.strip_suffix('=').unwrap_or(known) == name
        })?;
        let value = match value {
            Some(value) if known.contains('=') => value.to_owned(),
            Some(_) => return None,
            None if known.ends_with('=') => value_of(rest.next()?)?,
            None => String::new(),
        };
        Some((format!("--{name}"), value))
    }

    fn short<'a>(
        &self,
        word: &Word,
        rest: &mut impl Iterator<Item = &'a Word>,
        given: &mut Given<'_>,
    ) -> Option<()> {
        if word.is_pattern {
            return None;
        }
        let letters = &word.text[1..];
        if self.number && letters.chars().all(|c| c.is_ascii_digit()) {
            return Some(());
        }
        for (at, letter) in letters.char_indices() {
            let known = self.short.find(letter).filter(|_| letter != ':')?;
            let takes_value = self.short[known + letter.len_utf8()..].starts_with(':');
            if !takes_value {
                given.options.push((letter.to_string(), String::new()));
                continue;
            }
            let behind = &letters[at + letter.len_utf8()..];
            let value = if behind.is_empty() {
                value_of(rest.next()?)?
            } else {
                behind.to_owned()
            };
            given.options.push((letter.to_string(), value));
            break;
        }
        Some(())
    }
}

/// A pattern may expand to several words, of which all but the first are
/// operands.
fn value_of(word: &Word) -> Option<String> {
    let is_known = !word.has_variable && (!word.is_pattern || word.literal > 0);
    (is_known && !(word.is_pattern && word.text.starts_with('-'))).then(|| word.text.clone())
}

#[cfg(test)]
mod tests {
    use super::super::shell::commands;
    use super::*;

    const OPTIONS: Options = Options {
        short: "abv:",
        long: &["all", "value=", "may=?"],
        number: true,
    };

    fn read(line: &str) -> Option<(Vec<(String, String)>, usize)> {
        let commands = commands(line).unwrap();
        let given = OPTIONS.read(&commands[0])?;
        Some((given.options, given.operands.len()))
    }

    #[test]
    fn options_are_taken_as_getopt_takes_them() {
        let options = |line: &str| {
            let (options, operands) = read(line).unwrap();
            let texts: Vec<String> = options
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            (texts.join(" "), operands)
        };
        assert_eq!(options("x -ab -vy z -v w"), ("a= b= v=y v=w".into(), 2));
        assert_eq!(options("-av -b"), ("a= v=-b".into(), 0));
        assert_eq!(
            options("--all --value x --value=y --may --may=z -3 -"),
            ("--all= --value=x --value=y --may= --may=z".into(), 1)
        );
        assert_eq!(options("-- -q --nope"), (String::new(), 2));
        assert_eq!(
            options("--value v[0-9] --value=v*"),
            ("--value=v[0-9] --value=v*".into(), 0)
        );
    }

    #[test]
    fn what_is_not_known_is_not_read() {
        for line in [
            "-q",
            "-aq",
            "--nope",
            "--al",
            "--all=x",
            "--value",
            "-v",
            "-[a]",
            "--val*",
            "*",
            "$x",
            "-v $x",
            "--value '' $x",
            "-v *",
            "?q",
            "-:",
            "-v -*",
            "\"-$x\"",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}

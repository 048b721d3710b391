//! Parses a shell line that only starts programs: pipelines and lists of simple
//! commands. Anything else (substitution, redirection to files, assignments,
//! groups, background jobs) is not parsed at all.

use std::iter::Peekable;
use std::str::Chars;

/// A word of a command, with its quotes removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Word {
    /// The text without the values of variables.
    pub(super) text: String,
    /// Contains a variable or `~`, whose value only the shell knows.
    pub(super) has_variable: bool,
    /// It is a pattern of file names: any number of words that begin with the
    /// first `literal` bytes of `text`.
    pub(super) is_pattern: bool,
    pub(super) literal: usize,
    /// The pattern, with brackets around what is literal in it.
    pub(super) pattern: String,
    /// The unquoted text, with a quote for each quoted part.
    bare: String,
}

impl Word {
    /// Whether it is exactly this one word.
    pub(super) fn is_exact(&self) -> bool {
        !self.has_variable && !self.is_pattern
    }

    fn push(&mut self, character: char, quoted: bool) {
        match character {
            '*' | '?' | '[' if !quoted => {
                if !self.is_pattern {
                    self.literal = self.text.len();
                }
                self.is_pattern = true;
                self.pattern.push(character);
            }
            '*' | '?' | '[' | ']' if quoted => self.pattern.extend(['[', character, ']']),
            other => self.pattern.push(other),
        }
        self.text.push(character);
        self.bare.push(if quoted { '\'' } else { character });
    }

    /// `[` alone is a program.
    fn settled(mut self) -> Option<Self> {
        if self.text == "[" {
            self.is_pattern = false;
        }
        // Some shells expand `{a,b}` and `{1..3}` to words.
        let bare = &self.bare;
        let is_list = bare.contains('{') && (bare.contains(',') || bare.contains(".."));
        (!is_list).then_some(self)
    }
}

/// Returns the commands of a line, each split into words; `None` if a shell
/// does more than start them.
pub(super) fn commands(line: &str) -> Option<Vec<Vec<Word>>> {
    let mut reader = Reader {
        chars: line.chars().peekable(),
        word: None,
        words: Vec::new(),
        commands: Vec::new(),
    };
    while let Some(character) = reader.chars.next() {
        reader.read(character)?;
    }
    reader.end_command()?;
    Some(reader.commands)
}

struct Reader<'a> {
    chars: Peekable<Chars<'a>>,
    word: Option<Word>,
    words: Vec<Word>,
    commands: Vec<Vec<Word>>,
}

impl Reader<'_> {
    fn word(&mut self) -> &mut Word {
        self.word.get_or_insert_default()
    }

    fn end_word(&mut self) -> Option<()> {
        if let Some(word) = self.word.take() {
            self.words.push(word.settled()?);
        }
        Some(())
    }

    fn end_command(&mut self) -> Option<()> {
        self.end_word()?;
        self.commands.push(std::mem::take(&mut self.words));
        Some(())
    }

    fn read(&mut self, character: char) -> Option<()> {
        match character {
            ' ' | '\t' => self.end_word()?,
            '\'' => self.single_quoted()?,
            '"' => self.double_quoted()?,
            '\\' => {
                let escaped = self.chars.next().filter(|next| *next != '\n')?;
                self.word().bare.push('\'');
                self.word().push(escaped, true);
            }
            '$' => self.dollar(false)?,
            '|' => {
                self.chars.next_if_eq(&'|');
                self.end_command()?;
            }
            ';' => self.end_command()?,
            '&' => {
                self.chars.next_if_eq(&'&')?;
                self.end_command()?;
            }
            '>' => self.discard()?,
            '`' | '(' | ')' | '<' | '\n' => return None,
            '#' if self.word.is_none() => return None,
            '~' if self.word.is_none() => self.word().has_variable = true,
            other => self.word().push(other, false),
        }
        Some(())
    }

    fn single_quoted(&mut self) -> Option<()> {
        self.word().bare.push('\'');
        loop {
            match self.chars.next()? {
                '\'' => return Some(()),
                other => self.word().push(other, true),
            }
        }
    }

    fn double_quoted(&mut self) -> Option<()> {
        self.word().bare.push('\'');
        loop {
            match self.chars.next()? {
                '"' => return Some(()),
                '`' => return None,
                '$' => self.dollar(true)?,
                '\\' => match self.chars.next()? {
                    '\n' => return None,
                    escaped @ ('$' | '`' | '"' | '\\') => self.word().push(escaped, true),
                    other => {
                        self.word().push('\\', true);
                        self.word().push(other, true);
                    }
                },
                other => self.word().push(other, true),
            }
        }
    }

    /// `$x` and `${x}`; a `$` before anything else stands for itself.
    fn dollar(&mut self, quoted: bool) -> Option<()> {
        let is_name = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
        match self.chars.peek() {
            Some('(' | '[') => return None,
            Some('\'' | '"') if !quoted => return None,
            Some('{') => {
                self.chars.next();
                while self.chars.next_if(is_name).is_some() {}
                self.chars.next_if_eq(&'}')?;
                self.word().has_variable = true;
            }
            Some(next) if is_name(next) => {
                while self.chars.next_if(is_name).is_some() {}
                self.word().has_variable = true;
            }
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => {
                self.chars.next();
                self.word().has_variable = true;
            }
            _ => self.word().push('$', true),
        }
        Some(())
    }

    /// `2>/dev/null` and `2>&1` write nowhere.
    fn discard(&mut self) -> Option<()> {
        if let Some(word) = self.word.take() {
            match word.bare.as_str() {
                "1" | "2" if word.is_exact() => {}
                _ if word.text.chars().all(|c| c.is_ascii_digit()) => return None,
                _ => {
                    self.word = Some(word);
                    self.end_word()?;
                }
            }
        }
        while self.chars.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
        let is_end = |c: &char| " \t;|".contains(*c);
        let mut target = String::new();
        while let Some(next) = self.chars.next_if(|c| !is_end(c)) {
            target.push(next);
        }
        matches!(target.as_str(), "/dev/null" | "&1" | "&2").then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Option<Vec<Vec<String>>> {
        let commands = commands(line)?.into_iter();
        let texts = |words: Vec<Word>| words.into_iter().map(|word| word.text).collect();
        Some(commands.map(texts).collect())
    }

    #[test]
    fn lines_are_commands_and_words() {
        let read = texts(r#"git log "a b" 'c'd \* 2>/dev/null | tr x y && id -u || echo; true"#);
        let expected = [
            &["git", "log", "a b", "cd", "*"][..],
            &["tr", "x", "y"],
            &["id", "-u"],
            &["echo"],
            &["true"],
        ];
        assert_eq!(read.unwrap(), expected);
        assert_eq!(texts("[ -f x ]").unwrap(), [["[", "-f", "x", "]"]]);
        assert_eq!(texts(r#"sed "s/x$/y/""#).unwrap(), [["sed", "s/x$/y/"]]);
        assert_eq!(
            texts("a HEAD^{commit} > /dev/null").unwrap(),
            [["a", "HEAD^{commit}"]]
        );
    }

    #[test]
    fn what_a_word_may_become_is_known() {
        let word = |line: &str| commands(line).unwrap()[0][0].clone();
        let glob = word(r"v[0-9]\*");
        assert!(glob.is_pattern && &glob.text[..glob.literal] == "v");
        assert_eq!(glob.pattern, "v[0-9][*]");
        assert!(word("[t]ouch").is_pattern && !word("[").is_pattern);
        assert!(word("'[t]ouch'").is_exact());
        for line in ["$x", "\"$x\"", "${x}", "$?", "~/x", "a$1"] {
            assert!(word(line).has_variable, "{line}");
        }
    }

    #[test]
    fn what_a_shell_does_besides_starting_programs_is_not_read() {
        for line in [
            "a `b`",
            "a $(b)",
            "a \"$(b)\"",
            "a > b",
            "a >> /dev/null",
            "a >| b",
            "a < b",
            "a <> b",
            "a & b",
            "(a)",
            "a\nb",
            "a 3>/dev/null",
            "a ${x:-y}",
            "a ${x:=y}",
            "a $'b'",
            "a $[1]",
            "a {b,c}",
            "a {1..3}",
            "a # b",
            "a 'b",
            "a \"b",
            "a >&3",
            "a &> b",
            "a |& b",
            "a \\",
            "a > /dev/nullx",
            "a ''2>/dev/null",
            "a \\2>/dev/null",
            "a 2>",
        ] {
            assert_eq!(commands(line), None, "{line}");
        }
    }
}

//! Scripts of sed that only edit their input. `w`, `W`, `r`, `R`, `e` and the
//! flags `w` and `e` of `s` open files or start programs.

use std::iter::Peekable;
use std::str::Chars;

/// Whether the script only edits, in the reading of any sed.
pub(super) fn only_edits(script: &str) -> bool {
    // In some implementations a bracket does not hide the delimiter of an
    // expression: they find the end of `s/[/]/x/` elsewhere.
    let readings = [true, false].map(|brackets| read(script, brackets));
    readings.contains(&Ok(())) && !readings.contains(&Err(Wrong::Unknown))
}

#[derive(Debug, PartialEq, Eq)]
enum Wrong {
    /// Opens a file, starts a program, or may do so.
    Unknown,
    /// No sed accepts it, and nothing of it runs.
    Malformed,
}

type Result<T> = std::result::Result<T, Wrong>;

fn read(script: &str, brackets: bool) -> Result<()> {
    let mut script = Script {
        chars: script.chars().peekable(),
        brackets,
    };
    while script.command()? {}
    Ok(())
}

struct Script<'a> {
    chars: Peekable<Chars<'a>>,
    brackets: bool,
}

impl Script<'_> {
    fn blanks(&mut self) {
        while self.chars.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
    }

    /// Reads one command with its addresses; false at the end.
    fn command(&mut self) -> Result<bool> {
        while self.chars.next_if(|c| " \t;".contains(*c)).is_some() {}
        self.addresses()?;
        self.blanks();
        while self.chars.next_if_eq(&'!').is_some() {
            self.blanks();
        }
        let Some(command) = self.chars.next() else {
            return Ok(false);
        };
        match command {
            's' => {
                self.delimited(2)?;
                while self
                    .chars
                    .next_if(|c| "gpiIMm0123456789".contains(*c))
                    .is_some()
                {}
            }
            'y' => self.delimited(2)?,
            '{' | '}' | '=' | 'd' | 'D' | 'g' | 'G' | 'h' | 'H' | 'n' | 'N' | 'p' | 'P' | 'x'
            | 'z' => {}
            'q' | 'Q' => {
                self.blanks();
                while self.chars.next_if(char::is_ascii_digit).is_some() {}
            }
            ':' | 'b' | 't' | 'T' => {
                self.blanks();
                let is_label = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
                while self.chars.next_if(is_label).is_some() {}
            }
            _ => return Err(Wrong::Unknown),
        }
        if command == '{' {
            return Ok(true);
        }
        self.blanks();
        match self.chars.peek() {
            None | Some(';' | '}') => Ok(true),
            // After an expression that ended too early for this reading.
            Some('/' | '|' | ']' | '*' | '[' | '$' | '^' | '.' | '+') => Err(Wrong::Malformed),
            Some(_) if command == '}' => Ok(true),
            Some(_) => Err(Wrong::Unknown),
        }
    }

    fn addresses(&mut self) -> Result<()> {
        loop {
            match self.chars.peek() {
                Some('/') => self.expression()?,
                Some('\\') => {
                    self.chars.next();
                    self.expression()?;
                }
                Some(c) if c.is_ascii_digit() || "$,+~".contains(*c) => {
                    self.chars.next();
                }
                Some(' ' | '\t') => self.blanks(),
                _ => return Ok(()),
            }
        }
    }

    /// Reads an address between delimiters, with its flags.
    fn expression(&mut self) -> Result<()> {
        self.delimited(1)?;
        while self.chars.next_if(|c| matches!(c, 'I' | 'M')).is_some() {}
        Ok(())
    }

    /// Reads `count` texts, each up to the next delimiter.
    fn delimited(&mut self, count: usize) -> Result<()> {
        let delimiter = self.chars.next().ok_or(Wrong::Malformed)?;
        if delimiter.is_alphanumeric() || delimiter.is_whitespace() || "\\[];".contains(delimiter) {
            return Err(Wrong::Unknown);
        }
        for index in 0..count {
            self.up_to(delimiter, index == 0)?;
        }
        Ok(())
    }

    fn up_to(&mut self, delimiter: char, is_expression: bool) -> Result<()> {
        while let Some(next) = self.chars.next() {
            match next {
                '\\' => {
                    self.chars.next().ok_or(Wrong::Malformed)?;
                }
                '\n' => return Err(Wrong::Unknown),
                '[' if is_expression && self.brackets => self.bracket()?,
                _ if next == delimiter => return Ok(()),
                _ => {}
            }
        }
        Err(Wrong::Malformed)
    }

    /// Reads to the closing `]`: not one in first position, nor that of a
    /// class.
    fn bracket(&mut self) -> Result<()> {
        self.chars.next_if_eq(&'^');
        self.chars.next_if_eq(&']');
        while let Some(next) = self.chars.next() {
            match next {
                ']' => return Ok(()),
                '[' => {
                    if let Some(kind) = self.chars.next_if(|c| ":.=".contains(*c)) {
                        while self.chars.next().ok_or(Wrong::Malformed)? != kind
                            || self.chars.peek() != Some(&']')
                        {}
                        self.chars.next();
                    }
                }
                _ => {}
            }
        }
        Err(Wrong::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn editing_is_known() {
        for script in [
            "s/x86_64/amd64/",
            r"s/^release\((.*)\):.*$/\1/p",
            r"/^release\(.*\)/ s/^release\((.*)\):.*$/\1/; t; Q",
            "s|a|b|g; s,c,d,2p",
            "s/[^/]*$//",
            "1d;$!N;P;D",
            "2,/x/I{p;d}",
            ":a;N;$!ba;s/\\n/ /g",
            "y/abc/xyz/",
            "/[[:space:]]w/d",
            "s/w/e/",
            "1!G;h;$!d",
            "0~3p",
            "q",
            "$q1",
            "",
        ] {
            assert!(only_edits(script), "{script}");
        }
    }

    #[test]
    fn files_and_programs_are_not_edits() {
        for script in [
            "w out",
            "1w out",
            "W out",
            "/x/w out",
            "s/a/b/w out",
            "s/a/b/gw out",
            "s/a/b/e",
            "s/a/b/pe",
            "e",
            "e touch out",
            "1e touch out",
            "r file",
            "R file",
            "p;w out",
            "{w out",
            "{p;w out\n}",
            "p\nw out",
            "!w out",
            "$!w out",
            "b;w out",
            "b end;w out",
            ":a;w out",
            "y/a/b/;w out",
            "s/[/]/x/;w out",
            "s/[/]/w out/",
            "s[a[b[w out",
            "s\\a\\b\\w out",
            "sxaxbxw out",
            "q;w out",
            "a text",
            "i\\",
            "1c\\\nw out",
            "F",
            "v",
            "#n",
            "s/a/b/ w out",
            "}w out",
            "= w out",
            "\\xaxw out",
            "\\,a,w out",
            "/a/,/b/w out",
            "/a/I,/b/Mw out",
            "1~2w out",
            "s/a\\/b/c/w out",
            "s/a/b\\/c/w out",
            "s/[[:alpha:]/]/x/w out",
            "s/[]/]/x/w out",
        ] {
            assert!(!only_edits(script), "{script}");
        }
    }
}

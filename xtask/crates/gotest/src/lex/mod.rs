//! Tokens of a Go source, as the language's specification has them
//! (<https://go.dev/ref/spec#Lexical_elements>), with the semicolons that a
//! compiler would insert. Never fails: what cannot be a token is skipped.

mod words;

pub(crate) use words::{is_keyword, unquote};

/// The kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name or a keyword.
    Word,
    /// `"…"` or `` `…` ``, quotes included.
    Str,
    /// A rune literal: `'…'`.
    Rune,
    Number,
    /// An operator, a bracket, a comma.
    Op,
    /// A semicolon, written or inserted at a line's end.
    Semi,
    End,
}

/// A token with its offset in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
    pub(crate) at: usize,
}

/// Reads one token after the other; cheap to copy, for looking ahead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// The last token ends a statement when a line ends after it.
    ends: bool,
}

/// Length of the operator at the beginning of `rest`. Called for every bracket and
/// comma.
#[inline]
fn operator_length(rest: &[u8]) -> usize {
    let at = |place: usize| rest.get(place).copied().unwrap_or_default();
    match (at(0), at(1), at(2)) {
        (b'<', b'<', b'=') | (b'>', b'>', b'=') | (b'&', b'^', b'=') | (b'.', b'.', b'.') => 3,
        (b'&', b'&' | b'^', _)
        | (b'|', b'|', _)
        | (b'<', b'-' | b'<', _)
        | (b'>', b'>', _)
        | (b'+', b'+', _)
        | (b'-', b'-', _)
        | (
            b'=' | b'!' | b'<' | b'>' | b':' | b'+' | b'-' | b'*' | b'/' | b'%' | b'&' | b'|'
            | b'^',
            b'=',
            _,
        ) => 2,
        _ => 1,
    }
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str, at: usize) -> Self {
        Self {
            text,
            at,
            ends: false,
        }
    }

    /// Offset of the next token in bytes.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn next(&mut self) -> Token<'a> {
        if self.blanks() {
            let at = self.at;
            self.ends = false;
            return Token {
                kind: Kind::Semi,
                text: ";",
                at,
            };
        }
        let bytes = self.text.as_bytes();
        let start = self.at;
        let Some(&first) = bytes.get(start) else {
            self.ends = false;
            return Token {
                kind: Kind::End,
                text: "",
                at: start,
            };
        };
        let kind = match first {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => {
                self.while_word();
                Kind::Word
            }
            b'0'..=b'9' => {
                self.number();
                Kind::Number
            }
            b'.' if bytes.get(start + 1).is_some_and(u8::is_ascii_digit) => {
                self.number();
                Kind::Number
            }
            b'"' | b'\'' | b'`' => {
                self.at = end_of_quote(bytes, start);
                if first == b'\'' {
                    Kind::Rune
                } else {
                    Kind::Str
                }
            }
            b';' => {
                self.at += 1;
                Kind::Semi
            }
            _ => {
                self.at += operator_length(&bytes[start..]);
                Kind::Op
            }
        };
        let text = &self.text[start..self.at];
        self.ends = match kind {
            Kind::Word => {
                !is_keyword(text) || matches!(text, "break" | "continue" | "fallthrough" | "return")
            }
            Kind::Str | Kind::Rune | Kind::Number => true,
            Kind::Op => matches!(text, "++" | "--" | ")" | "]" | "}"),
            Kind::Semi | Kind::End => false,
        };
        Token {
            kind,
            text,
            at: start,
        }
    }

    /// Skips to after the bracket that closes the one just read; to the end if
    /// none does.
    pub(crate) fn skip_block(&mut self) {
        let bytes = self.text.as_bytes();
        let mut depth = 1_usize;
        let mut at = self.at;
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b'{' => depth += 1,
                b'}' => {
                    depth -= 1;
                    if depth == 0 {
                        at += 1;
                        break;
                    }
                }
                b'"' | b'\'' | b'`' => {
                    at = end_of_quote(bytes, at);
                    continue;
                }
                b'/' => {
                    if let Some((end, _)) = end_of_comment(bytes, at) {
                        at = end;
                        continue;
                    }
                }
                _ => {}
            }
            at += 1;
        }
        self.at = at;
        self.ends = true;
    }

    /// Skips blanks and comments; true where a semicolon belongs.
    fn blanks(&mut self) -> bool {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(b'\n') => {
                    self.at += 1;
                    if self.ends {
                        return true;
                    }
                }
                Some(b' ' | b'\t' | b'\r') => self.at += 1,
                Some(b'/') => match end_of_comment(bytes, self.at) {
                    Some((end, newline)) => {
                        self.at = end;
                        if newline && self.ends {
                            return true;
                        }
                    }
                    None => return false,
                },
                Some(_) => return false,
                None => return self.ends,
            }
        }
    }

    fn while_word(&mut self) {
        let bytes = self.text.as_bytes();
        while matches!(
            bytes.get(self.at),
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'0'..=b'9' | 0x80..)
        ) {
            self.at += 1;
        }
    }

    fn number(&mut self) {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let hex = matches!(bytes.get(start + 1), Some(b'x' | b'X'));
        while let Some(&byte) = bytes.get(self.at) {
            let exponent = matches!(byte, b'+' | b'-')
                && self.at > start
                && match bytes[self.at - 1] {
                    b'e' | b'E' => !hex,
                    b'p' | b'P' => hex,
                    _ => false,
                };
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') || exponent) {
                break;
            }
            self.at += 1;
        }
    }
}

/// Returns the end of a comment that starts here, and whether it contains a
/// line end. The line end after a line comment is not part of it.
fn end_of_comment(bytes: &[u8], at: usize) -> Option<(usize, bool)> {
    match bytes.get(at + 1)? {
        b'/' => {
            let line = bytes[at..].iter().position(|byte| *byte == b'\n');
            Some((line.map_or(bytes.len(), |line| at + line), false))
        }
        b'*' => {
            let mut end = at + 2;
            while end < bytes.len() && !bytes[end..].starts_with(b"*/") {
                end += 1;
            }
            let newline = bytes[at..end].contains(&b'\n');
            Some(((end + 2).min(bytes.len()), newline))
        }
        _ => None,
    }
}

/// Returns the end of a string or rune that starts here; an unclosed one ends
/// with its line.
fn end_of_quote(bytes: &[u8], start: usize) -> usize {
    let quote = bytes[start];
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        if byte == quote {
            return at + 1;
        }
        if quote != b'`' {
            if byte == b'\n' {
                return at;
            }
            if byte == b'\\' {
                at += 1;
            }
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests;

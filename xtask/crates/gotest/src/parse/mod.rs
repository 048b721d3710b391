//! Expressions and statements of a function's body. Never fails: what it does
//! not understand becomes `Unknown` and is stepped over, and nesting deeper
//! than any source has is cut off, since what we read was written by others.

mod control;
mod expressions;
mod statements;
mod types;

use crate::lex::{Kind, Lexer, Token, is_keyword};

const DEEPEST: usize = 200;

/// A parser over one file, standing at one token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parser<'a> {
    lexer: Lexer<'a>,
    pub(crate) token: Token<'a>,
    /// Below zero a `{` opens a block and no composite literal.
    level: i32,
    depth: usize,
}

impl<'a> Parser<'a> {
    /// # Arguments
    /// `at`: the byte to start from.
    pub(crate) fn new(text: &'a str, at: usize) -> Self {
        let mut lexer = Lexer::new(text, at);
        let token = lexer.next();
        Self {
            lexer,
            token,
            level: 0,
            depth: 0,
        }
    }

    pub(crate) fn advance(&mut self) -> Token<'a> {
        let old = self.token;
        self.token = self.lexer.next();
        old
    }

    #[inline]
    pub(crate) fn is(&self, text: &str) -> bool {
        // Asked some ten times of each token: most differ in length or at once.
        let (is, wanted) = (self.token.text.as_bytes(), text.as_bytes());
        is.len() == wanted.len()
            && is.first() == wanted.first()
            && is == wanted
            && !matches!(self.token.kind, Kind::Str | Kind::Rune)
    }

    pub(crate) fn at_end(&self) -> bool {
        self.token.kind == Kind::End
    }

    pub(crate) fn eat(&mut self, text: &str) -> bool {
        let there = self.is(text);
        if there {
            self.advance();
        }
        there
    }

    /// Skips the block whose `{` is the present token; returns where it begins
    /// and ends, braces included.
    pub(crate) fn skip_block(&mut self) -> (usize, usize) {
        let start = self.token.at;
        self.lexer.skip_block();
        let end = self.lexer.position();
        self.advance();
        (start, end)
    }

    pub(crate) fn name(&mut self) -> Option<&'a str> {
        let word = self.token.kind == Kind::Word && !is_keyword(self.token.text);
        word.then(|| self.advance().text)
    }

    /// `a, b, c`; none where no name stands.
    fn names(&mut self) -> Vec<&'a str> {
        let mut names = Vec::new();
        while let Some(name) = self.name() {
            names.push(name);
            if !self.eat(",") {
                break;
            }
        }
        names
    }

    fn semis(&mut self) {
        while self.token.kind == Kind::Semi {
            self.advance();
        }
    }

    /// Up to the closing bracket or the end, whatever stands there.
    fn close(&mut self, text: &str) {
        let mut open = 0_usize;
        while !self.at_end() {
            if open == 0 && self.is(text) {
                self.advance();
                return;
            }
            if self.token.kind == Kind::Op {
                match self.token.text {
                    "(" | "[" | "{" => open += 1,
                    ")" | "]" | "}" if open == 0 => return,
                    ")" | "]" | "}" => open -= 1,
                    _ => {}
                }
            }
            self.advance();
        }
    }
}

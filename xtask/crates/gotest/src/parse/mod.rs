//! Parses expressions and statements of function bodies. Never fails: code that it does
//! not understand becomes `Unknown` and is skipped. Nesting, chains and work have
//! limits far above those of real sources; code beyond them is left out, and
//! [`Parser::cut`] reports it.

mod control;
mod expressions;
mod statements;
mod types;

use crate::lex::{Kind, Lexer, Token, is_keyword};

/// Levels of recursion.
const DEEPEST: usize = 200;
/// Maximum links of one chain such as `a.b().c()`, including those in its
/// arguments: each is a level of the result, but not of recursion.
const TALLEST: u32 = 500;
/// Maximum turns of one file. The largest generated sources take a quarter of
/// it.
const MOST_TURNS: usize = 4 << 20;

/// The part of a source that was left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cut {
    #[default]
    Nothing,
    /// Code with too many levels of nesting.
    Deep,
    /// Further analysis of functions, which took too long.
    Work,
    /// Everything after the maximum number of tokens.
    Long,
}

/// A parser over one file, standing at one token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parser<'a> {
    lexer: Lexer<'a>,
    pub(crate) token: Token<'a>,
    /// Below zero a `{` opens a block and no composite literal.
    level: i32,
    depth: usize,
    /// Links of the longest chain since the last call of `measured`.
    peak: u32,
    /// Turns that are left: tokens read, including those of looking ahead, and
    /// copies made.
    left: usize,
    deep: bool,
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
            peak: 0,
            // Looking ahead reads some tokens twice.
            left: (4 * text.len().saturating_sub(at) + 1000).min(MOST_TURNS),
            deep: false,
        }
    }

    pub(crate) fn advance(&mut self) -> Token<'a> {
        let old = self.token;
        if self.pay(1) {
            self.token = self.lexer.next();
        }
        old
    }

    /// Spends turns; when none are left, the source ends here.
    fn pay(&mut self, turns: usize) -> bool {
        let is_enough = self.left >= turns;
        if is_enough {
            self.left -= turns;
        } else {
            self.left = 0;
            self.token.kind = Kind::End;
            self.token.text = "";
        }
        is_enough
    }

    /// Looking ahead takes turns too.
    fn looked(&mut self, ahead: &Self) {
        self.left = ahead.left;
    }

    /// The part that was left out.
    pub(crate) fn cut(&self) -> Cut {
        if self.left == 0 {
            Cut::Long
        } else if self.deep {
            Cut::Deep
        } else {
            Cut::Nothing
        }
    }

    /// Enters one more level; false if there are too many, and the code is left
    /// out.
    fn goes_deeper(&mut self) -> bool {
        self.depth += 1;
        let goes = self.depth <= DEEPEST;
        self.deep |= !goes;
        goes
    }

    /// Returns the result of `read` and the length of the longest chain in it.
    #[inline]
    fn measured<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> (T, u32) {
        let outer = std::mem::take(&mut self.peak);
        let value = read(self);
        let inner = self.peak;
        self.peak = outer.max(inner);
        (value, inner)
    }

    #[inline]
    pub(crate) fn is(&self, text: &str) -> bool {
        // Compared some ten times per token: most words differ in length or in
        // the first byte.
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

    /// `a, b, c`; empty if no name follows.
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

    /// Skips to the closing bracket or the end.
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

//! Statements that hold others: conditions, loops, cases.

use super::Parser;
use crate::ast::{Expr, Stmt};
use crate::lex::Kind;

impl<'a> Parser<'a> {
    /// The statements between a keyword and its block, separated by semicolons.
    fn header(&mut self) -> Vec<Option<Stmt<'a>>> {
        let level = std::mem::replace(&mut self.level, -1);
        let mut parts = Vec::new();
        while !self.is("{") && !self.at_end() {
            if self.token.kind == Kind::Semi {
                self.advance();
                parts.push(None);
                continue;
            }
            let before = self.lexer.position();
            let part = if self.is("range") {
                self.advance();
                Some(Stmt::Range {
                    names: Vec::new(),
                    over: self.expr(),
                    body: Vec::new(),
                })
            } else {
                self.simple_or_range()
            };
            parts.push(part);
            if self.token.kind == Kind::Semi || self.lexer.position() == before {
                self.advance();
            }
        }
        self.level = level;
        parts
    }

    fn simple_or_range(&mut self) -> Option<Stmt<'a>> {
        let mut ahead = *self;
        let names = ahead.names();
        let is_range = (ahead.eat(":=") || ahead.eat("=")) && ahead.eat("range");
        self.looked(&ahead);
        if is_range {
            *self = ahead;
            return Some(Stmt::Range {
                names,
                over: self.expr(),
                body: Vec::new(),
            });
        }
        self.simple()
    }

    pub(super) fn conditional(&mut self) -> Stmt<'a> {
        let goes = self.goes_deeper();
        self.advance();
        let mut init: Vec<_> = self.header().into_iter().flatten().collect();
        let cond = match init.pop() {
            Some(Stmt::Expr(cond)) => cond,
            Some(other) => {
                init.push(other);
                Expr::Unknown
            }
            None => Expr::Unknown,
        };
        let then = self.nested(Self::block);
        let other = if self.eat("else") {
            if self.is("if") && goes {
                vec![self.conditional()]
            } else {
                self.nested(Self::block)
            }
        } else {
            Vec::new()
        };
        self.depth -= 1;
        Stmt::If {
            init,
            cond,
            then,
            other,
        }
    }

    pub(super) fn repeated(&mut self) -> Stmt<'a> {
        self.advance();
        let mut header: Vec<_> = self.header().into_iter().flatten().collect();
        let block = self.nested(Self::block);
        if let [Stmt::Range { .. }] = header.as_slice()
            && let Some(Stmt::Range { names, over, .. }) = header.pop()
        {
            return Stmt::Range {
                names,
                over,
                body: block,
            };
        }
        header.push(Stmt::Block(block));
        Stmt::Block(header)
    }

    pub(super) fn cases(&mut self) -> Stmt<'a> {
        self.advance();
        let mut all: Vec<_> = self.header().into_iter().flatten().collect();
        if !self.eat("{") {
            return Stmt::Block(all);
        }
        self.nested(|parser| {
            let goes = parser.goes_deeper();
            while goes && !parser.is("}") && !parser.at_end() {
                parser.semis();
                if parser.eat("default") {
                    parser.eat(":");
                } else if parser.eat("case") {
                    while !parser.is(":") && !parser.at_end() && !parser.is("}") {
                        let before = parser.lexer.position();
                        all.push(parser.simple_case());
                        parser.eat(",");
                        if parser.lexer.position() == before && !parser.is(":") {
                            parser.advance();
                        }
                    }
                    parser.eat(":");
                }
                let before = parser.lexer.position();
                all.push(Stmt::Block(parser.statements()));
                if parser.lexer.position() == before
                    && !parser.is("}")
                    && !parser.is("case")
                    && !parser.is("default")
                {
                    parser.advance();
                }
            }
            parser.depth -= 1;
            parser.close("}");
        });
        Stmt::Block(all)
    }

    /// One of a case's alternatives; a receive may bind names.
    fn simple_case(&mut self) -> Stmt<'a> {
        if matches!(self.token.text, "[" | "*") && self.token.kind == Kind::Op {
            let mut ahead = *self;
            let ty = ahead.ty();
            self.looked(&ahead);
            if let Some(ty) = ty {
                *self = ahead;
                return Stmt::Expr(ty);
            }
        }
        let first = self.expr();
        if self.is(":=") || self.is("=") {
            self.advance();
            let value = self.expr();
            let name = match first {
                Expr::Name(name) => name,
                _ => "",
            };
            return Stmt::Bind {
                names: vec![name],
                ty: None,
                values: vec![value],
                defines: true,
            };
        }
        Stmt::Expr(first)
    }
}

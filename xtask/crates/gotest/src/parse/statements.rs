//! Statements, as far as needs depend on their kind.

use super::{DEEPEST, Parser};
use crate::ast::{Expr, Stmt};
use crate::lex::Kind;

impl<'a> Parser<'a> {
    /// A block's statements, standing at `{`.
    pub(crate) fn block(&mut self) -> Vec<Stmt<'a>> {
        if !self.eat("{") {
            return Vec::new();
        }
        self.depth += 1;
        let body = if self.depth > DEEPEST {
            Vec::new()
        } else {
            self.statements()
        };
        self.depth -= 1;
        self.close("}");
        body
    }

    /// Up to `}`, `case`, `default` or the end.
    fn statements(&mut self) -> Vec<Stmt<'a>> {
        let mut body = Vec::new();
        loop {
            self.semis();
            if self.at_end() || self.is("}") || self.is("case") || self.is("default") {
                return body;
            }
            let before = self.lexer.position();
            if let Some(statement) = self.statement() {
                body.push(statement);
            }
            if self.lexer.position() == before && !self.is("}") && self.token.kind != Kind::End {
                self.advance();
            }
        }
    }

    fn statement(&mut self) -> Option<Stmt<'a>> {
        if self.token.kind != Kind::Word {
            if self.is("{") {
                return Some(Stmt::Block(self.block()));
            }
            return self.simple();
        }
        match self.token.text {
            "if" => Some(self.conditional()),
            "for" => Some(self.repeated()),
            "switch" | "select" => Some(self.cases()),
            "go" | "defer" => {
                self.advance();
                Some(Stmt::Expr(self.expr()))
            }
            "return" => {
                self.advance();
                Some(Stmt::Return(self.exprs()))
            }
            "var" | "const" => {
                self.advance();
                Some(Stmt::Block(self.variables()))
            }
            "type" => {
                self.advance();
                while !matches!(self.token.kind, Kind::Semi | Kind::End) && !self.is("}") {
                    if self.is("{") {
                        self.skip_block();
                    } else {
                        self.advance();
                    }
                }
                None
            }
            "break" | "continue" | "goto" | "fallthrough" => {
                self.advance();
                self.name();
                None
            }
            _ => self.simple(),
        }
    }

    fn exprs(&mut self) -> Vec<Expr<'a>> {
        let mut exprs = Vec::new();
        while !matches!(self.token.kind, Kind::Semi | Kind::End) && !self.is("}") {
            exprs.push(self.expr());
            if !self.eat(",") {
                break;
            }
        }
        exprs
    }

    /// What stands behind `var`: one line, or several in parentheses.
    pub(crate) fn variables(&mut self) -> Vec<Stmt<'a>> {
        let many = self.eat("(");
        let mut out = Vec::new();
        loop {
            self.semis();
            if self.at_end() || (many && self.eat(")")) {
                return out;
            }
            let before = self.lexer.position();
            let mut names = Vec::new();
            while let Some(name) = self.name() {
                names.push(name);
                if !self.eat(",") {
                    break;
                }
            }
            let ty = if self.is("=") { None } else { self.ty() };
            let values = if self.eat("=") {
                self.exprs()
            } else {
                Vec::new()
            };
            out.push(Stmt::Bind {
                names,
                ty,
                values,
                defines: true,
            });
            if !many {
                return out;
            }
            if self.lexer.position() == before {
                self.advance();
            }
        }
    }

    /// An expression, an assignment, a sending; `None` for a label.
    fn simple(&mut self) -> Option<Stmt<'a>> {
        let mut left = self.exprs_before_assignment();
        let op = self.token.text;
        if self.token.kind == Kind::Op {
            match op {
                ":=" | "=" => {
                    self.advance();
                    let values = self.exprs();
                    let names = left.iter().map(|expr| match expr {
                        Expr::Name(name) => name,
                        _ => "",
                    });
                    return Some(Stmt::Bind {
                        names: names.collect(),
                        ty: None,
                        values,
                        defines: op == ":=",
                    });
                }
                "<-" => {
                    self.advance();
                    left.push(self.expr());
                }
                "++" | "--" => {
                    self.advance();
                }
                ":" => {
                    self.advance();
                    return None;
                }
                _ if op.ends_with('=') => {
                    self.advance();
                    left.extend(self.exprs());
                }
                _ => {}
            }
        }
        match left.len() {
            0 => None,
            1 => left.pop().map(Stmt::Expr),
            _ => Some(Stmt::Block(left.into_iter().map(Stmt::Expr).collect())),
        }
    }

    fn exprs_before_assignment(&mut self) -> Vec<Expr<'a>> {
        let mut exprs = vec![self.expr()];
        while self.eat(",") {
            exprs.push(self.expr());
        }
        exprs
    }

    /// What stands between a keyword and its block, parted by semicolons.
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
        let mut names = Vec::new();
        while let Some(name) = ahead.name() {
            names.push(name);
            if !ahead.eat(",") {
                break;
            }
        }
        if (ahead.eat(":=") || ahead.eat("=")) && ahead.eat("range") {
            *self = ahead;
            return Some(Stmt::Range {
                names,
                over: self.expr(),
                body: Vec::new(),
            });
        }
        self.simple()
    }

    fn conditional(&mut self) -> Stmt<'a> {
        self.depth += 1;
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
            if self.is("if") && self.depth <= DEEPEST {
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

    fn repeated(&mut self) -> Stmt<'a> {
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

    fn cases(&mut self) -> Stmt<'a> {
        self.advance();
        let mut all: Vec<_> = self.header().into_iter().flatten().collect();
        if !self.eat("{") {
            return Stmt::Block(all);
        }
        self.nested(|parser| {
            parser.depth += 1;
            while parser.depth <= DEEPEST && !parser.is("}") && !parser.at_end() {
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
            if let Some(ty) = ahead.ty() {
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

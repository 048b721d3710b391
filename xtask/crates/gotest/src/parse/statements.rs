//! Statements, as far as needs depend on their kind.

use super::Parser;
use crate::ast::{Expr, Stmt};
use crate::lex::Kind;

impl<'a> Parser<'a> {
    /// A block's statements, standing at `{`.
    pub(crate) fn block(&mut self) -> Vec<Stmt<'a>> {
        if !self.eat("{") {
            return Vec::new();
        }
        let body = if self.goes_deeper() {
            self.statements()
        } else {
            Vec::new()
        };
        self.depth -= 1;
        self.close("}");
        body
    }

    /// Up to `}`, `case`, `default` or the end.
    pub(super) fn statements(&mut self) -> Vec<Stmt<'a>> {
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
            "break" | "continue" | "goto" => {
                self.advance();
                self.name();
                Some(Stmt::Jump)
            }
            "fallthrough" => {
                self.advance();
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

    /// The declarations after `var`: one line, or several in parentheses.
    pub(crate) fn variables(&mut self) -> Vec<Stmt<'a>> {
        let many = self.eat("(");
        let mut out = Vec::new();
        loop {
            self.semis();
            if self.at_end() || (many && self.eat(")")) {
                return out;
            }
            let before = self.lexer.position();
            let names = self.names();
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
    pub(super) fn simple(&mut self) -> Option<Stmt<'a>> {
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
}

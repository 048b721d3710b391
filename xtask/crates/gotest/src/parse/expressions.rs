//! Expressions, with Go's precedences.

use super::{Parser, TALLEST};
use crate::ast::{Call, Expr, FuncLit, Item};
use crate::lex::{Kind, is_keyword};

/// Number of links of a chain of operators that are parsed directly, one level each.
const PIECE: u32 = 32;

impl<'a> Parser<'a> {
    /// Inside brackets a `{` may open a composite literal again.
    pub(super) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let level = std::mem::replace(&mut self.level, 0);
        let value = read(self);
        self.level = level;
        value
    }

    pub(crate) fn expr(&mut self) -> Expr<'a> {
        self.binary(1)
    }

    fn binary(&mut self, least: u8) -> Expr<'a> {
        let (mut left, mut tall) = if self.goes_deeper() {
            self.measured(Self::unary)
        } else {
            self.advance();
            (Expr::Unknown, 0)
        };
        // Longer chains of `a + b + …` are split into pieces, each with the operator
        // after it.
        let mut pieces: Vec<(Expr<'a>, &'a str)> = Vec::new();
        let mut tallest = 0;
        let mut links = 0;
        while self.token.kind == Kind::Op {
            let power = precedence(self.token.text);
            if power < least {
                break;
            }
            let op = self.advance().text;
            let (right, other) = self.measured(|parser| parser.binary(power + 1));
            if links == PIECE {
                pieces.push((std::mem::replace(&mut left, right), op));
                tallest = tallest.max(tall);
                (tall, links) = (other, 0);
            } else {
                left = Expr::Binary(op, Box::new((left, right)));
                tall = tall.max(other) + 1;
                links += 1;
            }
        }
        if !pieces.is_empty() {
            let levels = pieces.len().ilog2() + 1;
            left = balanced(pieces, left);
            tall = tallest.max(tall) + levels;
        }
        if tall > TALLEST {
            self.deep = true;
            (left, tall) = (Expr::Unknown, 0);
        }
        self.peak = self.peak.max(tall);
        self.depth -= 1;
        left
    }

    fn unary(&mut self) -> Expr<'a> {
        if self.token.kind == Kind::Op {
            match self.token.text {
                "&" | "*" => {
                    self.advance();
                    return Expr::Star(Box::new(self.deeper_unary()));
                }
                "<-" | "!" | "-" | "+" | "^" | "~" => {
                    let op = self.advance().text;
                    return Expr::Unary(op, Box::new(self.deeper_unary()));
                }
                _ => {}
            }
        }
        self.primary()
    }

    fn deeper_unary(&mut self) -> Expr<'a> {
        let expr = if self.goes_deeper() {
            self.unary()
        } else {
            self.advance();
            Expr::Unknown
        };
        self.depth -= 1;
        expr
    }

    fn operand(&mut self) -> Expr<'a> {
        match self.token.kind {
            Kind::Str => Expr::Str(self.advance().text),
            Kind::Number => Expr::Number(self.advance().text),
            Kind::Rune => {
                self.advance();
                Expr::Unknown
            }
            Kind::Word => match self.token.text {
                "func" => self.function(),
                "map" | "chan" | "struct" | "interface" => self.ty().unwrap_or(Expr::Unknown),
                word if is_keyword(word) => Expr::Unknown,
                _ => Expr::Name(self.advance().text),
            },
            Kind::Op => match self.token.text {
                "(" => {
                    self.advance();
                    let inner = self.nested(Self::expr);
                    self.close(")");
                    inner
                }
                "[" => self.ty().unwrap_or(Expr::Unknown),
                "{" if self.level >= 0 => self.items(None),
                ")" | "]" | "}" | "," | ":" | "{" => Expr::Unknown,
                _ => {
                    self.advance();
                    Expr::Unknown
                }
            },
            Kind::Semi | Kind::End => Expr::Unknown,
        }
    }

    fn function(&mut self) -> Expr<'a> {
        self.advance();
        let signature = self.signature();
        if !self.is("{") {
            return Expr::FuncType(Box::new(signature));
        }
        let body = self.nested(Self::block);
        Expr::Func(Box::new(FuncLit { signature, body }))
    }

    fn primary(&mut self) -> Expr<'a> {
        let (mut expr, mut tall) = self.measured(Self::operand);
        // Each iteration reads a token and adds a level around what was read so
        // far.
        while self.token.kind == Kind::Op {
            let inner;
            expr = match self.token.text {
                "." => {
                    self.advance();
                    inner = 0;
                    if self.eat("(") {
                        let ty = if self.eat("type") { None } else { self.ty() };
                        self.close(")");
                        Expr::Assert(Box::new(expr), ty.map(Box::new))
                    } else {
                        match self.name() {
                            Some(name) => Expr::Sel(Box::new(expr), name),
                            None => break,
                        }
                    }
                }
                "(" => {
                    let at = self.advance().at;
                    let args;
                    (args, inner) = self.measured(|it| it.nested(|parser| parser.list(")")));
                    Expr::Call(Box::new(Call {
                        fun: expr,
                        args,
                        at,
                    }))
                }
                "[" => {
                    self.advance();
                    let inside;
                    (inside, inner) = self.measured(|it| it.nested(|parser| parser.list("]")));
                    Expr::Index(Box::new(expr), inside)
                }
                "{" if self.opens_literal(&expr) => {
                    let items;
                    (items, inner) = self.measured(|parser| parser.items(Some(expr)));
                    items
                }
                _ => break,
            };
            tall = tall.max(inner) + 1;
            if tall > TALLEST {
                self.deep = true;
                (expr, tall) = (Expr::Unknown, 0);
            }
        }
        self.peak = self.peak.max(tall);
        expr
    }

    fn opens_literal(&self, expr: &Expr<'a>) -> bool {
        match expr {
            Expr::List(_) | Expr::Map(_) | Expr::Struct(_) => true,
            Expr::Name(_) => self.level >= 0,
            Expr::Sel(inner, _) => self.level >= 0 && matches!(**inner, Expr::Name(_)),
            Expr::Index(inner, _) => {
                self.level >= 0 && matches!(**inner, Expr::Name(_) | Expr::Sel(..))
            }
            _ => false,
        }
    }

    /// Arguments, indices: up to and with the closing bracket.
    fn list(&mut self, end: &str) -> Vec<Expr<'a>> {
        let mut list = Vec::new();
        while !self.is(end) && !self.at_end() {
            self.semis();
            list.push(self.expr());
            self.eat("...");
            if !self.eat(",") && !self.eat(":") {
                break;
            }
        }
        self.close(end);
        list
    }

    /// A composite literal's elements, standing at `{`.
    fn items(&mut self, ty: Option<Expr<'a>>) -> Expr<'a> {
        self.advance();
        let items = self.nested(|parser| {
            let mut items = Vec::new();
            while !parser.is("}") && !parser.at_end() {
                parser.semis();
                if parser.is("}") {
                    break;
                }
                let first = parser.expr();
                let item = if parser.eat(":") {
                    Item {
                        key: Some(first),
                        value: parser.expr(),
                    }
                } else {
                    Item {
                        key: None,
                        value: first,
                    }
                };
                items.push(item);
                if !parser.eat(",") {
                    break;
                }
            }
            parser.close("}");
            items
        });
        Expr::Composite(ty.map(Box::new), items)
    }
}

/// Builds a tree of minimal depth from a long chain: generated sources add thousands of
/// strings. Results do not depend on the order of the operators.
fn balanced<'a>(pieces: Vec<(Expr<'a>, &'a str)>, last: Expr<'a>) -> Expr<'a> {
    let (mut level, mut last) = (pieces, last);
    while !level.is_empty() {
        let mut above = Vec::with_capacity(level.len() / 2 + 1);
        let mut rest = level.into_iter();
        let mut odd = None;
        while let Some((left, op)) = rest.next() {
            match rest.next() {
                Some((right, after)) => {
                    above.push((Expr::Binary(op, Box::new((left, right))), after));
                }
                None => odd = Some((left, op)),
            }
        }
        if let Some((left, op)) = odd {
            last = Expr::Binary(op, Box::new((left, last)));
        }
        level = above;
    }
    last
}

fn precedence(op: &str) -> u8 {
    match op {
        "||" => 1,
        "&&" => 2,
        "==" | "!=" | "<" | "<=" | ">" | ">=" => 3,
        "+" | "-" | "|" | "^" => 4,
        "*" | "/" | "%" | "<<" | ">>" | "&" | "&^" => 5,
        _ => 0,
    }
}

//! Types, signatures, parameters and fields.

use super::Parser;
use crate::ast::{Expr, Field, Signature};
use crate::lex::Kind;

impl<'a> Parser<'a> {
    /// Parses a type; `None` if no type follows.
    pub(crate) fn ty(&mut self) -> Option<Expr<'a>> {
        let ty = if self.goes_deeper() {
            self.ty_inner()
        } else {
            None
        };
        self.depth -= 1;
        ty
    }

    fn ty_inner(&mut self) -> Option<Expr<'a>> {
        if self.token.kind == Kind::Word {
            return self.ty_of_word();
        }
        match self.token.text {
            "*" => {
                self.advance();
                Some(Expr::Star(Box::new(self.ty()?)))
            }
            "(" => {
                self.advance();
                let ty = self.ty();
                self.close(")");
                ty
            }
            "<-" => {
                self.advance();
                self.eat("chan");
                Some(Expr::List(Box::new(self.ty()?)))
            }
            "[" => {
                self.advance();
                if !self.eat("]") {
                    self.nested(Self::expr);
                    self.close("]");
                }
                Some(Expr::List(Box::new(self.ty()?)))
            }
            "~" | "..." => {
                self.advance();
                self.ty()
            }
            _ => None,
        }
    }

    /// A keyword's type, or one with a name.
    #[inline]
    fn ty_of_word(&mut self) -> Option<Expr<'a>> {
        match self.token.text {
            "map" => {
                self.advance();
                self.eat("[");
                self.ty()?;
                self.close("]");
                Some(Expr::Map(Box::new(self.ty()?)))
            }
            "chan" => {
                self.advance();
                self.eat("<-");
                Some(Expr::List(Box::new(self.ty()?)))
            }
            "func" => {
                self.advance();
                Some(Expr::FuncType(Box::new(self.signature())))
            }
            "struct" => {
                self.advance();
                Some(Expr::Struct(self.fields()))
            }
            "interface" => {
                self.advance();
                if self.is("{") {
                    self.skip_block();
                }
                Some(Expr::Interface)
            }
            _ => {
                let mut ty = Expr::Name(self.name()?);
                // `package.Type`; a further part has no meaning.
                if self.eat(".") {
                    ty = Expr::Sel(Box::new(ty), self.name()?);
                    while self.eat(".") {
                        self.name()?;
                    }
                }
                if self.is("[") && !self.index_is_a_list() {
                    self.advance();
                    let args = self.types_until("]");
                    ty = Expr::Index(Box::new(ty), args);
                }
                Some(ty)
            }
        }
    }

    /// In a field list `a []T` is a name and a list, `T[A]` is a generic type.
    fn index_is_a_list(&self) -> bool {
        let mut ahead = *self;
        ahead.advance();
        ahead.is("]")
    }

    fn types_until(&mut self, end: &str) -> Vec<Expr<'a>> {
        let mut types = Vec::new();
        while !self.is(end) && !self.at_end() {
            let Some(ty) = self.ty() else { break };
            types.push(ty);
            if !self.eat(",") {
                break;
            }
        }
        self.close(end);
        types
    }

    /// `(params) results`, standing at `(`.
    pub(crate) fn signature(&mut self) -> Signature<'a> {
        let params = if self.eat("(") {
            self.params()
        } else {
            Vec::new()
        };
        let results = if self.eat("(") {
            self.params()
        } else {
            let starts =
                self.token.kind == Kind::Word || matches!(self.token.text, "*" | "[" | "<-");
            let ty = if starts { self.ty() } else { None };
            ty.into_iter()
                .map(|ty| Field {
                    name: "",
                    ty,
                    embedded: false,
                })
                .collect()
        };
        Signature { params, results }
    }

    /// A receiver, standing at `(`.
    pub(crate) fn signature_params(&mut self) -> Vec<Field<'a>> {
        self.advance();
        self.params()
    }

    /// `[…]`, standing at `[`.
    pub(crate) fn skip_brackets(&mut self) {
        self.advance();
        self.close("]");
    }

    /// `type T[P any] …` against `type T [4]int` and `type T []int`.
    pub(crate) fn opens_type_parameters(&self) -> bool {
        let mut ahead = *self;
        ahead.advance();
        ahead.name().is_some() && !ahead.is("]")
    }

    /// The list behind `(`, the `)` included: either all are named or none.
    fn params(&mut self) -> Vec<Field<'a>> {
        // Each with the turns that its second part took.
        let mut entries: Vec<(Expr<'a>, Option<(Expr<'a>, usize)>)> = Vec::new();
        while !self.is(")") && !self.at_end() {
            self.semis();
            let Some(first) = self.ty() else { break };
            let before = self.left;
            let second = if self.is(",") || self.is(")") {
                None
            } else {
                self.ty()
            };
            let second = second.map(|ty| (ty, before - self.left));
            entries.push((first, second));
            if !self.eat(",") {
                break;
            }
        }
        self.close(")");
        if !entries.iter().any(|(_, second)| second.is_some()) {
            let unnamed = |(ty, _)| Field {
                name: "",
                ty,
                embedded: false,
            };
            return entries.into_iter().map(unnamed).collect();
        }
        // `a, b T`: a name takes the next type.
        let mut fields = Vec::new();
        let mut following = (Expr::Unknown, 0);
        for (first, second) in entries.into_iter().rev() {
            if let Some(ty) = second {
                following = ty;
            }
            fields.push(Field {
                name: first.type_name(),
                ty: self.copy(&following.0, following.1),
                embedded: false,
            });
        }
        fields.reverse();
        fields
    }

    /// A struct's fields, standing at `{`.
    fn fields(&mut self) -> Vec<Field<'a>> {
        let mut fields = Vec::new();
        if !self.eat("{") {
            return fields;
        }
        loop {
            self.semis();
            if self.at_end() || self.eat("}") {
                return fields;
            }
            let before = self.lexer.position();
            self.field(&mut fields);
            // A tag, or something that is not understood.
            while !matches!(self.token.kind, Kind::Semi | Kind::End) && !self.is("}") {
                self.advance();
            }
            if self.lexer.position() == before && !self.is("}") {
                self.advance();
            }
        }
    }

    fn field(&mut self, fields: &mut Vec<Field<'a>>) {
        let mut ahead = *self;
        let names = ahead.names();
        let ends = matches!(ahead.token.kind, Kind::Semi | Kind::Str | Kind::End)
            || ahead.is("}")
            || ahead.is(".");
        let generic = ahead.is("[") && names.len() == 1 && {
            let mut inner = ahead;
            inner.advance();
            // `Base[T]` embeds, `list [N]T` does not: something follows the bracket.
            !inner.is("]") && {
                inner.close("]");
                self.looked(&inner);
                ahead.looked(&inner);
                matches!(inner.token.kind, Kind::Semi | Kind::Str) || inner.is("}")
            }
        };
        if names.is_empty() || ends || generic {
            if let Some(ty) = self.ty() {
                fields.push(Field {
                    name: ty.type_name(),
                    ty,
                    embedded: true,
                });
            }
            return;
        }
        *self = ahead;
        let before = self.left;
        if let Some(ty) = self.ty() {
            let turns = before - self.left;
            for name in names {
                fields.push(Field {
                    name,
                    ty: self.copy(&ty, turns),
                    embedded: false,
                });
            }
        }
    }

    /// Copies a type. `a, b struct { a, b struct { … } }` doubles at each
    /// level, so a copy takes as many turns as reading did.
    fn copy(&mut self, ty: &Expr<'a>, turns: usize) -> Expr<'a> {
        if self.pay(turns) {
            ty.clone()
        } else {
            Expr::Unknown
        }
    }
}

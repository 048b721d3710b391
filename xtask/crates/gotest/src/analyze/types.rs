//! What an expression is, inside a function.

use super::Walk;
use crate::ast::{Expr, Signature};
use crate::program::Ty;

impl<'p> Walk<'p> {
    pub(crate) fn ty(&self, expr: &'p Expr<'p>) -> Ty<'p> {
        if !self.steps() {
            return Ty::Unknown;
        }
        match expr {
            Expr::Name(name) => match self.local(name) {
                Some(local) => local.ty.clone(),
                None => self.program.lookup(self.file, name),
            },
            Expr::Sel(of, name) => {
                let of = self.ty(of);
                // `pkg.Type` of another module's package: a call of it converts.
                self.program.member(&of, name)
            }
            Expr::Call(_) => self.result(expr, 0),
            Expr::Composite(Some(ty), _) | Expr::Assert(_, Some(ty)) => {
                self.program.resolve(self.file, ty)
            }
            Expr::Star(inner) => match self.ty(inner) {
                Ty::Type(ty) => *ty,
                ty => ty,
            },
            Expr::Index(of, _) => match self.ty(of) {
                Ty::Elements(inner) => *inner,
                // A generic function with its types.
                other => other,
            },
            Expr::Func(literal) => Ty::Closure(self.file, &literal.signature),
            Expr::Unary("<-", inner) => match self.ty(inner) {
                Ty::Elements(inner) => *inner,
                _ => Ty::Unknown,
            },
            Expr::List(_) | Expr::Map(_) => self.program.resolve(self.file, expr),
            _ => Ty::Unknown,
        }
    }

    /// The type of one result of a call; of any other expression its own.
    pub(super) fn result(&self, expr: &'p Expr<'p>, index: usize) -> Ty<'p> {
        let Expr::Call(call) = expr else {
            return if index == 0 {
                self.ty(expr)
            } else {
                Ty::Unknown
            };
        };
        let of = |file: usize, signature: &'p Signature<'p>| {
            let field = signature.results.get(index);
            field.map_or(Ty::Unknown, |field| self.program.resolve(file, &field.ty))
        };
        match self.ty(&call.fun) {
            Ty::Function(id) => of(id.file, &self.program.function(id).signature),
            Ty::Closure(file, signature) => of(file, signature),
            Ty::Type(ty) => *ty,
            Ty::Builtin("new" | "make") => call
                .args
                .first()
                .map_or(Ty::Unknown, |ty| self.program.resolve(self.file, ty)),
            Ty::Builtin("append") => call.args.first().map_or(Ty::Unknown, |list| self.ty(list)),
            _ => Ty::Unknown,
        }
    }
}

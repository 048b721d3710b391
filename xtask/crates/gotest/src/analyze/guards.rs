//! Conditions that a test leaves by.

use super::{Found, Walk};
use crate::ast::{Expr, Stmt};
use crate::evidence;
use crate::program::Ty;

impl<'p> Walk<'p> {
    /// `if … { t.Skip(…) }`: what the condition asks for is needed.
    pub(super) fn guard(&mut self, cond: &'p Expr<'p>, then: &'p [Stmt<'p>]) {
        let Some((at, message)) = then.iter().find_map(|statement| self.skipping(statement)) else {
            return;
        };
        for need in evidence::of_guard(self, cond, &message) {
            self.unit.needs.push(Found {
                need,
                file: self.file,
                at,
                skips: true,
                certain: true,
            });
        }
    }

    /// Where a statement leaves the test, and with which words.
    fn skipping(&self, statement: &'p Stmt<'p>) -> Option<(usize, String)> {
        let Stmt::Expr(Expr::Call(call)) = statement else {
            return None;
        };
        let message = || {
            let literals = call.args.iter().filter_map(|arg| match arg {
                Expr::Str(text) => Some(crate::lex::unquote(text)),
                _ => None,
            });
            literals.collect::<Vec<_>>().join(" ")
        };
        let Expr::Sel(of, name) = &call.fun else {
            return None;
        };
        let ours = matches!(self.ty(of), Ty::Named(package, ty)
            if self.program.method(package, ty, name).is_some());
        match *name {
            _ if ours => None,
            "Skip" | "Skipf" | "SkipNow" => Some((call.at, message())),
            // A test that says so when it fails.
            "Fatal" | "Fatalf" if message().contains("root") => Some((call.at, message())),
            _ => None,
        }
    }
}

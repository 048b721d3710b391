//! Calls: of other functions, of subtests and suites, of functions outside the
//! workspace.

use std::rc::Rc;

use super::{Calls, Found, MOST_SUBTESTS, Origin, SUITE, Subtest, Suite, Unit, Walk};
use crate::ast::{Call, Expr};
use crate::evidence;
use crate::need::{self, Need};
use crate::parse::Cut;
use crate::program::Ty;
use crate::values::{self, Value};

impl<'p> Walk<'p> {
    pub(super) fn call(&mut self, call: &'p Call<'p>) {
        let callee = self.ty(&call.fun);
        if self.runs_subtest(call, &callee) {
            return;
        }
        match &callee {
            Ty::Function(id) => self.unit.calls.push(Calls {
                id: *id,
                certain: self.unsure == 0,
            }),
            Ty::ExternalFunction(SUITE, "Run") => {
                if let Some(Ty::Named(package, ty)) = call.args.get(1).map(|suite| self.ty(suite)) {
                    let suite = Suite {
                        package,
                        ty: ty.to_owned(),
                    };
                    if self.nameless == 0 {
                        self.unit.suites.push(suite);
                    }
                }
            }
            Ty::ExternalFunction(path, name) => self.outside(call, path, name),
            _ => {}
        }
        // The receiver of a method may itself be a call.
        match &call.fun {
            Expr::Sel(of, _) => self.expr_unless_name(of),
            Expr::Name(_) => {}
            other => self.expr(other),
        }
        self.exprs(&call.args);
    }

    fn expr_unless_name(&mut self, expr: &'p Expr<'p>) {
        if !matches!(expr, Expr::Name(_)) {
            self.expr(expr);
        }
    }

    fn outside(&mut self, call: &'p Call<'p>, path: &'p str, name: &'p str) {
        let mut needs = need::of_call(path, name).to_vec();
        if let Some(program) = evidence::program_of(self, call, path, name) {
            needs.extend_from_slice(need::of_program(&program));
            needs.push(Need::Tool(program));
        }
        for need in needs {
            self.unit.needs.push(Found {
                need,
                file: self.file,
                at: call.at,
                skips: false,
                certain: self.unsure == 0,
            });
        }
    }

    /// `t.Run(name, func)` and testify's `suite.Run(name, func)`.
    fn runs_subtest(&mut self, call: &'p Call<'p>, callee: &Ty<'p>) -> bool {
        let (Expr::Sel(of, "Run"), [name, body]) = (&call.fun, call.args.as_slice()) else {
            return false;
        };
        let is_test = match self.ty(of) {
            Ty::Named(package, ty) => {
                !matches!(callee, Ty::Function(_))
                    && self.program.embeds_external(package, ty, SUITE)
            }
            Ty::External("testing", "T" | "B") | Ty::Unknown => true,
            _ => false,
        };
        let is_function = matches!(body, Expr::Func(_))
            || matches!(self.ty(body), Ty::Function(_) | Ty::Closure(..));
        if !is_test || !is_function {
            return false;
        }
        self.expr(name);
        let names = if self.nameless == 0 {
            values::all_texts(self, name)
        } else {
            None
        };
        let Some(names) = names else {
            self.nameless += 1;
            self.expr(body);
            self.nameless -= 1;
            return true;
        };
        let mut shared: Option<Rc<Unit>> = None;
        for (text, bindings) in names {
            if self.unit.subtests.len() >= MOST_SUBTESTS || !self.program.another_subtest() {
                self.program.files[self.file].file.is_cut(Cut::Work);
                break;
            }
            let unit = match &shared {
                Some(unit) => Rc::clone(unit),
                None => Rc::new(self.subtest(body, bindings)),
            };
            if shared.is_none() && unit.subtests.is_empty() && unit.suites.is_empty() {
                // Nothing in it depends on the turn of the loop.
                shared = Some(Rc::clone(&unit));
            }
            self.unit.subtests.push(Subtest {
                name: text,
                at: call.at,
                unit,
            });
        }
        true
    }

    /// Analyzes the body of a subtest separately from the code around it.
    fn subtest(&mut self, body: &'p Expr<'p>, bindings: Vec<(&'p str, Value<'p>)>) -> Unit {
        let outer = std::mem::take(&mut self.unit);
        self.scope(|walk| {
            for (name, value) in bindings {
                let ty = walk
                    .local(name)
                    .map_or(Ty::Unknown, |local| local.ty.clone());
                walk.declare(name, ty, Origin::Known(value));
            }
            walk.expr(body);
        });
        std::mem::replace(&mut self.unit, outer)
    }
}

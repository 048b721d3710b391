//! Analyzes one function: its calls, its own needs, its subtests and suites, in one
//! walk over its statements, with the types and values of local names as far as they
//! are known.

mod calls;

use std::rc::Rc;

use crate::ast::{Expr, FuncLit, Signature, Stmt};
use crate::evidence;
use crate::need::Need;
use crate::program::{FunctionId, Program, Ty};
use crate::values::Value;

/// A need and its place in the sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) need: Need,
    pub(crate) file: usize,
    pub(crate) at: usize,
    /// Whether the test skips itself when the need is not met; otherwise it fails.
    pub(crate) skips: bool,
    /// Whether the place is always reached.
    pub(crate) certain: bool,
}

/// A call of a function, or a use of it as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) id: FunctionId,
    /// Whether the place is always reached.
    pub(crate) certain: bool,
}

/// The result for a function, or for the closure of a subtest.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unit {
    pub(crate) calls: Vec<Calls>,
    pub(crate) needs: Vec<Found>,
    pub(crate) subtests: Vec<Subtest>,
    pub(crate) suites: Vec<Suite>,
}

#[derive(Debug, Clone)]
pub(crate) struct Subtest {
    /// The first argument of `Run`.
    pub(crate) name: String,
    pub(crate) at: usize,
    pub(crate) unit: Rc<Unit>,
}

/// `suite.Run(t, …)` of a declared type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Suite {
    pub(crate) package: usize,
    pub(crate) ty: String,
}

/// A local name.
#[derive(Debug, Clone)]
pub(crate) struct Local<'p> {
    pub(crate) name: &'p str,
    pub(crate) ty: Ty<'p>,
    pub(crate) value: Origin<'p>,
    /// Whether it has got another value, perhaps only in a branch.
    pub(crate) is_reassigned: bool,
}

/// The source of a local name's value.
#[derive(Debug, Clone)]
pub(crate) enum Origin<'p> {
    Nowhere,
    /// This expression, or one of its results.
    Bound(&'p Expr<'p>),
    /// The key or index, and the element, of what is ranged over.
    Key(&'p Expr<'p>),
    Element(&'p Expr<'p>),
    /// Known for one iteration of a loop.
    Known(Value<'p>),
}

/// A walk through one function.
#[derive(Debug)]
pub(crate) struct Walk<'p> {
    pub(crate) program: &'p Program<'p>,
    pub(crate) file: usize,
    pub(crate) locals: Vec<Local<'p>>,
    unit: Unit,
    /// Number of enclosing subtests whose names are not in the source.
    nameless: usize,
    /// Number of enclosing parts that code other than tests may skip.
    unsure: usize,
    depth: usize,
    /// Limit for the program's count of steps.
    limit: u64,
}

/// Deeper nesting of subtests and closures is not followed.
const DEEPEST: usize = 40;
/// Tables that people write have fewer subtests.
const MOST_SUBTESTS: usize = 2000;

const SUITE: &str = "github.com/stretchr/testify/suite";

pub(crate) fn function<'p>(program: &'p Program<'p>, id: FunctionId) -> Unit {
    program.for_file(id.file, || walked(program, id))
}

fn walked<'p>(program: &'p Program<'p>, id: FunctionId) -> Unit {
    let declared = program.function(id);
    let mut walk = Walk::bare(program, id.file, program.limit(id.file));
    if let Some(receiver) = &declared.receiver {
        let ty = program.resolve(id.file, &receiver.ty);
        walk.declare(receiver.name, ty, Origin::Nowhere);
    }
    walk.parameters(&declared.signature);
    walk.statements(program.body(id));
    walk.unit
}

/// `if nothing to do { return nil }`: the code after it is not always reached. After
/// the return of an error it is, in every run of a test that passes.
fn may_be_done(statement: &Stmt<'_>) -> bool {
    let Stmt::If { then, .. } = statement else {
        return false;
    };
    match then.last() {
        Some(Stmt::Return(values)) => matches!(
            values.last(),
            None | Some(Expr::Name("nil" | "true" | "false") | Expr::Str(_) | Expr::Number(_))
        ),
        _ => false,
    }
}

/// Whether a loop's body may go on with the next element, or end the loop, before its
/// end.
fn may_continue(body: &[Stmt<'_>]) -> bool {
    body.iter().any(|statement| match statement {
        Stmt::Jump => true,
        Stmt::If { then, other, .. } => may_continue(then) || may_continue(other),
        Stmt::Block(inner) => may_continue(inner),
        _ => false,
    })
}

impl<'p> Walk<'p> {
    /// Knows a file's names and no local names.
    pub(crate) fn bare(program: &'p Program<'p>, file: usize, limit: u64) -> Self {
        Self {
            program,
            file,
            locals: Vec::new(),
            unit: Unit::default(),
            nameless: 0,
            unsure: 0,
            depth: 0,
            limit,
        }
    }

    /// A walk in another file, within the same limit.
    pub(crate) fn beside(&self, file: usize) -> Self {
        Self::bare(self.program, file, self.limit)
    }

    /// Counts one step; false when there were too many.
    #[inline]
    pub(crate) fn steps(&self) -> bool {
        self.program.took(1);
        !self.program.is_beyond(self.limit)
    }

    pub(crate) fn local(&self, name: &str) -> Option<&Local<'p>> {
        let mut looked = 0;
        let found = self.locals.iter().rev().find(|local| {
            looked += 1;
            local.name == name
        });
        self.program.took(looked);
        found
    }

    fn declare(&mut self, name: &'p str, ty: Ty<'p>, value: Origin<'p>) {
        if !name.is_empty() && name != "_" {
            self.locals.push(Local {
                name,
                ty,
                value,
                is_reassigned: false,
            });
        }
    }

    fn parameters(&mut self, signature: &'p Signature<'p>) {
        for field in &signature.params {
            let ty = self.program.resolve(self.file, &field.ty);
            self.declare(field.name, ty, Origin::Nowhere);
        }
    }

    fn scope(&mut self, walk: impl FnOnce(&mut Self)) {
        let known = self.locals.len();
        self.depth += 1;
        if self.depth < DEEPEST {
            walk(self);
        }
        self.depth -= 1;
        self.locals.truncate(known);
    }

    fn statements(&mut self, body: &'p [Stmt<'p>]) {
        let before = self.unsure;
        for statement in body {
            self.statement(statement);
            if !self.program.files[self.file].is_test && may_be_done(statement) {
                self.unsure += 1;
            }
        }
        self.unsure = before;
    }

    fn statement(&mut self, statement: &'p Stmt<'p>) {
        if !self.steps() {
            return;
        }
        match statement {
            Stmt::Expr(expr) => self.expr(expr),
            Stmt::Return(exprs) => self.exprs(exprs),
            Stmt::Jump => {}
            Stmt::Block(body) => {
                // `var` lines come as a block of bindings in the same scope.
                if body.iter().all(|s| matches!(s, Stmt::Bind { .. })) {
                    self.statements(body);
                } else {
                    self.perhaps(|walk| walk.statements(body));
                }
            }
            Stmt::Bind {
                names,
                ty,
                values,
                defines,
            } => self.bind(names, ty.as_ref(), values, *defines),
            Stmt::If {
                init,
                cond,
                then,
                other,
            } => self.scope(|walk| {
                walk.statements(init);
                walk.guard(cond, then);
                walk.expr(cond);
                // `if _, err := exec.LookPath(…); err == nil`: the test passes without it.
                let only_with = usize::from(evidence::asks_for_presence(walk, cond));
                walk.unsure += only_with;
                walk.perhaps(|walk| walk.statements(then));
                walk.unsure -= only_with;
                walk.perhaps(|walk| walk.statements(other));
            }),
            Stmt::Range { names, over, body } => {
                self.expr(over);
                self.scope(|walk| {
                    let element = match walk.ty(over) {
                        Ty::Elements(inner) => *inner,
                        _ => Ty::Unknown,
                    };
                    if let Some(key) = names.first() {
                        walk.declare(key, Ty::Unknown, Origin::Key(over));
                    }
                    if let Some(value) = names.get(1) {
                        walk.declare(value, element, Origin::Element(over));
                    }
                    // Which elements reach the rest of the body is not known.
                    let skips_some = usize::from(may_continue(body));
                    walk.nameless += skips_some;
                    walk.perhaps(|walk| walk.statements(body));
                    walk.nameless -= skips_some;
                });
            }
        }
    }

    /// Walks through code that the code under test runs only sometimes. For
    /// tests all of it counts: their loops have elements, their closures are
    /// called.
    fn perhaps(&mut self, walk: impl FnOnce(&mut Self)) {
        let unsure = usize::from(!self.program.files[self.file].is_test);
        self.unsure += unsure;
        self.scope(walk);
        self.unsure -= unsure;
    }

    fn bind(
        &mut self,
        names: &'p [&'p str],
        ty: Option<&'p Expr<'p>>,
        values: &'p [Expr<'p>],
        defines: bool,
    ) {
        self.exprs(values);
        let declared = ty.map(|ty| self.program.resolve(self.file, ty));
        for (index, name) in names.iter().enumerate() {
            let value = if values.len() == names.len() {
                values.get(index)
            } else {
                values.first()
            };
            let ty = match (&declared, value) {
                (Some(ty), _) => ty.clone(),
                (None, Some(value)) if values.len() == names.len() => self.ty(value),
                (None, Some(value)) => self.result(value, index),
                (None, None) => Ty::Unknown,
            };
            let origin = value.map_or(Origin::Nowhere, Origin::Bound);
            if defines {
                self.declare(name, ty, origin);
                continue;
            }
            self.program.took(self.locals.len());
            if let Some(local) = self
                .locals
                .iter_mut()
                .rev()
                .find(|local| local.name == *name)
            {
                local.is_reassigned |= !matches!(local.value, Origin::Nowhere);
                local.value = origin;
                if matches!(local.ty, Ty::Unknown) {
                    local.ty = ty;
                }
            }
        }
    }

    fn exprs(&mut self, exprs: &'p [Expr<'p>]) {
        for expr in exprs {
            self.expr(expr);
        }
    }

    fn expr(&mut self, expr: &'p Expr<'p>) {
        if !self.steps() {
            return;
        }
        match expr {
            Expr::Call(call) => self.call(call),
            Expr::Func(literal) => self.closure(literal),
            Expr::Composite(_, items) => {
                for item in items {
                    self.expr(&item.value);
                    if let Some(key @ (Expr::Call(_) | Expr::Func(_))) = &item.key {
                        self.expr(key);
                    }
                }
            }
            Expr::Name(_) | Expr::Sel(..) => {
                // A function that is used as a value will be called.
                if let Ty::Function(id) = self.ty(expr) {
                    let certain = self.unsure == 0 && self.program.files[self.file].is_test;
                    self.unit.calls.push(Calls { id, certain });
                }
                if let Expr::Sel(of, _) = expr
                    && !matches!(**of, Expr::Name(_))
                {
                    self.expr(of);
                }
            }
            Expr::Index(of, inside) => {
                self.expr(of);
                self.exprs(inside);
            }
            Expr::Star(inner) | Expr::Unary(_, inner) | Expr::Assert(inner, _) => self.expr(inner),
            Expr::Binary(_, both) => {
                self.expr(&both.0);
                self.expr(&both.1);
            }
            _ => {}
        }
    }

    fn closure(&mut self, literal: &'p FuncLit<'p>) {
        self.perhaps(|walk| {
            walk.parameters(&literal.signature);
            walk.statements(&literal.body);
        });
    }

    /// `if … { t.Skip(…) }`: the condition contains the needs.
    fn guard(&mut self, cond: &'p Expr<'p>, then: &'p [Stmt<'p>]) {
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

    /// The offset and the message of a statement that skips the test.
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
            // A failure that names the need.
            "Fatal" | "Fatalf" if message().contains("root") => Some((call.at, message())),
            _ => None,
        }
    }

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
                // A generic function with type arguments.
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

    /// The type of one result of a call; of any other expression its own type.
    fn result(&self, expr: &'p Expr<'p>, index: usize) -> Ty<'p> {
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

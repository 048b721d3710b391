//! The parts of Go's syntax that a test's needs are read from. Types are
//! expressions, as in go/ast. Positions are bytes in the file.

/// An expression or a type.
#[derive(Debug, Clone)]
pub(crate) enum Expr<'a> {
    Name(&'a str),
    /// `x.name`
    Sel(Box<Expr<'a>>, &'a str),
    Call(Box<Call<'a>>),
    /// `x[i]`, and `F[T]`, which looks alike.
    Index(Box<Expr<'a>>, Vec<Expr<'a>>),
    /// A string, quotes included.
    Str(&'a str),
    Number(&'a str),
    /// `T{…}`; no type where it is left out.
    Composite(Option<Box<Expr<'a>>>, Vec<Item<'a>>),
    Func(Box<FuncLit<'a>>),
    /// `*x`, as a type or a value, and `&x`.
    Star(Box<Expr<'a>>),
    Unary(&'a str, Box<Expr<'a>>),
    Binary(&'a str, Box<(Expr<'a>, Expr<'a>)>),
    /// `x.(T)`
    Assert(Box<Expr<'a>>, Option<Box<Expr<'a>>>),
    /// `[]T`, `[N]T`, `chan T`
    List(Box<Expr<'a>>),
    /// `map[K]V`: the values.
    Map(Box<Expr<'a>>),
    FuncType(Box<Signature<'a>>),
    Struct(Vec<Field<'a>>),
    Interface,
    /// An expression that the parser does not understand.
    Unknown,
}

#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    pub(crate) fun: Expr<'a>,
    pub(crate) args: Vec<Expr<'a>>,
    /// Offset of the opening parenthesis.
    pub(crate) at: usize,
}

/// One element of a composite literal.
#[derive(Debug, Clone)]
pub(crate) struct Item<'a> {
    pub(crate) key: Option<Expr<'a>>,
    pub(crate) value: Expr<'a>,
}

/// A parameter, a result, or a struct's field.
#[derive(Debug, Clone)]
pub(crate) struct Field<'a> {
    /// Empty where unnamed; for an embedded field its type's name.
    pub(crate) name: &'a str,
    pub(crate) ty: Expr<'a>,
    pub(crate) embedded: bool,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Signature<'a> {
    pub(crate) params: Vec<Field<'a>>,
    pub(crate) results: Vec<Field<'a>>,
}

#[derive(Debug, Clone)]
pub(crate) struct FuncLit<'a> {
    pub(crate) signature: Signature<'a>,
    pub(crate) body: Vec<Stmt<'a>>,
}

/// A statement, as far as needs depend on its kind.
#[derive(Debug, Clone)]
pub(crate) enum Stmt<'a> {
    Expr(Expr<'a>),
    /// `a, b := x`, `a, b = x`, `var a, b T = x`
    Bind {
        names: Vec<&'a str>,
        ty: Option<Expr<'a>>,
        values: Vec<Expr<'a>>,
        /// `:=` defines new names.
        defines: bool,
    },
    If {
        init: Vec<Stmt<'a>>,
        cond: Expr<'a>,
        then: Vec<Stmt<'a>>,
        other: Vec<Stmt<'a>>,
    },
    /// `for a, b := range x {…}`
    Range {
        names: Vec<&'a str>,
        over: Expr<'a>,
        body: Vec<Stmt<'a>>,
    },
    /// Any other statement that contains statements: blocks, loops, cases.
    Block(Vec<Stmt<'a>>),
    Return(Vec<Expr<'a>>),
    /// `continue`, `break`, `goto`
    Jump,
}

impl<'a> Expr<'a> {
    /// The name that an embedded field of this type has.
    pub(crate) fn type_name(&self) -> &'a str {
        match self {
            Self::Name(name) | Self::Sel(_, name) => name,
            Self::Star(inner) | Self::Index(inner, _) => inner.type_name(),
            _ => "",
        }
    }
}

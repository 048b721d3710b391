//! Evaluates texts in the sources: literals, constants, and the names in tables of
//! subtests.

use std::fmt::Write;

use crate::analyze::{Origin, Walk};
use crate::ast::{Call, Expr, Item};
use crate::lex::unquote;
use crate::program::Ty;

mod tables;

use tables::{Table, collect_tables};

/// A value that is known without running anything.
#[derive(Debug, Clone)]
pub(crate) enum Value<'p> {
    Text(String),
    /// A number or a boolean, as `%v` prints it.
    Plain(String),
    /// An element of a table, and the type it has there.
    Element(&'p Expr<'p>, Ty<'p>),
}

type Bindings<'p> = Vec<(&'p str, Value<'p>)>;

/// Maximum iterations of all unrolled loops together.
const MOST_TURNS: usize = 2000;

/// All values of a text, one per iteration of the loops that its names come from;
/// `None` if they are not in the source.
pub(crate) fn all_texts<'p>(
    walk: &Walk<'p>,
    expr: &'p Expr<'p>,
) -> Option<Vec<(String, Bindings<'p>)>> {
    let mut tables: Vec<Table<'p>> = Vec::new();
    collect_tables(walk, expr, &mut tables, 0);
    let turns = tables
        .iter()
        .try_fold(1_usize, |turns, table| turns.checked_mul(table.items.len()))?;
    if turns == 0 || turns > MOST_TURNS {
        return None;
    }
    let mut out = Vec::with_capacity(turns);
    for turn in 0..turns {
        let mut rest = turn;
        let mut bindings = Bindings::new();
        // The innermost loop advances fastest.
        walk.program.took(tables.len());
        for table in tables.iter().rev() {
            let item = &table.items[rest % table.items.len()];
            rest /= table.items.len();
            let element = Value::Element(&item.value, table.element.clone());
            if let Some(name) = table.value_name {
                bindings.push((name, element));
            }
            if let (Some(name), Some(key)) = (table.key_name, &item.key) {
                bindings.push((name, Value::Element(key, Ty::Unknown)));
            }
        }
        match eval(walk, expr, &bindings, 0)? {
            Value::Text(text) => out.push((text, bindings)),
            _ => return None,
        }
    }
    Some(out)
}

fn eval<'p>(
    walk: &Walk<'p>,
    expr: &'p Expr<'p>,
    bindings: &Bindings<'p>,
    depth: usize,
) -> Option<Value<'p>> {
    if depth > 20 || !walk.steps() {
        return None;
    }
    match expr {
        Expr::Str(text) => {
            walk.program.took(text.len());
            Some(Value::Text(unquote(text)))
        }
        Expr::Number(text) => Some(Value::Plain((*text).to_owned())),
        Expr::Name(name @ ("true" | "false")) => Some(Value::Plain((*name).to_owned())),
        Expr::Name(name) => named(walk, name, bindings, depth),
        Expr::Sel(of, field) => {
            let Value::Element(element, ty) = eval(walk, of, bindings, depth + 1)? else {
                return None;
            };
            let value = field_of(walk, element, &ty, field)?;
            eval(walk, value, bindings, depth + 1)
        }
        Expr::Star(inner) => eval(walk, inner, bindings, depth + 1),
        Expr::Composite(ty, _) => {
            let ty = ty
                .as_ref()
                .map_or(Ty::Unknown, |ty| walk.program.resolve(walk.file, ty));
            Some(Value::Element(expr, ty))
        }
        Expr::Binary("+", both) => {
            let left = eval(walk, &both.0, bindings, depth + 1)?;
            let right = eval(walk, &both.1, bindings, depth + 1)?;
            match (left, right) {
                (Value::Text(left), Value::Text(right)) => {
                    walk.program.took(left.len() + right.len());
                    Some(Value::Text(left + &right))
                }
                _ => None,
            }
        }
        Expr::Call(call) => called(walk, call, bindings, depth),
        _ => None,
    }
}

/// The value of a name: of a loop, else of a local, else of the package.
fn named<'p>(
    walk: &Walk<'p>,
    name: &str,
    bindings: &Bindings<'p>,
    depth: usize,
) -> Option<Value<'p>> {
    if let Some((_, value)) = bindings.iter().find(|(known, _)| *known == name) {
        return settle(walk, value.clone(), bindings, depth);
    }
    if let Some(local) = walk.local(name) {
        return match &local.value {
            _ if local.is_reassigned => None,
            Origin::Bound(value) => eval(walk, value, bindings, depth + 1),
            Origin::Known(value) => settle(walk, value.clone(), bindings, depth),
            _ => None,
        };
    }
    let package = walk.program.files[walk.file].package;
    let (_, value) = walk.program.variable(package, name)?;
    eval(walk, value?, bindings, depth + 1)
}

/// The result of a call, for the few functions that names are made with.
fn called<'p>(
    walk: &Walk<'p>,
    call: &'p Call<'p>,
    bindings: &Bindings<'p>,
    depth: usize,
) -> Option<Value<'p>> {
    match walk.ty(&call.fun) {
        Ty::ExternalFunction("fmt", "Sprintf") => {
            let (format, args) = call.args.split_first()?;
            let Value::Text(format) = eval(walk, format, bindings, depth + 1)? else {
                return None;
            };
            let args: Option<Vec<_>> = args
                .iter()
                .map(|arg| eval(walk, arg, bindings, depth + 1))
                .collect();
            let text = formatted(&format, &args?)?;
            walk.program.took(text.len());
            Some(Value::Text(text))
        }
        Ty::ExternalFunction("strconv", "Itoa" | "FormatBool") => {
            match eval(walk, call.args.first()?, bindings, depth + 1)? {
                Value::Plain(text) => Some(Value::Text(text)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// An element of a table that is a plain value is used as it is.
fn settle<'p>(
    walk: &Walk<'p>,
    value: Value<'p>,
    bindings: &Bindings<'p>,
    depth: usize,
) -> Option<Value<'p>> {
    match value {
        Value::Element(Expr::Composite(..), _) => Some(value),
        Value::Element(Expr::Star(inner), ty) if matches!(**inner, Expr::Composite(..)) => {
            Some(Value::Element(inner, ty))
        }
        Value::Element(expr, _) => eval(walk, expr, bindings, depth + 1),
        known => Some(known),
    }
}

/// A field of an element, by its key or its index; an absent field has no known value.
fn field_of<'p>(
    walk: &Walk<'p>,
    element: &'p Expr<'p>,
    ty: &Ty<'p>,
    field: &str,
) -> Option<&'p Expr<'p>> {
    let Expr::Composite(own, items) = element else {
        return None;
    };
    walk.program.took(items.len());
    if items.iter().any(|item| item.key.is_some()) {
        let named =
            |item: &&Item<'p>| matches!(&item.key, Some(Expr::Name(name)) if *name == field);
        return items.iter().find(named).map(|item| &item.value);
    }
    let ty = own
        .as_ref()
        .map_or_else(|| ty.clone(), |own| walk.program.resolve(walk.file, own));
    let (_, fields) = walk.program.struct_fields(&ty)?;
    let place = fields.iter().position(|known| known.name == field)?;
    items.get(place).map(|item| &item.value)
}

fn formatted(format: &str, args: &[Value<'_>]) -> Option<String> {
    let mut out = String::new();
    let mut args = args.iter();
    let mut rest = format.chars();
    while let Some(char) = rest.next() {
        if char != '%' {
            out.push(char);
            continue;
        }
        match (rest.next()?, ()) {
            ('%', ()) => out.push('%'),
            ('s' | 'v', ()) => match args.next()? {
                Value::Text(text) | Value::Plain(text) => out.push_str(text),
                Value::Element(..) => return None,
            },
            ('d' | 't', ()) => match args.next()? {
                Value::Plain(text) => out.push_str(text),
                _ => return None,
            },
            ('q', ()) => match args.next()? {
                Value::Text(text) => {
                    let _ = write!(out, "{text:?}");
                }
                _ => return None,
            },
            _ => return None,
        }
    }
    Some(out)
}

/// A subtest's name as `testing` writes it (src/testing/match.go, rewrite):
/// blanks become `_`, what cannot be printed an escape.
pub(crate) fn rewritten(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for char in name.chars() {
        let code = u32::from(char);
        if char.is_whitespace() || char == '\u{180e}' {
            out.push('_');
        } else if is_printable(char) {
            out.push(char);
        } else {
            let _ = match code {
                0x7 => write!(out, "\\a"),
                0x8 => write!(out, "\\b"),
                _ if code < 0x80 => write!(out, "\\x{code:02x}"),
                _ if code < 0x10000 => write!(out, "\\u{code:04x}"),
                _ => write!(out, "\\U{code:08x}"),
            };
        }
    }
    out
}

/// Whether Go's `strconv.IsPrint` says so: Rust escapes the same characters where it
/// prints a text for debugging, and marks that extend the character before.
fn is_printable(char: char) -> bool {
    // Escaped, it would be more than one character.
    char.is_ascii_graphic() || (!char.is_ascii() && format!("a{char}").escape_debug().count() == 2)
}

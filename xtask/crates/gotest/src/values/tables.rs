//! Finds the tables that a name is taken from, and their rows.

use crate::analyze::{Local, Origin, Walk};
use crate::ast::{Expr, Item};
use crate::program::Ty;

pub(super) struct Table<'p> {
    pub(super) over: &'p Expr<'p>,
    pub(super) items: &'p [Item<'p>],
    pub(super) element: Ty<'p>,
    pub(super) key_name: Option<&'p str>,
    pub(super) value_name: Option<&'p str>,
}

/// The tables whose loops a text's names come from, outermost first.
pub(super) fn collect_tables<'p>(
    walk: &Walk<'p>,
    expr: &'p Expr<'p>,
    tables: &mut Vec<Table<'p>>,
    depth: usize,
) {
    if depth > 20 || !walk.steps() {
        return;
    }
    match expr {
        Expr::Name(name) => {
            let Some(local) = walk.local(name) else {
                return;
            };
            match &local.value {
                Origin::Element(over) | Origin::Key(over) => {
                    add_table(walk, local, over, tables);
                }
                Origin::Bound(value) if !std::ptr::eq(*value, expr) => {
                    collect_tables(walk, value, tables, depth + 1);
                }
                _ => {}
            }
        }
        Expr::Sel(of, _) | Expr::Star(of) | Expr::Index(of, _) => {
            collect_tables(walk, of, tables, depth + 1);
        }
        Expr::Binary(_, both) => {
            collect_tables(walk, &both.0, tables, depth + 1);
            collect_tables(walk, &both.1, tables, depth + 1);
        }
        Expr::Call(call) => {
            for arg in &call.args {
                collect_tables(walk, arg, tables, depth + 1);
            }
        }
        _ => {}
    }
}

fn add_table<'p>(
    walk: &Walk<'p>,
    local: &Local<'p>,
    over: &'p Expr<'p>,
    tables: &mut Vec<Table<'p>>,
) {
    let is_key = matches!(local.value, Origin::Key(_));
    let index = tables
        .iter()
        .position(|table| std::ptr::eq(table.over, over));
    let index = index.or_else(|| {
        let (items, element) = table(walk, over, 0)?;
        tables.push(Table {
            over,
            items,
            element,
            key_name: None,
            value_name: None,
        });
        Some(tables.len() - 1)
    });
    let Some(index) = index else { return };
    walk.program.took(walk.locals.len() + tables.len());
    // Both names of a loop advance together, used or not.
    for other in &walk.locals {
        match &other.value {
            Origin::Element(of) if std::ptr::eq(*of, over) => {
                tables[index].value_name = Some(other.name);
            }
            Origin::Key(of) if std::ptr::eq(*of, over) => tables[index].key_name = Some(other.name),
            _ => {}
        }
    }
    if is_key {
        tables[index].key_name = Some(local.name);
    }
}

/// The elements of a literal list or map, however it is named.
fn table<'p>(
    walk: &Walk<'p>,
    expr: &'p Expr<'p>,
    depth: usize,
) -> Option<(&'p [Item<'p>], Ty<'p>)> {
    if depth > 8 {
        return None;
    }
    match expr {
        Expr::Composite(Some(ty), items) => {
            let element = match walk.program.resolve(walk.file, ty) {
                Ty::Elements(inner) => *inner,
                _ => Ty::Unknown,
            };
            // The keys of a list are not texts, those of a map are.
            Some((items, element))
        }
        Expr::Name(name) => match walk.local(name) {
            Some(Local {
                value: Origin::Bound(value),
                ..
            }) => table(walk, value, depth + 1),
            Some(_) => None,
            None => {
                let package = walk.program.files[walk.file].package;
                let (_, value) = walk.program.variable(package, name)?;
                table(walk, value?, depth + 1)
            }
        },
        Expr::Star(inner) => table(walk, inner, depth + 1),
        _ => None,
    }
}

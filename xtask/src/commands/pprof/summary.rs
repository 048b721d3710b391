//! A summary to act on: each node's total, and for each function the node that
//! stands out from the others.

use std::collections::BTreeMap;
use std::fmt::Write;

use ::pprof::{Query, Top, report, unit};
use serde_json::{Value, json};

use super::controllers;
use super::kept::{Kept, Readable};
use super::load::engine;
use super::rank::{Function, rank};
use crate::app::App;
use foundation::failure::Result;
use foundation::ui::text::one_line;
use foundation::ui::{self, Style};

/// Default number of rows.
const ROWS: usize = 15;
/// Rows of controllers beside the functions.
const CONTROLLERS: usize = 5;
/// Maximum columns of a node's name.
pub(super) const WIDEST: usize = 60;
/// A value this many times the median stands out.
const OUTLIER: f64 = 2.0;

/// Frames in which a goroutine waits on behalf of its caller.
const WAITING: &str = r"^(runtime|sync|internal/(poll|sync|runtime/.*))\.";

/// The weight of each controller.
type Weights = BTreeMap<String, i64>;

/// One node's profile, and its previous one.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) node: String,
    pub(super) profile: Kept,
    pub(super) before: Option<Kept>,
}

/// The part that is shown.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shown {
    pub(super) rows: Option<usize>,
    pub(super) only_controllers: bool,
}

/// The comparison of nodes.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) sample_type: String,
    pub(super) unit: String,
    pub(super) nodes: Vec<Node>,
    pub(super) functions: Vec<Function>,
    /// Talos controllers, if the profile has any.
    pub(super) controllers: Vec<Function>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) total: i64,
    pub(super) before: Option<i64>,
}

/// Compares the nodes of one service and profile.
pub(super) fn summarize(sides: &[Side], query: &Query) -> Result<Summary> {
    let query = asked(sides, query);
    let weigh = |profile: &Kept| -> Result<(Top, Weights)> {
        let profile = profile.read()?;
        let top = report::top(&profile, &query).map_err(|error| engine(&error))?;
        Ok((top, controllers::weigh(&profile, &query)?))
    };
    let (mut tops, mut controllers) = (Vec::new(), Vec::new());
    let (mut befores, mut controllers_before) = (Vec::new(), Vec::new());
    // Each profile is weighed once, since it may have to be read from its file.
    for side in sides {
        let (top, of_controllers) = weigh(&side.profile)?;
        tops.push(top);
        controllers.push(of_controllers);
        // A type of another kind, as after an upgrade, cannot be compared.
        let before = side.before.as_ref().and_then(|before| weigh(before).ok());
        let (top, of_controllers) = before.unzip();
        befores.push(top);
        controllers_before.push(of_controllers);
    }
    let value = |row: &::pprof::Row| if query.cum { row.cum } else { row.flat };
    let weights = |top: &Top| -> BTreeMap<String, i64> {
        let mut weights = BTreeMap::new();
        for row in &top.rows {
            let sum: &mut i64 = weights.entry(row.name.clone()).or_default();
            *sum = sum.wrapping_add(value(row));
        }
        weights
    };
    let functions = rank(
        &tops.iter().map(weights).collect::<Vec<_>>(),
        &befores
            .iter()
            .map(|top| top.as_ref().map(weights))
            .collect::<Vec<_>>(),
    );
    let controllers = rank(&controllers, &controllers_before);
    let nodes = sides
        .iter()
        .zip(&tops)
        .zip(&befores)
        .map(|((side, top), before)| Node {
            name: side.node.clone(),
            total: top.total,
            before: before.as_ref().map(|before| before.total),
        });
    Ok(Summary {
        nodes: nodes.collect(),
        sample_type: tops
            .first()
            .map_or_else(String::new, |top| top.sample_type.clone()),
        unit: tops
            .first()
            .map_or_else(String::new, |top| top.unit.clone()),
        functions,
        controllers,
    })
}

/// The query for each node, whose result is compared with the others.
fn asked(sides: &[Side], query: &Query) -> Query {
    // Nothing is trimmed per node: a weight that is small here may be large
    // there.
    let mut query = Query {
        trim: false,
        nodecount: 0,
        ..query.clone()
    };
    let counts_goroutines = |side: &Side| {
        let names = side.profile.types();
        names
            .first()
            .is_some_and(|name| name.starts_with("goroutine"))
    };
    if query.hide.is_none() && sides.iter().any(counts_goroutines) {
        // All goroutines are parked in the runtime: only the frames below
        // distinguish them.
        query.hide = Some(WAITING.into());
    }
    query
}

impl Summary {
    /// Returns the summary as text.
    pub(super) fn text(&self, app: &App<'_>, title: &str, shown: Shown) -> String {
        let mut out = format!(
            "{} {}\n",
            app.ui.paint(Style::Bold, title),
            self.sample_type
        );
        self.totals(&mut out);
        if !shown.only_controllers {
            let rows = shown.rows.unwrap_or(ROWS);
            self.table(app, &mut out, "function", &self.functions, rows);
        }
        if shown.only_controllers && self.controllers.is_empty() {
            out.push_str("\n  no frames of Talos' controllers\n");
        } else if !self.controllers.is_empty() {
            let few = if shown.only_controllers {
                usize::MAX
            } else {
                CONTROLLERS
            };
            let rows = shown.rows.unwrap_or(few);
            self.table(app, &mut out, "controller", &self.controllers, rows);
        }
        out
    }

    fn format(&self, value: i64) -> String {
        unit::label(value, &self.unit, "auto")
    }

    fn signed(&self, value: i64) -> String {
        unit::signed(value, &self.unit, "auto")
    }

    /// The longest name of a node, which may be of any length.
    fn width(&self) -> usize {
        let widths = self
            .nodes
            .iter()
            .map(|node| one_line(&node.name).chars().count());
        widths.max().unwrap_or(0).clamp(4, WIDEST)
    }

    fn totals(&self, out: &mut String) {
        let width = self.width();
        let _ = writeln!(
            out,
            "  {:<width$} {:>10} {:>12}",
            "node", "total", "since last"
        );
        for node in &self.nodes {
            let change = node.before.map_or_else(
                || "-".into(),
                |before| self.signed(node.total.wrapping_sub(before)),
            );
            let _ = writeln!(
                out,
                "  {:<width$} {:>10} {change:>12}",
                one_line(&node.name),
                self.format(node.total)
            );
        }
    }

    fn table(&self, app: &App<'_>, out: &mut String, what: &str, rows: &[Function], shown: usize) {
        let width = self.width();
        let _ = writeln!(
            out,
            "\n  {:>10} {:>10} {:>6} {:>12}  {:<width$}  {what}",
            "median", "max", "ratio", "since last", "on"
        );
        for row in rows.iter().take(shown) {
            let change = row
                .change
                .map_or_else(|| "-".into(), |change| self.signed(change));
            let ratio = match row.ratio() {
                _ if self.nodes.len() < 2 => String::new(),
                Some(ratio) => format!("{ratio:.1}x"),
                // The others do not have it at all.
                None => "only".into(),
            };
            let line = format!(
                "  {:>10} {:>10} {ratio:>6} {change:>12}  {:<width$}  {}",
                self.format(row.median),
                self.format(row.max),
                one_line(&self.nodes[row.node].name),
                row.name
            );
            let stands_out =
                self.nodes.len() > 1 && row.ratio().is_none_or(|ratio| ratio >= OUTLIER);
            let line = if stands_out {
                app.ui.paint(Style::Warn, &line)
            } else {
                line
            };
            let _ = writeln!(out, "{line}");
        }
        if rows.len() > shown {
            let all = if what == "function" {
                "--top"
            } else {
                "--controllers"
            };
            let _ = writeln!(out, "  … {} more: -n N, or {all}", rows.len() - shown);
        }
    }

    /// Stable: fields are added, never changed.
    pub(super) fn json(&self) -> Value {
        let nodes: Vec<Value> = self
            .nodes
            .iter()
            .map(|node| json!({"name": node.name, "total": node.total, "before": node.before}))
            .collect();
        let rows = |rows: &[Function]| -> Vec<Value> {
            let rows = rows.iter().map(|row| {
                json!({
                    "name": row.name, "median": row.median, "max": row.max,
                    "node": self.nodes[row.node].name, "change": row.change,
                })
            });
            rows.collect()
        };
        ui::with_schema(json!({
            "sample_type": self.sample_type, "unit": self.unit,
            "nodes": nodes, "functions": rows(&self.functions),
            "controllers": rows(&self.controllers),
        }))
    }
}

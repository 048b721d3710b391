//! What a person can act on: each node's total, and for each function the
//! node that stands out from the others.

use std::collections::BTreeMap;
use std::fmt::Write;

use ::pprof::{Profile, Query, Top, report, unit};
use serde_json::{Value, json};

use super::load::engine;
use crate::commands::App;
use crate::failure::Result;
use crate::ui::Style;

/// Rows without `-n`.
const ROWS: usize = 15;
/// So many times the median stands out.
const OUTLIER: f64 = 2.0;

/// Frames in which a goroutine waits on behalf of its caller.
const WAITING: &str = r"^(runtime|sync|internal/(poll|sync|runtime/.*))\.";

/// One node's profile, and the last one before.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) node: String,
    pub(super) profile: Profile,
    pub(super) before: Option<Profile>,
}

/// The comparison of nodes.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) sample_type: String,
    pub(super) unit: String,
    pub(super) nodes: Vec<Node>,
    pub(super) functions: Vec<Function>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) total: i64,
    pub(super) before: Option<i64>,
}

#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) median: i64,
    pub(super) max: i64,
    /// Where the maximum is.
    pub(super) node: usize,
    /// There, less the last time.
    pub(super) change: Option<i64>,
}

impl Function {
    /// Maximum over median; none without a median.
    #[allow(clippy::cast_precision_loss)] // for people
    fn ratio(&self) -> Option<f64> {
        (self.median > 0).then(|| self.max as f64 / self.median as f64)
    }
}

/// Compare the nodes of one service and profile.
pub(super) fn summarize(sides: &[Side], query: &Query) -> Result<Summary> {
    // Nothing is trimmed per node: what is small here may be large there.
    let mut query = Query {
        trim: false,
        nodecount: 0,
        ..query.clone()
    };
    let counts_goroutines = |side: &Side| {
        let names = side.profile.sample_type_names();
        names
            .first()
            .is_some_and(|name| name.starts_with("goroutine"))
    };
    if query.hide.is_none() && sides.iter().any(counts_goroutines) {
        // All of them are parked in the runtime: where they were when they
        // were parked is what tells them apart.
        query.hide = Some(WAITING.into());
    }
    let top = |profile: &Profile| report::top(profile, &query).map_err(|error| engine(&error));
    let tops: Vec<Top> = sides
        .iter()
        .map(|side| top(&side.profile))
        .collect::<Result<_>>()?;
    let befores: Vec<Option<Top>> = sides
        .iter()
        // One of another kind, as after an upgrade, is no comparison.
        .map(|side| side.before.as_ref().and_then(|before| top(before).ok()))
        .collect();
    let value = |row: &::pprof::Row| if query.cum { row.cum } else { row.flat };
    let mut weights: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for (node, top) in tops.iter().enumerate() {
        for row in &top.rows {
            let of = weights
                .entry(&row.name)
                .or_insert_with(|| vec![0; tops.len()]);
            of[node] = of[node].wrapping_add(value(row));
        }
    }
    let last: Vec<Option<BTreeMap<&str, i64>>> = befores
        .iter()
        .map(|top| {
            let rows = top.as_ref()?.rows.iter();
            Some(rows.map(|row| (row.name.as_str(), value(row))).collect())
        })
        .collect();
    let mut functions: Vec<Function> = weights
        .into_iter()
        .map(|(name, values)| {
            let (node, max) = largest(&values);
            Function {
                name: name.to_owned(),
                median: median(&values),
                max,
                node,
                change: last[node]
                    .as_ref()
                    .map(|last| max - last.get(name).copied().unwrap_or(0)),
            }
        })
        .filter(|function| function.max != 0)
        .collect();
    functions.sort_by_key(|function| std::cmp::Reverse(function.max.wrapping_abs()));
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
    })
}

fn largest(values: &[i64]) -> (usize, i64) {
    let places = values.iter().copied().enumerate();
    let largest =
        places.max_by_key(|(place, value)| (value.wrapping_abs(), std::cmp::Reverse(*place)));
    largest.unwrap_or((0, 0))
}

fn median(values: &[i64]) -> i64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    match sorted.len() {
        0 => 0,
        len if len % 2 == 1 => sorted[len / 2],
        len => i64::midpoint(sorted[len / 2 - 1], sorted[len / 2]),
    }
}

impl Summary {
    /// For people.
    pub(super) fn text(&self, app: &App<'_>, title: &str, rows: Option<usize>) -> String {
        let format = |value: i64| unit::label(value, &self.unit, "auto");
        let signed = |value: i64| {
            let sign = if value > 0 { "+" } else { "" };
            format!("{sign}{}", format(value))
        };
        let mut out = format!(
            "{} {}\n",
            app.ui.paint(Style::Bold, title),
            self.sample_type
        );
        let width = self
            .nodes
            .iter()
            .map(|node| node.name.len())
            .max()
            .unwrap_or(0)
            .max(4);
        let _ = writeln!(
            out,
            "  {:<width$} {:>10} {:>12}",
            "node", "total", "since last"
        );
        for node in &self.nodes {
            let change = node
                .before
                .map_or_else(|| "-".into(), |before| signed(node.total - before));
            let _ = writeln!(
                out,
                "  {:<width$} {:>10} {change:>12}",
                node.name,
                format(node.total)
            );
        }
        let _ = writeln!(
            out,
            "\n  {:>10} {:>10} {:>6} {:>12}  {:<width$}  function",
            "median", "max", "ratio", "since last", "on"
        );
        let shown = rows.unwrap_or(ROWS);
        for function in self.functions.iter().take(shown) {
            let change = function.change.map_or_else(|| "-".into(), signed);
            let ratio = match function.ratio() {
                _ if self.nodes.len() < 2 => String::new(),
                Some(ratio) => format!("{ratio:.1}x"),
                // The others do not have it at all.
                None => "only".into(),
            };
            let line = format!(
                "  {:>10} {:>10} {ratio:>6} {change:>12}  {:<width$}  {}",
                format(function.median),
                format(function.max),
                self.nodes[function.node].name,
                function.name
            );
            let stands_out =
                self.nodes.len() > 1 && function.ratio().is_none_or(|ratio| ratio >= OUTLIER);
            let line = if stands_out {
                app.ui.paint(Style::Warn, &line)
            } else {
                line
            };
            let _ = writeln!(out, "{line}");
        }
        if self.functions.len() > shown {
            let _ = writeln!(
                out,
                "  … {} more: -n N, or --top",
                self.functions.len() - shown
            );
        }
        out
    }

    /// Stable: fields are added, never changed.
    pub(super) fn json(&self) -> Value {
        let nodes: Vec<Value> = self
            .nodes
            .iter()
            .map(|node| json!({"name": node.name, "total": node.total, "before": node.before}))
            .collect();
        let functions: Vec<Value> = self
            .functions
            .iter()
            .map(|function| {
                json!({
                    "name": function.name, "median": function.median, "max": function.max,
                    "node": self.nodes[function.node].name, "change": function.change,
                })
            })
            .collect();
        json!({
            "schema": 1, "sample_type": self.sample_type, "unit": self.unit,
            "nodes": nodes, "functions": functions,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_maxima_know_their_place() {
        assert_eq!(median(&[3, 1, 2]), 2);
        assert_eq!(median(&[4, 1, 2, 3]), 2);
        assert_eq!(median(&[]), 0);
        assert_eq!(largest(&[1, -9, 9]), (1, -9));
        assert_eq!(largest(&[]), (0, 0));
    }
}

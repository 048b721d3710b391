//! Reports as `go tool pprof` prints them, and the same as rows.

mod compare;
mod goroutines;
mod groups;
mod list;
mod raw;
mod tags;
mod traces;
mod tree;

use std::fmt::Write;

use crate::error::{Error, Result};
use crate::frames::base;
use crate::graph::{Calls, Graph, cutoff};
use crate::profile::Profile;
use crate::query::Query;
use crate::stacks::{Stacks, Weighing};
use crate::tagframes;
use crate::unit;
use crate::view::View;

pub use compare::{Compared, Comparison, compare, compare_text};
pub use goroutines::{Goroutines, Group, goroutines};
pub use groups::{Groups, NamedStack, NamedStacks, groups, stacks};
pub use list::{Listing, ReadSource, Routine, SourceLine, list, list_text};
pub use raw::raw;
pub use tags::{comments, tags};
pub use traces::traces;
pub use tree::{peek, tree};

/// How a moment is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeStyle {
    /// `2006-01-02 15:04:05 MST`
    Short,
    /// `2006-01-02 15:04:05.999999999 -0700 MST`, zeros at the end left off.
    Full,
}

/// A moment in nanoseconds since 1970 as people read it. Given by the
/// caller, who knows the time zone.
pub type FormatTime<'a> = &'a dyn Fn(i64, TimeStyle) -> String;

/// A report's text, and what to tell beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    pub text: String,
    /// Filters that matched nothing.
    pub warnings: Vec<String>,
}

/// One function, file, line or address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    /// In the sample type's unit, not scaled.
    pub flat: i64,
    pub cum: i64,
    /// Empty, `(inline)` or `(partial-inline)`.
    pub inline: &'static str,
}

/// A `top` report as data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Top {
    pub sample_type: String,
    pub unit: String,
    /// What percentages are of.
    pub total: i64,
    pub rows: Vec<Row>,
    pub warnings: Vec<String>,
}

/// What every report starts from.
pub(crate) struct Question<'a> {
    pub(crate) profile: &'a Profile,
    pub(crate) query: &'a Query,
    pub(crate) weighing: Weighing,
    /// Of the sample type.
    pub(crate) unit: String,
    kind: String,
}

impl<'a> Question<'a> {
    fn new(profile: &'a Profile, query: &'a Query) -> Result<Self> {
        let value = profile.sample_index(query.sample_index.as_deref())?;
        if query.divide_by == 0.0 {
            return Err(Error::Query("cannot divide by zero".into()));
        }
        let of = profile.header.sample_types[value];
        let kind = profile.text(of.kind);
        Ok(Self {
            profile,
            query,
            weighing: Weighing {
                value,
                mean: query.mean,
                relative: query.relative_percentages,
            },
            unit: profile.text(of.unit).into_owned(),
            kind: if query.mean {
                format!("mean_{kind}")
            } else {
                kind.into_owned()
            },
        })
    }

    fn ratio(&self) -> f64 {
        1.0 / self.query.divide_by
    }

    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // so does pprof
    pub(crate) fn divided(&self, value: i64) -> i64 {
        let ratio = self.ratio();
        // What divides by one or by a negative is left alone, as in pprof.
        if ratio <= 0.0 || (ratio - 1.0).abs() < f64::EPSILON {
            return value;
        }
        (value as f64 * ratio) as i64
    }

    pub(crate) fn format(&self, value: i64, to: &str) -> String {
        unit::label(self.divided(value), &self.unit, to)
    }

    /// One unit for the whole report: that of the smallest value, or one that
    /// shows it as a hundredth.
    fn output_unit(&self, graph: &Graph) -> String {
        if self.query.unit != "minimum" || graph.shown.is_empty() {
            return self.query.unit.clone();
        }
        let mut least = 0;
        for node in &graph.shown {
            let weight = &graph.weights[*node as usize];
            let size = match weight.flat_value().wrapping_abs() {
                0 => weight.cum_value().wrapping_abs(),
                size => size,
            };
            if size > 0 && (least == 0 || size < least) {
                least = size;
            }
        }
        let most = self.divided(graph.total);
        let least = if least == 0 {
            most
        } else {
            self.divided(least)
        };
        let suits = |value: i64| unit::scale(value, &self.unit, "minimum").1.into_owned();
        let (small, large) = (suits(least), suits(most));
        let chosen = if small != large && least.wrapping_mul(100) < most {
            suits(least.wrapping_mul(100))
        } else {
            small
        };
        if chosen.is_empty() {
            self.unit.clone()
        } else {
            chosen
        }
    }

    /// What the profile is.
    pub(crate) fn head(&self, total: i64, to: &str, time: FormatTime<'_>) -> String {
        let profile = self.profile;
        let header = &profile.header;
        let mut out = String::new();
        if let Some(main) = profile.mappings.first() {
            if main.file != 0 {
                let _ = writeln!(out, "File: {}", base(&profile.text(main.file)));
            }
            if main.build_id != 0 {
                let _ = writeln!(out, "Build ID: {}", profile.text(main.build_id));
            }
        }
        for comment in &header.comments {
            let comment = profile.text(*comment);
            if !comment.starts_with('#') {
                let _ = writeln!(out, "{comment}");
            }
        }
        if !self.kind.is_empty() {
            let _ = writeln!(out, "Type: {}", self.kind);
        }
        if header.doc_url != 0 {
            let _ = writeln!(out, "Doc: {}", profile.text(header.doc_url));
        }
        if header.time_nanos != 0 {
            let _ = writeln!(out, "Time: {}", time(header.time_nanos, TimeStyle::Short));
        }
        if header.duration_nanos != 0 {
            let (nanos, of) = unit::scale(total, &self.unit, "nanoseconds");
            #[allow(clippy::cast_possible_truncation)] // so does pprof
            let share = if of == "ns" && nanos != 0.0 {
                format!(
                    "({})",
                    unit::percentage(nanos as i64, header.duration_nanos)
                )
            } else {
                String::new()
            };
            let _ = writeln!(
                out,
                "Duration: {}, Total samples = {} {share}",
                unit::label(header.duration_nanos, "nanoseconds", "auto"),
                self.format(total, to)
            );
        }
        out
    }

    fn graph_head(&self, graph: &Graph, to: &str, time: FormatTime<'_>) -> String {
        let mut out = self.head(graph.total, to, time);
        let filters = self.query.active_filters();
        if !filters.is_empty() {
            out.push_str("Active filters:\n");
        }
        for filter in filters {
            // Bytes in pprof; not in the middle of a character here.
            if filter.len() > 80 {
                let cut = filter.floor_char_boundary(80);
                let _ = writeln!(out, "   {}…", &filter[..cut]);
            } else {
                let _ = writeln!(out, "   {filter}");
            }
        }
        let shown = graph.shown.iter().fold(0_i64, |sum, node| {
            sum.wrapping_add(graph.weights[*node as usize].flat_value())
        });
        let _ = writeln!(
            out,
            "Showing nodes accounting for {}, {} of {} total",
            self.format(shown, to),
            unit::percentage(shown, graph.total).trim(),
            self.format(graph.total, to)
        );
        if graph.total == 0 {
            return out;
        }
        if graph.dropped > 0 {
            let nodes = if graph.dropped > 1 { "nodes" } else { "node" };
            let least = cutoff(graph.total, self.query.nodefraction);
            let least = self.format(least, to);
            let _ = writeln!(out, "Dropped {} {nodes} (cum <= {least})", graph.dropped);
        }
        let count = graph.shown.len();
        if count > 0 && count < graph.original {
            let _ = writeln!(out, "Showing top {count} nodes out of {}", graph.original);
        }
        out
    }
}

/// The rows of `top`.
///
/// # Errors
/// Malformed samples, a question that does not fit the profile.
pub fn top(profile: &Profile, query: &Query) -> Result<Top> {
    tagframes::with(profile, query, |profile, query| {
        let question = Question::new(profile, query)?;
        let view = View::new(profile, query)?;
        let graph = Graph::new(profile, &view, query, question.weighing, Calls::Inlined)?;
        Ok(Top {
            sample_type: question.kind.clone(),
            unit: question.unit.clone(),
            total: graph.total,
            rows: rows(&graph),
            warnings: view.warnings,
        })
    })
}

fn rows(graph: &Graph) -> Vec<Row> {
    let mut called = vec![(false, false); graph.weights.len()];
    for ((_, callee), edge) in &graph.edges {
        let called = &mut called[*callee as usize];
        if edge.inline {
            called.0 = true;
        } else {
            called.1 = true;
        }
    }
    let shown = graph.shown.iter().map(|node| *node as usize);
    shown
        .map(|node| Row {
            name: graph.names[node].clone(),
            flat: graph.weights[node].flat_value(),
            cum: graph.weights[node].cum_value(),
            inline: match called[node] {
                (true, true) => "(partial-inline)",
                (true, false) => "(inline)",
                (false, _) => "",
            },
        })
        .collect()
}

/// `top` as text.
///
/// # Errors
/// As `top`.
pub fn top_text(profile: &Profile, query: &Query, time: FormatTime<'_>) -> Result<Text> {
    tagframes::with(profile, query, |profile, query| {
        let question = Question::new(profile, query)?;
        let view = View::new(profile, query)?;
        let graph = Graph::new(profile, &view, query, question.weighing, Calls::Inlined)?;
        let to = question.output_unit(&graph);
        let mut out = question.graph_head(&graph, &to, time);
        out.push_str("      flat  flat%   sum%        cum   cum%\n");
        let mut sum = 0_i64;
        for row in rows(&graph) {
            sum = sum.wrapping_add(row.flat);
            let share = |value| unit::percentage(value, graph.total);
            let inline = if row.inline.is_empty() { "" } else { " " };
            let _ = writeln!(
                out,
                "{:>10} {} {} {:>10} {}  {}{inline}{}",
                question.format(row.flat, &to),
                share(row.flat),
                share(sum),
                question.format(row.cum, &to),
                share(row.cum),
                row.name,
                row.inline
            );
        }
        Ok(Text {
            text: out,
            warnings: view.warnings,
        })
    })
}

/// The total that percentages are of.
pub(crate) fn total(question: &Question<'_>, view: &View) -> Result<i64> {
    Ok(Stacks::of(question.profile, view, question.weighing)?.total)
}

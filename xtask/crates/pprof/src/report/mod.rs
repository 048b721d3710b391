//! Reports as `go tool pprof` prints them, and as rows.

mod call_graph;
mod callgrind;
mod compare;
mod dot;
mod goroutines;
mod groups;
mod list;
mod node_labels;
mod out;
mod question;
mod raw;
mod tags;
mod traces;
mod tree;

use std::fmt::Write;

use pprof_engine::{Calls, Difference, Graph, Profile, Query, Result, View, unit, with_tag_frames};

pub use callgrind::callgrind;
pub use compare::{Compared, Comparison, compare, compare_text};
pub use dot::dot;
pub use goroutines::{Goroutines, Group, goroutines};
pub use groups::{Groups, NamedStack, NamedStacks, groups, stacks};
pub use list::{Listing, ReadSource, Routine, SourceLine, list, list_text};
pub(crate) use out::Out;
pub(crate) use question::{Question, total};
pub use raw::raw;
pub use tags::{comments, tags};
pub use traces::traces;
pub use tree::{peek, tree};

/// The format of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeStyle {
    /// `2006-01-02 15:04:05 MST`
    Short,
    /// `2006-01-02 15:04:05.999999999 -0700 MST`, zeros at the end left off.
    Full,
}

/// Formats nanoseconds since 1970 for people. Given by the caller, who knows the time
/// zone.
pub type FormatTime<'a> = &'a dyn Fn(i64, TimeStyle) -> String;

/// A report's text, and its warnings.
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
    /// The value that is 100 %.
    pub total: i64,
    pub rows: Vec<Row>,
    pub warnings: Vec<String>,
}

/// Returns the rows of `top`.
///
/// # Errors
/// Malformed samples, a query that does not fit the profile.
pub fn top(profile: &Profile, query: &Query) -> Result<Top> {
    asked(profile, query, |question, graph, warnings| {
        as_rows(question, graph, warnings)
    })
}

/// Returns the top of a difference; none if it must be merged first.
///
/// # Errors
/// Those of [`top`]; profiles of different kinds.
pub fn difference_top(of: &Difference, query: &Query) -> Result<Option<Top>> {
    let graph = of.graph(query, Calls::Inlined)?;
    graph
        .map(|(head, graph)| {
            let question = Question::new(&head, query)?;
            Ok(as_rows(&question, &graph, Vec::new()))
        })
        .transpose()
}

fn as_rows(question: &Question<'_>, graph: &Graph, warnings: Vec<String>) -> Top {
    Top {
        sample_type: question.kind.clone(),
        unit: question.unit.clone(),
        total: graph.total,
        rows: rows(graph),
        warnings,
    }
}

fn asked<T>(
    profile: &Profile,
    query: &Query,
    tell: impl FnOnce(&Question<'_>, &Graph, Vec<String>) -> T,
) -> Result<T> {
    with_tag_frames(profile, query, |profile, query| {
        let question = Question::new(profile, query)?;
        let view = View::new(profile, query)?;
        let graph = Graph::new(profile, &view, query, question.weighing, Calls::Inlined)?;
        Ok(tell(&question, &graph, view.warnings))
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

/// Returns [`top`] as text.
///
/// # Errors
/// Those of [`top`].
pub fn top_text(profile: &Profile, query: &Query, time: FormatTime<'_>) -> Result<Text> {
    asked(profile, query, |question, graph, warnings| {
        as_text(question, graph, warnings, time)
    })?
}

/// Returns the top of a difference as text; none if it must be merged first.
///
/// # Errors
/// Those of [`difference_top`].
pub fn difference_text(
    of: &Difference,
    query: &Query,
    time: FormatTime<'_>,
) -> Result<Option<Text>> {
    let graph = of.graph(query, Calls::Inlined)?;
    graph
        .map(|(head, graph)| {
            let question = Question::new(&head, query)?;
            as_text(&question, &graph, Vec::new(), time)
        })
        .transpose()
}

fn as_text(
    question: &Question<'_>,
    graph: &Graph,
    warnings: Vec<String>,
    time: FormatTime<'_>,
) -> Result<Text> {
    let to = question.output_unit(graph);
    let mut out = Out::new(question.profile);
    out.push_str(&question.graph_head(graph, &to, time));
    out.push_str("      flat  flat%   sum%        cum   cum%\n");
    let mut sum = 0_i64;
    for row in rows(graph) {
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
        out.check()?;
    }
    Ok(Text {
        text: out.finish()?,
        warnings,
    })
}

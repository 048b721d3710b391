//! `tree` and `peek`: each node between its callers and its callees.

use std::fmt::Write;

use pprof_engine::{
    Calls, Edge, Error, Graph, Profile, Query, Result, View, compile, unit, with_tag_frames,
};

use super::{FormatTime, Out, Question, Text};

const SEPARATOR: &str =
    "----------------------------------------------------------+-------------\n";
// Blanks and tabs at the end are pprof's own.
const LEGEND: &str = "      flat  flat%   sum%        cum   cum%   calls calls% + context \t \t \n";

/// Returns every node with its callers and callees.
///
/// # Errors
/// Malformed samples, a query that does not fit the profile.
pub fn tree(profile: &Profile, query: &Query, time: FormatTime<'_>) -> Result<Text> {
    // pprof's own default for anything that is not `top`.
    let query = Query {
        nodecount: if query.nodecount == 0 {
            80
        } else {
            query.nodecount
        },
        ..query.clone()
    };
    print(profile, &query, None, time)
}

/// Returns the nodes whose name matches, without trimming.
///
/// # Errors
/// Those of [`tree`]; an expression without a match.
pub fn peek(
    profile: &Profile,
    query: &Query,
    expression: &str,
    time: FormatTime<'_>,
) -> Result<Text> {
    let query = Query {
        trim: false,
        nodefraction: 0.0,
        edgefraction: 0.0,
        nodecount: 0,
        ..query.clone()
    };
    print(profile, &query, Some(expression), time)
}

fn print(
    profile: &Profile,
    query: &Query,
    expression: Option<&str>,
    time: FormatTime<'_>,
) -> Result<Text> {
    let wanted = compile("peek", expression)?;
    with_tag_frames(profile, query, |profile, query| {
        let question = Question::new(profile, query)?;
        let view = View::new(profile, query)?;
        let graph = Graph::new(profile, &view, query, question.weighing, Calls::All)?;
        let to = question.output_unit(&graph);
        let (into, out_of) = sides(&graph);
        let mut out = Out::new(profile);
        out.push_str(&question.graph_head(&graph, &to, time));
        out.push_str(SEPARATOR);
        out.push_str(LEGEND);
        let lines = Lines {
            question: &question,
            graph: &graph,
            to: &to,
        };
        let (mut sum, mut matched) = (0_i64, false);
        for &node in &graph.shown {
            let name = &graph.names[node as usize];
            if wanted.as_ref().is_some_and(|wanted| !wanted.is_match(name)) {
                continue;
            }
            matched = true;
            let weight = &graph.weights[node as usize];
            sum = sum.wrapping_add(weight.flat_value());
            out.push_str(SEPARATOR);
            for (caller, edge) in &into[node as usize] {
                lines.call(&mut out, *caller, edge, weight.cum_value());
            }
            lines.node(&mut out, node, sum);
            for (callee, edge) in &out_of[node as usize] {
                lines.call(&mut out, *callee, edge, weight.cum_value());
            }
            out.check()?;
        }
        if !graph.shown.is_empty() {
            out.push_str(SEPARATOR);
        }
        match expression {
            Some(expression) if !matched => {
                Err(Error::Query(format!("nothing matches `{expression}`")))
            }
            _ => Ok(Text {
                text: out.finish()?,
                warnings: view.warnings,
            }),
        }
    })
}

/// Writes a report's lines, all in one unit.
struct Lines<'a> {
    question: &'a Question<'a>,
    graph: &'a Graph,
    to: &'a str,
}

impl Lines<'_> {
    /// Adds a caller above a node or a callee below it; `cum` is the node's.
    fn call(&self, out: &mut Out, other: u32, edge: &Edge, cum: i64) {
        let inline = if edge.inline { " (inline)" } else { "" };
        let _ = writeln!(
            out,
            "{:>50} {} |   {}{inline}",
            self.question.format(edge.weight, self.to),
            unit::percentage(edge.weight, cum),
            self.graph.names[other as usize]
        );
    }

    /// Adds a node; `sum` is the flat weight of all nodes so far.
    fn node(&self, out: &mut Out, node: u32, sum: i64) {
        let weight = &self.graph.weights[node as usize];
        let (flat, cum) = (weight.flat_value(), weight.cum_value());
        let share = |value| unit::percentage(value, self.graph.total);
        let _ = writeln!(
            out,
            "{:>10} {} {} {:>10} {}                | {}",
            self.question.format(flat, self.to),
            share(flat),
            share(sum),
            self.question.format(cum, self.to),
            share(cum),
            self.graph.names[node as usize]
        );
    }
}

type Sides = Vec<Vec<(u32, Edge)>>;

/// Returns callers and callees of each node, the heaviest first.
fn sides(graph: &Graph) -> (Sides, Sides) {
    let mut into: Sides = vec![Vec::new(); graph.weights.len()];
    let mut out_of: Sides = vec![Vec::new(); graph.weights.len()];
    for ((caller, callee), edge) in &graph.edges {
        into[*callee as usize].push((*caller, *edge));
        out_of[*caller as usize].push((*callee, *edge));
    }
    for side in into.iter_mut().chain(&mut out_of) {
        side.sort_by(|(left, l), (right, r)| {
            let names = (&graph.names[*left as usize], &graph.names[*right as usize]);
            // As in pprof: by absolute value, then by name.
            (r.weight.wrapping_abs().cmp(&l.weight.wrapping_abs()))
                .then_with(|| names.0.cmp(names.1))
                .then_with(|| left.cmp(right))
        });
    }
    (into, out_of)
}

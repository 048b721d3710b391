//! `tree` and `peek`: each node between its callers and its callees.

use std::fmt::Write;

use pprof_engine::{
    Calls, Edge, Error, Graph, Profile, Query, Result, View, compile, unit, with_tag_frames,
};

use super::{FormatTime, Question, Text};

const SEPARATOR: &str =
    "----------------------------------------------------------+-------------\n";
// Blanks and tabs at the end are pprof's own.
const LEGEND: &str = "      flat  flat%   sum%        cum   cum%   calls calls% + context \t \t \n";

/// Every node with its callers and callees.
///
/// # Errors
/// Malformed samples, a question that does not fit the profile.
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

/// Nodes whose name matches, nothing trimmed.
///
/// # Errors
/// As `tree`; an expression that matches nothing.
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
        let mut out = question.graph_head(&graph, &to, time);
        out.push_str(SEPARATOR);
        out.push_str(LEGEND);
        let (mut sum, mut matched) = (0_i64, false);
        for &node in &graph.shown {
            let name = &graph.names[node as usize];
            if wanted.as_ref().is_some_and(|wanted| !wanted.is_match(name)) {
                continue;
            }
            matched = true;
            let weight = &graph.weights[node as usize];
            let (flat, cum) = (weight.flat_value(), weight.cum_value());
            sum = sum.wrapping_add(flat);
            let share = |value| unit::percentage(value, graph.total);
            let edge = |out: &mut String, (other, edge): &(u32, Edge)| {
                let inline = if edge.inline { " (inline)" } else { "" };
                let _ = writeln!(
                    out,
                    "{:>50} {} |   {}{inline}",
                    question.format(edge.weight, &to),
                    unit::percentage(edge.weight, cum),
                    graph.names[*other as usize]
                );
            };
            out.push_str(SEPARATOR);
            into[node as usize]
                .iter()
                .for_each(|call| edge(&mut out, call));
            let _ = writeln!(
                out,
                "{:>10} {} {} {:>10} {}                | {name}",
                question.format(flat, &to),
                share(flat),
                share(sum),
                question.format(cum, &to),
                share(cum)
            );
            out_of[node as usize]
                .iter()
                .for_each(|call| edge(&mut out, call));
        }
        if !graph.shown.is_empty() {
            out.push_str(SEPARATOR);
        }
        match expression {
            Some(expression) if !matched => {
                Err(Error::Query(format!("nothing matches `{expression}`")))
            }
            _ => Ok(Text {
                text: out,
                warnings: view.warnings,
            }),
        }
    })
}

type Sides = Vec<Vec<(u32, Edge)>>;

/// Callers and callees of each node, the heaviest first.
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
            // As in pprof, sizes decide only where the values differ.
            (r.weight.wrapping_abs().cmp(&l.weight.wrapping_abs()))
                .then_with(|| names.0.cmp(names.1))
                .then_with(|| left.cmp(right))
        });
    }
    (into, out_of)
}

//! `dot`: the graph of calls for graphviz. Nodes, calls, sizes and colours are those of
//! `go tool pprof`; labels of samples have no boxes of their own.

use std::fmt::Write;

use pprof_engine::{Frames, Info, Profile, Query, Result, base, cutoff, unit};

use super::call_graph::{Call, CallGraph, asked};
use super::question::total;
use super::{FormatTime, Out, Question, Text};

/// Nodes, unless the query limits them.
const NODES: usize = 80;

/// Returns the graph in the language of graphviz.
///
/// # Errors
/// Malformed samples, a query that does not fit the profile.
pub fn dot(profile: &Profile, query: &Query, time: FormatTime<'_>) -> Result<Text> {
    let query = if query.trim {
        query.clone()
    } else {
        Query {
            nodefraction: 0.0,
            edgefraction: 0.0,
            ..query.clone()
        }
    };
    asked(profile, &query, false, |question, input| {
        let count = match query.nodecount {
            _ if !query.trim => 0,
            0 => NODES,
            count => count,
        };
        let drawing = Drawing {
            total: total(question, input.view)?,
            question,
            frames: input.frames,
            names: input.names,
            graph: &CallGraph::trimmed(input, count)?,
        };
        drawing.write(time)
    })
}

struct Drawing<'a> {
    question: &'a Question<'a>,
    frames: &'a Frames,
    names: &'a [String],
    graph: &'a CallGraph,
    total: i64,
}

impl Drawing<'_> {
    fn write(&self, time: FormatTime<'_>) -> Result<String> {
        let profile = self.question.profile;
        let weights = self.graph.shown.iter().map(|node| {
            let weight = &self.graph.weights[*node as usize];
            (weight.flat, weight.cum)
        });
        let unit = self.question.unit_for(weights, self.total, true);
        let mut out = Out::new(profile);
        let main = profile.mappings.first().map(|of| profile.row(of.file));
        let title = main.as_deref().map(base).filter(|title| !title.is_empty());
        let title = escaped(title.unwrap_or("unnamed"));
        let _ = writeln!(
            out,
            "digraph \"{title}\" {{\nnode [style=filled fillcolor=\"#f8f8f8\"]"
        );
        self.legend(&mut out, &title, &unit, time);
        let largest = self.graph.shown.iter();
        let largest = largest
            .map(|node| self.graph.weights[*node as usize].flat.wrapping_abs())
            .max()
            .unwrap_or(0);
        let mut numbers = vec![0_usize; self.names.len()];
        for (number, node) in (1..).zip(&self.graph.shown) {
            numbers[*node as usize] = number;
            self.node(&mut out, *node, number, largest, &unit);
            out.check()?;
        }
        let drawn = self.graph.calls.iter();
        let drawn = drawn
            .filter(|((from, to), _)| numbers[*from as usize] > 0 && numbers[*to as usize] > 0);
        for ((from, to), call) in CallGraph::sorted(drawn, self.names) {
            let ends = (numbers[from as usize], numbers[to as usize]);
            self.call(&mut out, (from, to), ends, &call, &unit);
            out.check()?;
        }
        out.push_str("}\n");
        out.finish()
    }

    fn legend(&self, out: &mut Out, title: &str, unit: &str, time: FormatTime<'_>) {
        let format = |value: i64| self.question.format(value, unit);
        let query = self.question.query;
        let mut lines: Vec<String> = self
            .question
            .head(self.total, unit, time)
            .lines()
            .map(str::to_owned)
            .collect();
        let filters = query.active_filters();
        if !filters.is_empty() {
            lines.push("Active filters:".to_owned());
            lines.extend(filters.iter().map(|filter| format!("   {filter}")));
        }
        let shown = self.graph.shown.iter();
        let shown = shown.fold(0_i64, |sum, node| {
            sum.wrapping_add(self.graph.weights[*node as usize].flat)
        });
        lines.push(format!(
            "Showing nodes accounting for {}, {} of {} total",
            format(shown),
            unit::percentage(shown, self.total).trim(),
            format(self.total)
        ));
        let dropped = |count: usize, what: &str, by: &str, fraction: f64| {
            let plural = if count > 1 { "s" } else { "" };
            let least = format(cutoff(self.total, fraction));
            format!("Dropped {count} {what}{plural} ({by} <= {least})")
        };
        if self.total != 0 {
            let (nodes, calls) = (self.graph.dropped_nodes, self.graph.dropped_calls);
            if nodes > 0 {
                lines.push(dropped(nodes, "node", "cum", query.nodefraction));
            }
            if calls > 0 {
                lines.push(dropped(calls, "edge", "freq", query.edgefraction));
            }
            let (count, all) = (self.graph.shown.len(), self.graph.original);
            if count > 0 && count < all {
                lines.push(format!("Showing top {count} nodes out of {all}"));
            }
        }
        lines.push("\nSee https://git.io/JfYMW for how to read the graph".to_owned());
        let first = escaped(&lines[0]);
        let all: Vec<String> = lines.iter().map(|line| escaped(line)).collect();
        let _ = writeln!(
            out,
            "subgraph cluster_L {{ \"{first}\" [shape=box fontsize=16 label=\"{}\\l\" tooltip=\"{title}\"] }}",
            all.join("\\l")
        );
    }

    fn node(&self, out: &mut Out, node: u32, number: usize, largest: i64, unit: &str) {
        let weight = &self.graph.weights[node as usize];
        let (flat, cum) = (weight.flat, weight.cum);
        let format = |value: i64| self.question.format(value, unit);
        let share = |value: i64| unit::percentage(value, self.total).trim().to_owned();
        let mut label = lines(&self.frames.infos[node as usize]);
        if flat == 0 {
            label.push('0');
        } else {
            let _ = write!(label, "{} ({})", format(flat), share(flat));
        }
        if cum != flat {
            label.push_str(if flat == 0 { " " } else { "\\n" });
            let _ = write!(label, "of {} ({})", format(cum), share(cum));
        }
        let name = escaped(&self.names[node as usize]);
        let (line, fill) = (self.colour(cum, false), self.colour(cum, true));
        let _ = writeln!(
            out,
            "N{number} [label=\"{label}\" id=\"node{number}\" fontsize={} shape=box tooltip=\"{name} ({})\" color=\"{line}\" fillcolor=\"{fill}\"]",
            font_size(flat, largest),
            format(cum)
        );
    }

    fn call(
        &self,
        out: &mut Out,
        (from, to): (u32, u32),
        (start, end): (usize, usize),
        call: &Call,
        unit: &str,
    ) {
        let weight = self.question.format(call.weight, unit);
        let inline = if call.inline { "\\n (inline)" } else { "" };
        let mut attributes = format!("label=\" {weight}{inline}\"");
        if self.total != 0 {
            let part = |times: i64| {
                let part = call.weight.wrapping_mul(times).wrapping_div(self.total);
                1 + part.wrapping_abs().clamp(0, times)
            };
            for (name, value) in [("weight", part(100)), ("penwidth", part(5))] {
                if value > 1 {
                    let _ = write!(attributes, " {name}={value}");
                }
            }
            let _ = write!(attributes, " color=\"{}\"", self.colour(call.weight, false));
        }
        let arrow = if call.residual { "..." } else { "->" };
        let name = |node: u32| escaped(&self.names[node as usize]);
        let tip = format!("\"{} {arrow} {} ({weight})\"", name(from), name(to));
        let _ = write!(attributes, " tooltip={tip} labeltooltip={tip}");
        if call.residual {
            attributes.push_str(" style=\"dotted\"");
        }
        let _ = writeln!(out, "N{start} -> N{end} [{attributes}]");
    }

    /// Red for what is heavy, green for what is below zero, grey for what is small.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )] // a colour
    fn colour(&self, value: i64, is_background: bool) -> String {
        let score = match self.total {
            0 => 0.0,
            total => (value as f64 / total.wrapping_abs() as f64).clamp(-1.0, 1.0),
        };
        let (saturation, brightness) = if is_background {
            (0.1, 0.93)
        } else {
            (1.0, 0.7)
        };
        let saturation = if score.abs() < 0.2 {
            saturation * score.abs() / 0.2
        } else {
            saturation
        };
        // Small shares are to be told apart, too.
        let shifted = score.abs().powf(0.3);
        let fade = brightness * (1.0 - saturation * shifted);
        let (red, green) = if score < 0.0 {
            (fade, brightness)
        } else {
            (brightness, fade)
        };
        let blue = brightness * (1.0 - saturation);
        let byte = |part: f64| (part * 255.0) as u8;
        format!("#{:02x}{:02x}{:02x}", byte(red), byte(green), byte(blue))
    }
}

/// From 8 to 24, by the area.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // a size
fn font_size(flat: i64, largest: i64) -> i64 {
    if largest == 0 || flat == 0 {
        return 8;
    }
    let share = flat.wrapping_abs() as f64 / largest as f64;
    8 + (16.0 * share.sqrt()).ceil() as i64
}

/// A name over several lines, without the folder of its package.
fn lines(info: &Info) -> String {
    let mut parts = Vec::new();
    if info.address != 0 {
        parts.push(format!("{:016x}", info.address));
    }
    if !info.name.is_empty() {
        parts.push(
            escaped(without_folder(&info.name))
                .replace("::", "\\n")
                .replace("[...]", "[…]")
                .replace('.', "\\n"),
        );
    }
    let place = Info {
        name: String::new(),
        address: 0,
        file: base(&info.file).to_owned(),
        ..info.clone()
    };
    if info.name.is_empty() || !info.file.is_empty() {
        parts.push(place.printable());
    }
    parts.join("\\n") + "\\n"
}

/// `github.com/a/b/v2/c.(*T).f` is `c.(*T).f`.
fn without_folder(name: &str) -> &str {
    let end = name.find(['(', '[', '<']).unwrap_or(name.len());
    let start = name[..end].rfind('/').map_or(0, |at| at + 1);
    &name[start..]
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\l")
}

//! `dot`: the graph of calls for graphviz. Nodes, calls, boxes of labels, sizes and colours
//! are those of `go tool pprof`.

use std::collections::BTreeSet;
use std::fmt::Write;

use pprof_engine::{Frames, Info, Profile, Query, Result, base, cutoff, unit};
use regex::Regex;

use super::call_graph::{Call, CallGraph, asked};
use super::node_labels::{self, NodeLabels, Reader, Tag};
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
            shortener: Shortener::new(),
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
    shortener: Shortener,
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
        let title = title.map(escaped);
        let name = title.as_deref().unwrap_or("unnamed");
        let _ = writeln!(
            out,
            "digraph \"{name}\" {{\nnode [style=filled fillcolor=\"#f8f8f8\"]"
        );
        self.legend(&mut out, title.as_deref(), &unit, time);
        let largest = self.graph.shown.iter();
        let largest = largest
            .map(|node| self.graph.weights[*node as usize].flat.wrapping_abs())
            .max()
            .unwrap_or(0);
        let mut numbers = vec![0_usize; self.names.len()];
        let mut has_boxes = vec![false; self.names.len()];
        let reader = Reader::new(profile, self.question.query)?;
        let callers = self.graph.calls.keys().map(|(caller, _)| *caller);
        let callers: BTreeSet<u32> = callers.collect();
        for (number, node) in (1..).zip(&self.graph.shown) {
            numbers[*node as usize] = number;
            self.node(&mut out, *node, number, largest, &unit);
            if let Some(labels) = self.graph.labels.get(node) {
                let boxes = Boxes {
                    labels,
                    reader: &reader,
                    is_flat: callers.contains(node),
                    format: &|value| self.question.format(value, &unit),
                };
                let text = boxes.text(&format!("N{number}"));
                has_boxes[*node as usize] = !text.is_empty();
                out.push_str(&text);
            }
            out.check()?;
        }
        let drawn = self.graph.calls.iter();
        let drawn = drawn
            .filter(|((from, to), _)| numbers[*from as usize] > 0 && numbers[*to as usize] > 0);
        for ((from, to), call) in CallGraph::sorted(drawn, self.names) {
            let ends = (numbers[from as usize], numbers[to as usize]);
            let room = if has_boxes[from as usize] {
                " minlen=2"
            } else {
                ""
            };
            self.call(&mut out, (from, to), ends, &call, (&unit, room));
            out.check()?;
        }
        out.push_str("}\n");
        out.finish()
    }

    fn legend(&self, out: &mut Out, title: Option<&str>, unit: &str, time: FormatTime<'_>) {
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
        let tip = title.map(|title| format!(" tooltip=\"{title}\""));
        let _ = writeln!(
            out,
            "subgraph cluster_L {{ \"{first}\" [shape=box fontsize=16 label=\"{}\\l\"{}] }}",
            all.join("\\l"),
            tip.unwrap_or_default()
        );
    }

    fn node(&self, out: &mut Out, node: u32, number: usize, largest: i64, unit: &str) {
        let weight = &self.graph.weights[node as usize];
        let (flat, cum) = (weight.flat, weight.cum);
        let format = |value: i64| self.question.format(value, unit);
        let share = |value: i64| unit::percentage(value, self.total).trim().to_owned();
        let mut label = lines(&self.frames.infos[node as usize], &self.shortener);
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
        (unit, room): (&str, &str),
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
        let _ = writeln!(out, "N{start} -> N{end} [{attributes}{room}]");
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

/// The boxes of a node's labels.
struct Boxes<'a> {
    labels: &'a NodeLabels,
    reader: &'a Reader<'a>,
    /// Whether the node calls others, which have boxes of their own.
    is_flat: bool,
    format: &'a dyn Fn(i64) -> String,
}

impl Boxes<'_> {
    /// Boxes and lines to them from the node, whose name is `source`.
    fn text(&self, source: &str) -> String {
        let mut out = String::new();
        let texts = self.labels.texts(self.is_flat).into_iter();
        for (place, tag) in texts.take(node_labels::MOST).enumerate() {
            let weight = tag.weight(self.is_flat);
            if weight == 0 {
                continue;
            }
            let name = format!("{source}_{place}");
            let lines: Vec<String> = tag.name.split('\n').map(escaped).collect();
            self.write(&mut out, (source, &name), &lines.join("\\n"), weight, "");
            self.sizes(&mut out, &tag.name, &name);
        }
        self.sizes(&mut out, "", source);
        out
    }

    /// Sizes in samples whose other labels are `text`.
    fn sizes(&self, out: &mut String, text: &str, source: &str) {
        let sizes = self.labels.sizes(text, self.is_flat);
        let sizes: Vec<Tag> = self.reader.collapsed(&sizes, self.is_flat);
        for (place, tag) in sizes.iter().enumerate() {
            let (weight, style) = if self.is_flat || tag.flat == tag.cum {
                (tag.flat, "")
            } else {
                (tag.cum, " style=\"dotted\"")
            };
            if weight != 0 {
                let name = format!("N{source}_{place}");
                self.write(out, (source, &name), &escaped(&tag.name), weight, style);
            }
        }
    }

    fn write(
        &self,
        out: &mut String,
        (source, name): (&str, &str),
        label: &str,
        weight: i64,
        style: &str,
    ) {
        let weight = (self.format)(weight);
        let _ = writeln!(
            out,
            "{name} [label = \"{label}\" id=\"{name}\" fontsize=8 shape=box3d tooltip=\"{weight}\"]\n\
             {source} -> {name} [label=\" {weight}\" weight=100 tooltip=\"{weight}\" labeltooltip=\"{weight}\"{style}]"
        );
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

/// A name over several lines.
fn lines(info: &Info, shortener: &Shortener) -> String {
    let mut parts = Vec::new();
    if info.address != 0 {
        parts.push(format!("{:016x}", info.address));
    }
    if !info.name.is_empty() {
        parts.push(
            escaped(&shortener.short(&info.name))
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

/// Names of Go without the folder of their package and its version, of Java without their
/// package, of C++ with one class.
struct Shortener {
    version: Option<Regex>,
    forms: Vec<Regex>,
}

impl Shortener {
    fn new() -> Self {
        let forms = [
            r"^(?:[\w\-\.]+/)+([^.]+\..+)",
            r"^(?:[a-z]\w*\.)*([A-Z][\w$]*\.(?:<init>|[a-z][\w$]*(?:\$\d+)?))(?:\(|$)",
            r"^(?:[_a-zA-Z]\w*::)+(_*[A-Z]\w*::~?[_a-zA-Z]\w*(?:<.*>)?)",
        ];
        Self {
            version: Regex::new(r"^(.*?)/v(?:[2-9]|[1-9][0-9]+)([./].*)$").ok(),
            forms: forms
                .iter()
                .filter_map(|form| Regex::new(form).ok())
                .collect(),
        }
    }

    fn short(&self, name: &str) -> String {
        let name = name.strip_prefix("(anonymous namespace)::").unwrap_or(name);
        let versionless = self.version.as_ref().and_then(|form| form.captures(name));
        let name = versionless.map_or_else(
            || name.to_owned(),
            |parts| format!("{}{}", &parts[1], &parts[2]),
        );
        let mut forms = self.forms.iter();
        let found = forms.find_map(|form| form.captures(&name));
        found.map_or_else(|| name.clone(), |parts| parts[1].to_owned())
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\l")
}

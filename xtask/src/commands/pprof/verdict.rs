//! A verdict on a series, for people and as data.

use std::fmt::Write;

use ::pprof::unit;
use serde_json::{Value, json};

use super::leak::{Growing, Verdict};
use super::summary::WIDEST;
use super::trend::{Course, Trend, sparks};
use crate::app::App;
use foundation::ui::Style;
use foundation::ui::text::one_line;

/// Stacks told without `-n`.
const ROWS: usize = 10;
/// Frames told of a stack.
const FRAMES: usize = 6;

impl Verdict {
    /// Whether anything grows in every interval.
    pub(super) fn leaks(&self) -> bool {
        self.stacks
            .iter()
            .any(|stack| stack.trend() == Trend::Steady)
    }

    /// For people.
    pub(super) fn text(&self, app: &App<'_>, title: &str, rows: Option<usize>) -> String {
        let mut out = format!(
            "{} {}\n",
            app.ui.paint(Style::Bold, title),
            self.sample_type
        );
        self.totals(&mut out);
        if self.stacks.is_empty() {
            out.push_str("\n  no stack grows\n");
            return out;
        }
        let shown = rows.unwrap_or(ROWS);
        for stack in self.stacks.iter().take(shown) {
            self.stack(app, &mut out, stack);
        }
        if self.stacks.len() > shown {
            let more = self.stacks.len() - shown;
            let _ = writeln!(out, "\n  … {more} more that grow: -n N");
        }
        out
    }

    fn signed(&self, value: i64) -> String {
        unit::signed(value, &self.unit, "auto")
    }

    /// The longest name of a node.
    fn width(&self) -> usize {
        let widths = self
            .totals
            .iter()
            .map(|of| one_line(&of.node).chars().count());
        widths.max().unwrap_or(0).clamp(4, WIDEST)
    }

    fn totals(&self, out: &mut String) {
        let width = self.width();
        let format = |value: i64| unit::label(value, &self.unit, "auto");
        let _ = writeln!(
            out,
            "  {:<width$} {:>8} {:>10} {:>10} {:>10} {:>12}  course",
            "node", "profiles", "first", "last", "change", "per minute"
        );
        for course in &self.totals {
            let ends = course.values.first().zip(course.values.last());
            let (first, last) = ends.map_or((0, 0), |(first, last)| (*first, *last));
            let _ = writeln!(
                out,
                "  {:<width$} {:>8} {:>10} {:>10} {:>10} {:>12}  {}",
                one_line(&course.node),
                course.values.len(),
                format(first),
                format(last),
                self.signed(course.change()),
                self.signed(course.per_minute()),
                course.trend.words()
            );
        }
    }

    /// A stack that grows: by how much on which nodes, and where it is.
    fn stack(&self, app: &App<'_>, out: &mut String, stack: &Growing) {
        let width = self.width();
        let style = match stack.trend() {
            Trend::Steady => Style::Bad,
            _ => Style::Warn,
        };
        let words = stack.trend().words();
        let change = self.signed(stack.change());
        let head = format!("{change} {words} on {}", self.whom(stack));
        let _ = writeln!(out, "\n  {}", app.ui.paint(style, &head));
        for course in &stack.courses {
            let _ = writeln!(
                out,
                "    {:<width$} {:>10} {:>12}/min  {}",
                one_line(&course.node),
                self.signed(course.change()),
                self.signed(course.per_minute()),
                sparks(&course.values)
            );
        }
        for frame in told(&stack.frames) {
            let _ = writeln!(out, "      {frame}");
        }
    }

    /// On which nodes it grows, of all.
    fn whom(&self, stack: &Growing) -> String {
        let nodes: Vec<&str> = stack.courses.iter().map(|of| of.node.as_str()).collect();
        match (nodes.len(), self.totals.len()) {
            (_, 1) => nodes.join(", "),
            (some, all) if some == all => format!("all {all} nodes"),
            (some, all) => format!("{some} of {all} nodes: {}", nodes.join(", ")),
        }
    }

    /// Stable: fields are added, never changed.
    pub(super) fn json(&self) -> Value {
        let course = |course: &Course| {
            json!({
                "node": course.node, "course": course.trend.key(), "values": course.values,
                "times": course.times, "per_minute": course.per_minute(),
            })
        };
        let stacks = self.stacks.iter().map(|stack| {
            json!({
                "frames": stack.frames, "course": stack.trend().key(), "change": stack.change(),
                "nodes": stack.courses.iter().map(course).collect::<Vec<_>>(),
            })
        });
        json!({
            "sample_type": self.sample_type, "unit": self.unit, "leaks": self.leaks(),
            "nodes": self.totals.iter().map(course).collect::<Vec<_>>(),
            "stacks": stacks.collect::<Vec<_>>(),
        })
    }
}

/// From the first frame that is somebody's own, as far as it is worth reading.
fn told(frames: &[String]) -> Vec<&str> {
    // All goroutines are parked in these.
    let waits = |frame: &String| {
        let prefixes = ["runtime.", "sync.", "syscall.", "internal/", "time.Sleep"];
        prefixes.iter().any(|prefix| frame.starts_with(prefix))
    };
    let own = frames.iter().position(|frame| !waits(frame));
    let frames = &frames[own.unwrap_or(0)..];
    let mut told: Vec<&str> = frames.iter().take(FRAMES).map(String::as_str).collect();
    if frames.len() > FRAMES {
        told.push("…");
    }
    told
}

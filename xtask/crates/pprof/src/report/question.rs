//! The common beginning of all reports: the selected value, its units, and the head
//! that describes the profile.

use std::fmt::Write;

use pprof_engine::{
    Graph, Measure, Profile, Query, Result, Stacks, View, Weighing, base, cutoff, unit,
};

use super::{FormatTime, TimeStyle};

/// The common part of all reports.
pub(crate) struct Question<'a> {
    pub(crate) profile: &'a Profile,
    pub(crate) query: &'a Query,
    pub(crate) weighing: Weighing,
    /// Unit of the sample type.
    pub(crate) unit: String,
    pub(super) kind: String,
}

impl<'a> Question<'a> {
    pub(super) fn new(profile: &'a Profile, query: &'a Query) -> Result<Self> {
        let measure = Measure::new(profile, query)?;
        Ok(Self {
            profile,
            query,
            weighing: measure.weighing,
            unit: measure.unit,
            kind: measure.kind,
        })
    }

    pub(crate) fn divided(&self, value: i64) -> i64 {
        unit::divided(value, self.query.divide_by)
    }

    pub(crate) fn format(&self, value: i64, to: &str) -> String {
        unit::label(self.divided(value), &self.unit, to)
    }

    /// The unit for the whole report: that of the smallest value, or one in which it is
    /// at least a hundredth.
    pub(super) fn output_unit(&self, graph: &Graph) -> String {
        let weights = graph.shown.iter().map(|node| {
            let weight = &graph.weights[*node as usize];
            (weight.flat_value(), weight.cum_value())
        });
        self.unit_for(weights, graph.total, true)
    }

    /// The unit for these values, flat and cumulative; `has_fractions` if they are not
    /// printed as whole numbers.
    pub(super) fn unit_for(
        &self,
        weights: impl Iterator<Item = (i64, i64)>,
        total: i64,
        has_fractions: bool,
    ) -> String {
        let mut weights = weights.peekable();
        if self.query.unit != "minimum" || weights.peek().is_none() {
            return self.query.unit.clone();
        }
        let mut least = 0;
        for (flat, cum) in weights {
            let size = match flat.wrapping_abs() {
                0 => cum.wrapping_abs(),
                size => size,
            };
            if size > 0 && (least == 0 || size < least) {
                least = size;
            }
        }
        let most = self.divided(total);
        let least = if least == 0 {
            most
        } else {
            self.divided(least)
        };
        let suits = |value: i64| unit::scale(value, &self.unit, "minimum").1.into_owned();
        let (small, large) = (suits(least), suits(most));
        let chosen = if has_fractions && small != large && least.wrapping_mul(100) < most {
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

    /// The lines that describe the profile.
    pub(crate) fn head(&self, total: i64, to: &str, time: FormatTime<'_>) -> String {
        let profile = self.profile;
        let header = &profile.header;
        let mut out = String::new();
        if let Some(main) = profile.mappings.first() {
            if profile.has_text(main.file) {
                let _ = writeln!(out, "File: {}", base(&profile.row(main.file)));
            }
            if profile.has_text(main.build_id) {
                let _ = writeln!(out, "Build ID: {}", profile.row(main.build_id));
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
        if profile.has_text(header.doc_url) {
            let _ = writeln!(out, "Doc: {}", profile.row(header.doc_url));
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

    pub(super) fn graph_head(&self, graph: &Graph, to: &str, time: FormatTime<'_>) -> String {
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

/// The total that percentages are of.
pub(crate) fn total(question: &Question<'_>, view: &View) -> Result<i64> {
    Ok(Stacks::weigh(question.profile, view, question.weighing)?.total)
}

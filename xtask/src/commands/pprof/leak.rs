//! Which stacks grow: in every interval, or up and down as a garbage
//! collector makes them. The guide's way is two heaps and a `-diff_base`,
//! which cannot tell one from the other.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use ::pprof::{Profile, Query, report, unit};
use serde_json::{Value, json};

use super::load::engine;
use crate::commands::App;
use crate::failure::{Failure, Result};
use crate::ui::Style;

/// Stacks told without `-n`.
const ROWS: usize = 10;
/// Frames told of a stack.
const FRAMES: usize = 6;
/// A fall of more than this share of the rise is a sawtooth's.
const FALL: f64 = 0.3;
/// Sample types that grow by what they are.
const CUMULATIVE: [&str; 7] = [
    "alloc_objects",
    "alloc_space",
    "contentions",
    "delay",
    "samples",
    "cpu",
    "mean_delay",
];

/// One node's profile at one time.
#[derive(Debug)]
pub(super) struct Moment {
    pub(super) node: String,
    /// Seconds since 1970.
    pub(super) time: f64,
    pub(super) profile: Profile,
}

/// How a stack or a node behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trend {
    /// Never falls, and rises in most intervals.
    Steady,
    /// More at the end, with falls between that are small beside the rise.
    Uneven,
    /// Rises and falls.
    Sawtooth,
    Still,
}

impl Trend {
    fn words(self) -> &'static str {
        match self {
            Self::Steady => "grows steadily",
            Self::Uneven => "grows unevenly",
            Self::Sawtooth => "sawtooth",
            Self::Still => "steady state",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Uneven => "uneven",
            Self::Sawtooth => "sawtooth",
            Self::Still => "still",
        }
    }

    /// `noise` is what growth must exceed to be one.
    #[allow(clippy::cast_precision_loss)] // for a verdict
    fn of(values: &[i64], noise: i64) -> Self {
        let (Some(first), Some(last)) = (values.first(), values.last()) else {
            return Self::Still;
        };
        let (mut peak, mut fall, mut up) = (*first, 0_i64, 0);
        for pair in values.windows(2) {
            up += usize::from(pair[1] > pair[0]);
            peak = peak.max(pair[1]);
            fall = fall.max(peak.saturating_sub(pair[1]));
        }
        let intervals = values.len() - 1;
        let grown = last.saturating_sub(*first);
        if grown > noise && fall == 0 && up * 3 >= intervals * 2 {
            return Self::Steady;
        }
        let lowest = values.iter().min().copied().unwrap_or(0);
        let height = peak.saturating_sub(lowest);
        if height <= noise {
            return Self::Still;
        }
        if (fall as f64) > height as f64 * FALL {
            Self::Sawtooth
        } else if grown > noise {
            Self::Uneven
        } else {
            Self::Still
        }
    }
}

/// Values over time on one node.
#[derive(Debug)]
struct Course {
    node: String,
    times: Vec<f64>,
    values: Vec<i64>,
    trend: Trend,
}

impl Course {
    fn change(&self) -> i64 {
        let ends = self.values.first().zip(self.values.last());
        ends.map_or(0, |(first, last)| last.saturating_sub(*first))
    }

    /// Of the line that fits best.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // for people
    fn per_minute(&self) -> i64 {
        let count = self.values.len() as f64;
        let begun = self.times.first().copied().unwrap_or(0.0);
        let points = self.times.iter().zip(&self.values);
        let points = points.map(|(time, value)| (time - begun, *value as f64));
        let mean_x = points.clone().map(|(x, _)| x).sum::<f64>() / count;
        let mean_y = points.clone().map(|(_, y)| y).sum::<f64>() / count;
        let over: f64 = points
            .clone()
            .map(|(x, y)| (x - mean_x) * (y - mean_y))
            .sum();
        let under: f64 = points.map(|(x, _)| (x - mean_x).powi(2)).sum();
        if under > 0.0 {
            (over / under * 60.0) as i64
        } else {
            0
        }
    }
}

/// A stack that grows on some node.
#[derive(Debug)]
struct Growing {
    /// The leaf first.
    frames: Vec<String>,
    courses: Vec<Course>,
}

impl Growing {
    fn change(&self) -> i64 {
        let changes = self.courses.iter().map(Course::change);
        changes.fold(0, i64::saturating_add)
    }

    fn trend(&self) -> Trend {
        let trends = self.courses.iter().map(|course| course.trend);
        trends.min().unwrap_or(Trend::Still)
    }
}

/// The verdict on one service's profile.
#[derive(Debug)]
pub(super) struct Verdict {
    sample_type: String,
    unit: String,
    totals: Vec<Course>,
    stacks: Vec<Growing>,
}

type Values = HashMap<Vec<u32>, Vec<i64>>;

/// Judge a series. Moments of a node in any order.
///
/// # Errors
/// Less than three moments, a sample type that only ever grows.
pub(super) fn judge(mut moments: Vec<Moment>, query: &Query) -> Result<Verdict> {
    moments.sort_by(|one, other| one.time.total_cmp(&other.time));
    let first = moments
        .first()
        .ok_or_else(|| Failure::usage("no profiles to compare"))?;
    let query = asked(&first.profile, query)?;
    let mut by_node: BTreeMap<String, Vec<Moment>> = BTreeMap::new();
    for moment in moments {
        let node = by_node.entry(moment.node.clone()).or_default();
        node.push(moment);
    }
    let (mut names, mut verdict) = (Names::default(), None);
    let mut stacks: HashMap<Vec<u32>, Vec<Course>> = HashMap::new();
    for (node, moments) in by_node {
        if moments.len() < 3 {
            return Err(Failure::usage(format!(
                "a trend needs three profiles or more; of `{node}` there are {}",
                moments.len()
            ))
            .hint("cargo xtask pprof machined heap --every 30s --for 10m"));
        }
        let least = resolution(&moments[0].profile, &query)?;
        let times: Vec<f64> = moments.iter().map(|moment| moment.time).collect();
        let (mut totals, mut values) = (Vec::new(), Values::new());
        for (round, moment) in moments.iter().enumerate() {
            let found = report::stacks(&moment.profile, &query).map_err(|error| engine(&error))?;
            let places: Vec<u32> = found.names.iter().map(|name| names.place(name)).collect();
            for stack in &found.stacks {
                let frames = stack.frames.iter().map(|frame| places[*frame as usize]);
                let values = values
                    .entry(frames.collect())
                    .or_insert_with(|| vec![0; moments.len()]);
                values[round] = values[round].saturating_add(stack.value);
            }
            totals.push(found.total);
            verdict.get_or_insert_with(|| Verdict {
                sample_type: found.sample_type.clone(),
                unit: found.unit.clone(),
                totals: Vec::new(),
                stacks: Vec::new(),
            });
        }
        let course = |values: Vec<i64>| Course {
            node: node.clone(),
            times: times.clone(),
            trend: Trend::of(&values, least),
            values,
        };
        if let Some(verdict) = &mut verdict {
            verdict.totals.push(course(totals));
        }
        for (frames, values) in values {
            let course = course(values);
            if matches!(course.trend, Trend::Steady | Trend::Uneven) {
                stacks.entry(frames).or_default().push(course);
            }
        }
    }
    let mut verdict = verdict.ok_or_else(|| Failure::usage("no profiles to compare"))?;
    verdict.stacks = stacks
        .into_iter()
        .map(|(frames, courses)| Growing {
            frames: frames
                .iter()
                .map(|of| names.texts[*of as usize].clone())
                .collect(),
            courses,
        })
        .collect();
    verdict.stacks.sort_by(|one, other| {
        let key = |of: &Growing| (of.trend(), std::cmp::Reverse(of.change()));
        key(one)
            .cmp(&key(other))
            .then_with(|| one.frames.cmp(&other.frames))
    });
    Ok(verdict)
}

#[derive(Default)]
struct Names {
    places: HashMap<String, u32>,
    texts: Vec<String>,
}

impl Names {
    fn place(&mut self, name: &str) -> u32 {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.places.insert(name.to_owned(), place);
        self.texts.push(name.to_owned());
        place
    }
}

/// What is in use, where the profile has that: `allocs` carries it too.
fn asked(profile: &Profile, query: &Query) -> Result<Query> {
    let names = profile.sample_type_names();
    let mut query = query.clone();
    if query.sample_index.is_none() && names.iter().any(|name| name == "inuse_space") {
        query.sample_index = Some("inuse_space".into());
    }
    let place = profile.sample_index(query.sample_index.as_deref());
    let name = &names[place.map_err(|error| engine(&error))?];
    if CUMULATIVE.contains(&name.as_str()) {
        let failure = Failure::usage(format!("`{name}` only ever grows: there is no leak to see"));
        return Err(failure.hint("look at `heap`, `goroutine`, or a count of open things"));
    }
    Ok(query)
}

/// What one sample stands for: a heap's growth by less is chance.
fn resolution(profile: &Profile, query: &Query) -> Result<i64> {
    let place = profile.sample_index(query.sample_index.as_deref());
    let place = place.map_err(|error| engine(&error))?;
    let header = &profile.header;
    let (of, period) = (header.sample_types[place], header.period_type);
    let same = profile.text(of.unit) == "bytes" && profile.text(period.unit) == "bytes";
    Ok(if same { header.period.max(0) } else { 0 })
}

impl Verdict {
    /// Whether anything grows in every interval.
    pub(super) fn leaks(&self) -> bool {
        self.stacks
            .iter()
            .any(|stack| stack.trend() == Trend::Steady)
    }

    /// For people.
    pub(super) fn text(&self, app: &App<'_>, title: &str, rows: Option<usize>) -> String {
        let format = |value: i64| unit::label(value, &self.unit, "auto");
        let signed = |value: i64| {
            let sign = if value > 0 { "+" } else { "" };
            format!("{sign}{}", format(value))
        };
        let width = self.totals.iter().map(|of| of.node.len()).max();
        let width = width.unwrap_or(0).max(4);
        let mut out = format!(
            "{} {}\n",
            app.ui.paint(Style::Bold, title),
            self.sample_type
        );
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
                course.node,
                course.values.len(),
                format(first),
                format(last),
                signed(course.change()),
                signed(course.per_minute()),
                course.trend.words()
            );
        }
        if self.stacks.is_empty() {
            out.push_str("\n  no stack grows\n");
            return out;
        }
        let shown = rows.unwrap_or(ROWS);
        for stack in self.stacks.iter().take(shown) {
            let style = match stack.trend() {
                Trend::Steady => Style::Bad,
                _ => Style::Warn,
            };
            let words = stack.trend().words();
            let change = signed(stack.change());
            let head = format!("{change} {words} on {}", self.whom(stack));
            let _ = writeln!(out, "\n  {}", app.ui.paint(style, &head));
            for course in &stack.courses {
                let _ = writeln!(
                    out,
                    "    {:<width$} {:>10} {:>12}/min  {}",
                    course.node,
                    signed(course.change()),
                    signed(course.per_minute()),
                    sparks(&course.values)
                );
            }
            for frame in told(&stack.frames) {
                let _ = writeln!(out, "      {frame}");
            }
        }
        if self.stacks.len() > shown {
            let more = self.stacks.len() - shown;
            let _ = writeln!(out, "\n  … {more} more that grow: -n N");
        }
        out
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
    let of_runtime = |frame: &String| frame.starts_with("runtime.");
    let own = frames.iter().position(|frame| !of_runtime(frame));
    let frames = &frames[own.unwrap_or(0)..];
    let mut told: Vec<&str> = frames.iter().take(FRAMES).map(String::as_str).collect();
    if frames.len() > FRAMES {
        told.push("…");
    }
    told
}

/// A course as a line of blocks.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
fn sparks(values: &[i64]) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let (low, high) = (values.iter().min(), values.iter().max());
    let (Some(low), Some(high)) = (low, high) else {
        return String::new();
    };
    let height = high.saturating_sub(*low).max(1) as f64;
    let step = values.len().div_ceil(40);
    let shown = values.iter().step_by(step);
    shown
        .map(|value| BLOCKS[(value.saturating_sub(*low) as f64 / height * 7.0).round() as usize])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steady_is_told_apart_from_sawtooth() {
        let of = |values: &[i64]| Trend::of(values, 10);
        assert_eq!(of(&[0, 20, 40, 60]), Trend::Steady);
        // Heap profiles change when garbage was collected: some rounds see none.
        assert_eq!(of(&[0, 20, 20, 40, 60]), Trend::Steady);
        assert_eq!(of(&[0, 90, 10, 95, 5, 99]), Trend::Sawtooth);
        assert_eq!(of(&[0, 50, 45, 100]), Trend::Uneven);
        assert_eq!(of(&[50, 50, 50]), Trend::Still);
        // Within what one sample stands for.
        assert_eq!(of(&[50, 53, 56, 59]), Trend::Still);
        assert_eq!(of(&[100, 60, 30]), Trend::Sawtooth);
        assert_eq!(of(&[]), Trend::Still);
    }

    #[test]
    fn the_slope_is_by_the_minute() {
        let course = Course {
            node: String::new(),
            times: vec![1e9, 1e9 + 30.0, 1e9 + 60.0],
            values: vec![5, 10, 15],
            trend: Trend::Steady,
        };
        assert_eq!(course.per_minute(), 10);
        assert_eq!(sparks(&course.values), "▁▅█");
    }
}

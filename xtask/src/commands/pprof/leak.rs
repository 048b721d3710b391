//! Finds stacks that grow in every interval, apart from those that rise and
//! fall with garbage collections. The guide compares two heaps with
//! `-diff_base`, which cannot tell these apart.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use ::pprof::{Profile, Query, report, unit};
use serde_json::{Value, json};

use super::kept::{Kept, Readable};
use super::load::engine;
use super::summary::WIDEST;
use super::trend::{Course, Trend, sparks};
use crate::app::App;
use foundation::failure::{Failure, Result};
use foundation::typed;
use foundation::ui::Style;
use foundation::ui::text::one_line;

/// Sample types that grow by definition.
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
    pub(super) profile: Kept,
}

/// A stack that grows on some node.
#[derive(Debug)]
pub(super) struct Growing {
    /// The frames, leaf first.
    pub(super) frames: Vec<String>,
    pub(super) courses: Vec<Course>,
}

impl Growing {
    pub(super) fn change(&self) -> i64 {
        let changes = self.courses.iter().map(Course::change);
        changes.fold(0, i64::saturating_add)
    }

    pub(super) fn trend(&self) -> Trend {
        let trends = self.courses.iter().map(|course| course.trend);
        trends.min().unwrap_or(Trend::Still)
    }
}

/// The verdict on one service's profile.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) sample_type: String,
    pub(super) unit: String,
    pub(super) totals: Vec<Course>,
    /// The stacks, largest growth first.
    pub(super) stacks: Vec<Growing>,
}

/// Judges a series. Moments of a node may be in any order.
///
/// # Errors
/// Fewer than three moments; a sample type that only ever grows.
pub(super) fn judge(mut moments: Vec<Moment>, query: &Query) -> Result<Verdict> {
    moments.sort_by(|one, other| one.time.total_cmp(&other.time));
    let first = moments
        .first()
        .ok_or_else(|| Failure::usage("no profiles to compare"))?;
    let query = asked(&*first.profile.read()?, query)?;
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
            .hint(typed!("pprof machined heap --every 30s --for 10m")));
        }
        let least = resolution(&*moments[0].profile.read()?, &query)?;
        let times: Vec<f64> = moments.iter().map(|moment| moment.time).collect();
        let seen = Series::new(&moments, &query, &mut names)?;
        let course = |values: Vec<i64>| Course {
            node: node.clone(),
            times: times.clone(),
            trend: Trend::new(&values, least),
            values,
        };
        let verdict = verdict.get_or_insert_with(|| Verdict {
            sample_type: seen.sample_type,
            unit: seen.unit,
            totals: Vec::new(),
            stacks: Vec::new(),
        });
        verdict.totals.push(course(seen.totals));
        for (frames, values) in seen.stacks {
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
    verdict.stacks.sort_by(worst_first);
    Ok(verdict)
}

fn worst_first(one: &Growing, other: &Growing) -> Ordering {
    let key = |of: &Growing| (of.trend(), Reverse(of.change()));
    key(one)
        .cmp(&key(other))
        .then_with(|| one.frames.cmp(&other.frames))
}

/// One node's values, moment by moment.
#[derive(Default)]
struct Series {
    sample_type: String,
    unit: String,
    totals: Vec<i64>,
    /// Values by the indices of the frames' names; 0 where the stack was
    /// absent.
    stacks: HashMap<Vec<u32>, Vec<i64>>,
}

impl Series {
    fn new(moments: &[Moment], query: &Query, names: &mut Names) -> Result<Self> {
        let mut seen = Self::default();
        for (round, moment) in moments.iter().enumerate() {
            let profile = moment.profile.read()?;
            let found = report::stacks(&profile, query).map_err(|error| engine(&error))?;
            let places: Vec<u32> = found.names.iter().map(|name| names.place(name)).collect();
            for stack in &found.stacks {
                let frames = stack.frames.iter().map(|frame| places[*frame as usize]);
                let values = seen
                    .stacks
                    .entry(frames.collect())
                    .or_insert_with(|| vec![0; moments.len()]);
                values[round] = values[round].saturating_add(stack.value);
            }
            seen.totals.push(found.total);
            if round == 0 {
                (seen.sample_type, seen.unit) = (found.sample_type, found.unit);
            }
        }
        Ok(seen)
    }
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

/// Whether a profile's values can both rise and fall.
pub(super) fn can_leak(profile: &Profile, query: &Query) -> bool {
    asked(profile, query).is_ok()
}

/// Selects what is in use, if the profile has that: `allocs` contains it too.
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

/// The amount that one sample stands for: a smaller growth of a heap is chance.
fn resolution(profile: &Profile, query: &Query) -> Result<i64> {
    let place = profile.sample_index(query.sample_index.as_deref());
    let place = place.map_err(|error| engine(&error))?;
    let header = &profile.header;
    let (of, period) = (header.sample_types[place], header.period_type);
    let same = profile.text(of.unit) == "bytes" && profile.text(period.unit) == "bytes";
    Ok(if same { header.period.max(0) } else { 0 })
}

/// Default number of stacks shown.
const ROWS: usize = 10;
/// Maximum number of frames shown of a stack.
const FRAMES: usize = 6;

impl Verdict {
    /// Whether anything grows in every interval.
    pub(super) fn leaks(&self) -> bool {
        self.stacks
            .iter()
            .any(|stack| stack.trend() == Trend::Steady)
    }

    /// Returns the verdict as text.
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
        let head = format!("{change} {words} on {}", self.nodes_of(stack));
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
    fn nodes_of(&self, stack: &Growing) -> String {
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

/// The frames from the first one outside the runtime, up to a readable number.
fn told(frames: &[String]) -> Vec<&str> {
    // All goroutines are parked in these frames.
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

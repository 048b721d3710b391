//! Which stacks grow: in every interval, or up and down as a garbage
//! collector makes them. The guide's way is two heaps and a `-diff_base`,
//! which cannot tell one from the other.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, HashMap};

use ::pprof::{Profile, Query, report};

use super::kept::{Kept, Readable};
use super::load::engine;
use super::trend::{Course, Trend};
use foundation::failure::{Failure, Result};
use foundation::typed;

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
    pub(super) profile: Kept,
}

/// A stack that grows on some node.
#[derive(Debug)]
pub(super) struct Growing {
    /// The leaf first.
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
    /// The worst first.
    pub(super) stacks: Vec<Growing>,
}

/// Judge a series. Moments of a node in any order.
///
/// # Errors
/// Less than three moments, a sample type that only ever grows.
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
        let seen = Seen::of(&moments, &query, &mut names)?;
        let course = |values: Vec<i64>| Course {
            node: node.clone(),
            times: times.clone(),
            trend: Trend::of(&values, least),
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
struct Seen {
    sample_type: String,
    unit: String,
    totals: Vec<i64>,
    /// By the places of their frames' names; 0 where a stack was not there.
    stacks: HashMap<Vec<u32>, Vec<i64>>,
}

impl Seen {
    fn of(moments: &[Moment], query: &Query, names: &mut Names) -> Result<Self> {
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

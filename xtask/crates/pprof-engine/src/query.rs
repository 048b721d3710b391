//! Queries, with the options of `go tool pprof`.

use crate::error::{Error, Result};
use crate::profile::Profile;
use crate::stacks::Weighing;

/// The granularity of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Granularity {
    #[default]
    Functions,
    FileFunctions,
    Files,
    Lines,
    Addresses,
}

/// Options of a report; the names and defaults are those of `go tool pprof`.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "flags of `go tool pprof`")]
pub struct Query {
    /// A sample type's name or index; the profile's default if absent.
    pub sample_index: Option<String>,
    /// Divide by the first value, which is a count.
    pub mean: bool,
    pub focus: Option<String>,
    pub ignore: Option<String>,
    pub hide: Option<String>,
    pub show: Option<String>,
    pub show_from: Option<String>,
    pub prune_from: Option<String>,
    pub tagfocus: Option<String>,
    pub tagignore: Option<String>,
    pub tagshow: Option<String>,
    pub taghide: Option<String>,
    /// Label keys, separated by commas, that become frames at the root.
    pub tagroot: Option<String>,
    pub tagleaf: Option<String>,
    pub granularity: Granularity,
    pub noinlines: bool,
    pub showcolumns: bool,
    /// Drop frames below the fractions.
    pub trim: bool,
    /// Maximum number of nodes; 0 for all.
    pub nodecount: usize,
    pub nodefraction: f64,
    pub edgefraction: f64,
    /// Sort by cumulative weight.
    pub cum: bool,
    /// Percentages of what the filters keep.
    pub relative_percentages: bool,
    pub drop_negative: bool,
    /// `minimum` selects one that suits all values.
    pub unit: String,
    pub divide_by: f64,
    /// Keep the frames that the profile itself marks as dropped.
    pub all_frames: bool,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            sample_index: None,
            mean: false,
            focus: None,
            ignore: None,
            hide: None,
            show: None,
            show_from: None,
            prune_from: None,
            tagfocus: None,
            tagignore: None,
            tagshow: None,
            taghide: None,
            tagroot: None,
            tagleaf: None,
            granularity: Granularity::Functions,
            noinlines: false,
            showcolumns: false,
            trim: true,
            nodecount: 0,
            nodefraction: 0.005,
            edgefraction: 0.001,
            cum: false,
            relative_percentages: false,
            drop_negative: false,
            unit: "minimum".into(),
            divide_by: 1.0,
            all_frames: false,
        }
    }
}

impl Query {
    /// `focus=…` and so on, as the head of a report lists them.
    pub fn active_filters(&self) -> Vec<String> {
        let filters = [
            ("focus", &self.focus),
            ("ignore", &self.ignore),
            ("hide", &self.hide),
            ("show", &self.show),
            ("show_from", &self.show_from),
            ("tagfocus", &self.tagfocus),
            ("tagignore", &self.tagignore),
            ("tagshow", &self.tagshow),
            ("taghide", &self.taghide),
        ];
        filters
            .iter()
            .filter_map(|(name, value)| {
                let value = value.as_ref().filter(|value| !value.is_empty())?;
                Some(format!("{name}={value}"))
            })
            .collect()
    }
}

/// The sample type that a query selects, and how its values are weighed.
#[derive(Debug, Clone)]
pub struct Measure {
    pub weighing: Weighing,
    /// The sample type's name and unit.
    pub kind: String,
    pub unit: String,
}

impl Measure {
    /// # Errors
    /// A question that does not fit the profile.
    pub fn new(profile: &Profile, query: &Query) -> Result<Self> {
        let value = profile.sample_index(query.sample_index.as_deref())?;
        if query.divide_by == 0.0 {
            return Err(Error::Query("cannot divide by zero".into()));
        }
        let of = profile.header.sample_types[value];
        let kind = profile.text(of.kind);
        Ok(Self {
            weighing: Weighing {
                value,
                mean: query.mean,
                relative: query.relative_percentages,
            },
            kind: if query.mean {
                format!("mean_{kind}")
            } else {
                kind.into_owned()
            },
            unit: profile.text(of.unit).into_owned(),
        })
    }
}

impl Profile {
    /// The names of the sample types.
    pub fn sample_type_names(&self) -> Vec<String> {
        let types = self.header.sample_types.iter();
        types.map(|of| self.text(of.kind).into_owned()).collect()
    }

    /// The index of a sample type given by name or index; without one the default,
    /// which is the last type unless the profile names another.
    ///
    /// # Errors
    /// A type that the profile does not have.
    pub fn sample_index(&self, wanted: Option<&str>) -> Result<usize> {
        let names = self.sample_type_names();
        let last = names
            .len()
            .checked_sub(1)
            .ok_or_else(|| Error::Query("the profile has no sample types".into()))?;
        let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else {
            let default = self.text(self.header.default_sample_type);
            let found = names.iter().position(|name| *name == default);
            return Ok(found.filter(|_| !default.is_empty()).unwrap_or(last));
        };
        if let Ok(place) = wanted.parse::<usize>() {
            if place > last {
                return Err(Error::Query(format!(
                    "sample_index {place} is outside of 0..{last}"
                )));
            }
            return Ok(place);
        }
        // Old profiles have `space` where new ones have `inuse_space`.
        let short = wanted.strip_prefix("inuse_").unwrap_or(wanted);
        let found = names
            .iter()
            .position(|name| name == wanted || name == short);
        found.ok_or_else(|| {
            Error::Query(format!(
                "the profile has no sample type `{wanted}`; it has {}",
                names.join(", ")
            ))
        })
    }
}

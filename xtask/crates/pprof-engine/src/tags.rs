//! Labels (pprof calls them tags): filters on them, their units, and frames
//! made of them.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use crate::error::{Error, Result};
use crate::profile::{Label, Profile, Sample};
use crate::unit;
use crate::view::compile;

/// Units of number labels by key.
pub type Units = BTreeMap<String, String>;

/// `tagfocus` or `tagignore`.
#[derive(Debug)]
pub(crate) struct TagFilter {
    key: Option<String>,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Range {
        low: Option<f64>,
        high: Option<f64>,
        unit: String,
        units: Units,
    },
    Matches(Vec<Regex>),
}

impl TagFilter {
    /// `[KEY=]RE[,RE…]`, or a range such as `32kb`, `:64kb`, `4mb:`,
    /// `12kb:64mb` of a number label.
    pub(crate) fn new(
        option: &str,
        value: Option<&str>,
        units: impl Fn() -> Result<Units>,
    ) -> Result<Option<Self>> {
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let (key, value) = match value.split_once('=') {
            Some((key, value)) => (Some(key.to_owned()), value),
            None => (None, value),
        };
        let key = key.filter(|key| !key.is_empty());
        let test = if let Some((low, high, unit)) = range(value) {
            Test::Range {
                low,
                high,
                unit,
                units: units()?,
            }
        } else {
            let compiled = value.split(',').map(|part| {
                Regex::new(part).map_err(|error| Error::Query(format!("`{option}`: {error}")))
            });
            Test::Matches(compiled.collect::<Result<_>>()?)
        };
        Ok(Some(Self { key, test }))
    }

    pub(crate) fn matches(&self, profile: &Profile, labels: &[Label]) -> bool {
        let of_key = |label: &&Label| {
            let key = profile.text_bytes(label.key);
            self.key.as_ref().is_none_or(|want| want.as_bytes() == key)
        };
        let mut strings = labels.iter().filter(|label| label.str != 0).filter(of_key);
        match &self.test {
            Test::Range {
                low,
                high,
                unit,
                units,
            } => labels
                .iter()
                .filter(|label| label.str == 0)
                .filter(of_key)
                .any(|label| {
                    let key = profile.text(label.key);
                    let from = units.get(&*key).map_or("", String::as_str);
                    let (value, got) = unit::scale(label.num, from, unit);
                    got == *unit
                        && low.is_none_or(|low| value >= low)
                        && high.is_none_or(|high| value <= high)
                }),
            // Without a key every expression must match one of `key:value`;
            // with one, any expression any of its values.
            Test::Matches(all) if self.key.is_none() => all.iter().all(|regex| {
                strings.clone().any(|label| {
                    let text = [profile.text(label.key), profile.text(label.str)].join(":");
                    regex.is_match(&text)
                })
            }),
            Test::Matches(any) => strings.any(|label| {
                let value = profile.text(label.str);
                any.iter().any(|regex| regex.is_match(&value))
            }),
        }
    }
}

/// A range in a unit, or none if the text is not one.
fn range(text: &str) -> Option<(Option<f64>, Option<f64>, String)> {
    let (low, high) = match text.split_once(':') {
        Some((low, high)) => (low, Some(high)),
        None => (text, None),
    };
    let first = |text: &str| {
        let (value, from) = quantity(text)?;
        let (value, unit) = unit::scale(value, from, from);
        Some((value, unit.into_owned()))
    };
    match (low, high) {
        ("", Some(high)) => first(high).map(|(value, unit)| (None, Some(value), unit)),
        (low, Some("")) => first(low).map(|(value, unit)| (Some(value), None, unit)),
        (low, None) => first(low).map(|(value, unit)| (Some(value), Some(value), unit)),
        (low, Some(high)) => {
            let (low, unit) = first(low)?;
            let (high, from) = quantity(high)?;
            let (high, got) = unit::scale(high, from, &unit);
            (got == *unit).then(|| (Some(low), Some(high), unit.clone()))
        }
    }
}

/// `[+-]?digits letters?`
fn quantity(text: &str) -> Option<(i64, &str)> {
    let sign = usize::from(text.starts_with(['+', '-']));
    let digits = text[sign..].bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(sign + digits);
    let letters = unit.bytes().all(|byte| byte.is_ascii_alphabetic());
    (digits > 0 && letters).then(|| Some((number.parse().ok()?, unit)))?
}

/// The unit of each numeric label: the first one in the profile, else guessed from the
/// key as pprof does.
///
/// # Errors
/// Malformed samples.
pub fn number_units(profile: &Profile) -> Result<Units> {
    let mut units = Units::new();
    let mut keys = BTreeSet::new();
    let mut sample = Sample::default();
    for index in 0..profile.sample_count() {
        profile.sample(index, &mut sample)?;
        for label in sample.labels.iter().filter(|label| label.str == 0) {
            keys.insert(label.key);
            if label.unit != 0 && !units.contains_key(&*profile.text(label.key)) {
                let key = profile.text(label.key).into_owned();
                units.insert(key, profile.text(label.unit).into_owned());
            }
        }
    }
    for key in keys {
        let key = profile.text(key).into_owned();
        let guess = match &*key {
            "alignment" | "request" => "bytes".to_owned(),
            other => other.to_owned(),
        };
        units.entry(key).or_insert(guess);
    }
    Ok(units)
}

/// Which label keys are shown: `tagshow` and `taghide`.
#[derive(Debug)]
pub struct Shown {
    show: Option<Regex>,
    hide: Option<Regex>,
}

impl Shown {
    /// # Errors
    /// Expressions that do not compile.
    pub fn new(query: &crate::query::Query) -> Result<Self> {
        Ok(Self {
            show: compile("tagshow", query.tagshow.as_deref())?,
            hide: compile("taghide", query.taghide.as_deref())?,
        })
    }

    pub fn shows(&self, key: &str) -> bool {
        self.show.as_ref().is_none_or(|show| show.is_match(key))
            && !self.hide.as_ref().is_some_and(|hide| hide.is_match(key))
    }
}

//! `tags` and `comments`: the labels of samples with their weights, and the
//! profile's comments.

use std::collections::BTreeMap;
use std::fmt::Write;

use pprof_engine::{
    Profile, Query, Result, Sample, Shown, View, number_units, unit, with_tag_frames,
};

use super::{Out, Question, Text, total};

/// Maximum columns of indentation: keys may be of any length.
const WIDEST: usize = 200;

/// Returns label keys and their values, the heaviest first.
///
/// # Errors
/// Malformed samples, a query that does not fit the profile.
pub fn tags(profile: &Profile, query: &Query) -> Result<Text> {
    with_tag_frames(profile, query, |profile, query| {
        let question = Question::new(profile, query)?;
        let view = View::new(profile, query)?;
        let sums = sums(&question, &view)?;
        let total = total(&question, &view)?;
        let mut keys: Vec<(&String, i64)> = sums
            .iter()
            .map(|(key, values)| {
                let sum = values.values().fold(0_i64, |sum, of| sum.wrapping_add(*of));
                (key, sum)
            })
            .collect();
        // pprof sorts the keys by name, not by their sums.
        keys.sort_by_key(|(key, _)| *key);
        let mut out = Out::new(profile);
        for (key, sum) in keys {
            let share = |value: i64| {
                if total > 0 {
                    format!(" ({})", unit::percentage(value, total))
                } else {
                    String::new()
                }
            };
            let format = |value: i64| question.format(value, &query.unit);
            let _ = writeln!(
                out,
                " {key}: Total {} of {}{}",
                format(sum),
                format(total),
                share(sum)
            );
            let mut values: Vec<(&String, i64)> =
                sums[key].iter().map(|(value, sum)| (value, *sum)).collect();
            values.sort_by_key(|(value, sum)| (std::cmp::Reverse(sum.wrapping_abs()), *value));
            let heads: Vec<String> = values
                .iter()
                .map(|(_, sum)| format!("{}{}:", format(*sum), share(*sum)))
                .collect();
            // Aligned below the colon of the key.
            let indent = (key.chars().count() + 2).min(WIDEST);
            let width = heads.iter().map(|head| head.chars().count()).max();
            let width = (width.unwrap_or(0) + 1).min(WIDEST);
            for ((value, _), head) in values.iter().zip(&heads) {
                let _ = writeln!(out, "{:indent$}{head:>width$} {value}", "");
            }
            out.check()?;
            out.push('\n');
        }
        Ok(Text {
            text: out.finish()?,
            warnings: view.warnings,
        })
    })
}

type Sums = BTreeMap<String, BTreeMap<String, i64>>;

fn sums(question: &Question<'_>, view: &View) -> Result<Sums> {
    let (profile, query) = (question.profile, question.query);
    let shown = Shown::new(query)?;
    let units = number_units(profile)?;
    let mut sums = Sums::new();
    let mut sample = Sample::default();
    for index in 0..profile.sample_count() {
        profile.sample(index, &mut sample)?;
        let kept =
            view.keeps_labels(profile, &sample.labels) && view.keeps_stack(&mut sample.locations);
        if !kept {
            continue;
        }
        let weight = sample.values[question.weighing.value];
        for label in &sample.labels {
            let key = profile.row(label.key).into_owned();
            if !shown.shows(&key) {
                continue;
            }
            let value = if label.str == 0 {
                let from = units.get(&key).map_or("", String::as_str);
                unit::label(label.num, from, &query.unit)
            } else {
                profile.row(label.str).into_owned()
            };
            let sum = sums.entry(key).or_default().entry(value).or_default();
            *sum = sum.wrapping_add(weight);
        }
    }
    Ok(sums)
}

/// Returns the profile's own comments, one per line.
pub fn comments(profile: &Profile) -> String {
    let comments = profile.header.comments.iter();
    let mut out = String::new();
    for comment in comments {
        let _ = writeln!(out, "{}", profile.text(*comment));
    }
    out
}

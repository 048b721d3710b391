//! `traces`: every sample with its labels and its stack, in the profile's
//! order.

use std::collections::BTreeMap;
use std::fmt::Write;

use pprof_engine::{
    Frames, Info, Profile, Query, Result, Sample, Shown, Units, View, number_units, unit,
    with_tag_frames,
};

use super::{FormatTime, Out, Question, Text, total};

const SEPARATOR: &str = "-----------+-------------------------------------------------------\n";

/// Returns all samples that the filters keep.
///
/// # Errors
/// Malformed samples, a query that does not fit the profile.
pub fn traces(profile: &Profile, query: &Query, time: FormatTime<'_>) -> Result<Text> {
    with_tag_frames(profile, query, |profile, query| {
        let question = Question::new(profile, query)?;
        let view = View::new(profile, query)?;
        let frames = Frames::new(profile, &view, query, false)?;
        let names: Vec<String> = frames.infos.iter().map(Info::printable).collect();
        let shown = Shown::new(query)?;
        let units = number_units(profile)?;
        let to = &query.unit;
        let mut out = Out::new(profile);
        out.push_str(&question.head(total(&question, &view)?, to, time));
        let mut sample = Sample::default();
        for index in 0..profile.sample_count() {
            profile.sample(index, &mut sample)?;
            let kept = view.keeps_labels(profile, &sample.labels)
                && view.keeps_stack(&mut sample.locations);
            if !kept || sample.locations.is_empty() {
                continue;
            }
            out.push_str(SEPARATOR);
            labels(&mut out, profile, &sample, &shown, &units);
            let mut value = sample.values[question.weighing.value];
            if query.mean && sample.values[0] != 0 {
                value = value.wrapping_div(sample.values[0]);
            }
            let mut value = question.format(value, to);
            for location in &sample.locations {
                let nodes = frames.of_location(*location);
                for (place, node) in nodes.iter().enumerate() {
                    let inline = if place + 1 == nodes.len() {
                        ""
                    } else {
                        " (inline)"
                    };
                    let name = &names[*node as usize];
                    let _ = writeln!(out, "{value:>10}   {name}{inline}");
                    value.clear();
                    out.check()?;
                }
            }
        }
        out.push_str(SEPARATOR);
        Ok(Text {
            text: out.finish()?,
            warnings: view.warnings,
        })
    })
}

fn labels(out: &mut Out, profile: &Profile, sample: &Sample, shown: &Shown, units: &Units) {
    let mut strings: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut numbers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for label in &sample.labels {
        let key = profile.row(label.key).into_owned();
        if !shown.shows(&key) {
            continue;
        }
        if label.str != 0 {
            let value = profile.row(label.str).into_owned();
            strings.entry(key).or_default().push(value);
        } else {
            let from = units.get(&key).map_or("", String::as_str);
            let value = unit::label(label.num, from, "auto");
            numbers.entry(key).or_default().push(value);
        }
    }
    for group in [strings, numbers] {
        let mut lines: Vec<String> = group
            .iter()
            .map(|(key, values)| format!("{key:>10}:  {}\n", values.join(" ")))
            .collect();
        // pprof sorts the printed lines, including their padding.
        lines.sort();
        out.push_str(&lines.concat());
    }
}

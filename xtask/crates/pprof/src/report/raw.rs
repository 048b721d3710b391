//! `raw`: the profile's tables as text, with the ids of the profile.

use std::collections::BTreeMap;
use std::fmt::Write;

use pprof_engine::{Label, Location, Profile, Query, Result, Sample, Shown, View, with_tag_frames};

use super::{FormatTime, Out, Text, TimeStyle};

/// Returns everything that the filters keep.
///
/// # Errors
/// Malformed samples, filters that do not compile.
pub fn raw(profile: &Profile, query: &Query, time: FormatTime<'_>) -> Result<Text> {
    // Addresses are distinguished: nothing is folded or left out.
    with_tag_frames(profile, query, |profile, query| {
        tables(profile, query, time)
    })
}

fn tables(profile: &Profile, query: &Query, time: FormatTime<'_>) -> Result<Text> {
    let view = View::new(profile, query)?;
    let shown = Shown::new(query)?;
    let mut out = Out::new(profile);
    out.push_str(&header(profile, time));
    let mut sample = Sample::default();
    for index in 0..profile.sample_count() {
        profile.sample(index, &mut sample)?;
        let kept =
            view.keeps_labels(profile, &sample.labels) && view.keeps_stack(&mut sample.locations);
        if !kept {
            continue;
        }
        for value in &sample.values {
            let _ = write!(out, " {value:>10}");
        }
        out.push_str(": ");
        for location in &sample.locations {
            let _ = write!(out, "{} ", profile.locations[*location as usize].id);
        }
        out.push('\n');
        labels(&mut out, profile, &sample.labels, &shown);
        out.check()?;
    }
    out.push_str("Locations\n");
    for (place, location) in (0_u32..).zip(&profile.locations) {
        // As in pprof, places without inlined calls have no columns.
        write_location(
            &mut out,
            (profile, &view),
            place,
            location,
            !query.noinlines,
        );
        out.check()?;
    }
    out.push_str("Mappings\n");
    for mapping in &profile.mappings {
        let bits: String = ["[FN]", "[FL]", "[LN]", "[IN]"]
            .iter()
            .zip(mapping.has)
            .filter_map(|(bit, has)| has.then_some(*bit))
            .collect();
        let _ = writeln!(
            out,
            "{}: {:#x}/{:#x}/{:#x} {} {} {bits}",
            mapping.id,
            mapping.start,
            mapping.limit,
            mapping.offset,
            profile.row(mapping.file),
            profile.row(mapping.build_id)
        );
        out.check()?;
    }
    Ok(Text {
        text: out.finish()?,
        warnings: view.warnings,
    })
}

fn header(profile: &Profile, time: FormatTime<'_>) -> String {
    let header = &profile.header;
    let mut out = String::new();
    for comment in &header.comments {
        let _ = writeln!(out, "Comment: {}", profile.text(*comment));
    }
    if profile.has_text(header.doc_url) {
        let _ = writeln!(out, "Doc: {}", profile.row(header.doc_url));
    }
    let period = header.period_type;
    let (kind, unit) = (profile.row(period.kind), profile.row(period.unit));
    let _ = writeln!(out, "PeriodType: {kind} {unit}\nPeriod: {}", header.period);
    if header.time_nanos != 0 {
        let _ = writeln!(out, "Time: {}", time(header.time_nanos, TimeStyle::Full));
    }
    if header.duration_nanos != 0 {
        let _ = writeln!(out, "Duration: {}", duration(header.duration_nanos));
    }
    out.push_str("Samples:\n");
    let default = header.default_sample_type;
    let types = header.sample_types.iter().map(|of| {
        let mark = if of.kind == default || profile.row(of.kind) == profile.text(default) {
            "[dflt]"
        } else {
            ""
        };
        format!("{}/{}{mark}", profile.row(of.kind), profile.row(of.unit))
    });
    out.push_str(&types.collect::<Vec<_>>().join(" "));
    out.push('\n');
    out
}

/// Four significant characters, as Go cuts its durations: `2.01`, `612.`.
fn duration(nanos: i64) -> String {
    let text = go_duration(nanos);
    text.chars().take(4).collect()
}

#[allow(clippy::cast_precision_loss)] // only four characters are shown
fn go_duration(nanos: i64) -> String {
    let size = nanos.unsigned_abs();
    let sign = if nanos < 0 { "-" } else { "" };
    let value = size as f64;
    let text = match size {
        0 => "0s".into(),
        1..1_000 => format!("{size}ns"),
        1_000..1_000_000 => format!("{}µs", value / 1e3),
        1_000_000..1_000_000_000 => format!("{}ms", value / 1e6),
        1_000_000_000..60_000_000_000 => format!("{}s", value / 1e9),
        _ => {
            let seconds = size / 1_000_000_000;
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let rest = value / 1e9 - (seconds / 60 * 60) as f64;
            if hours > 0 {
                format!("{hours}h{minutes}m{rest}s")
            } else {
                format!("{minutes}m{rest}s")
            }
        }
    };
    format!("{sign}{text}")
}

fn labels(out: &mut Out, profile: &Profile, labels: &[Label], shown: &Shown) {
    const INDENT: &str = "                ";
    let mut strings: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut numbers: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
    for label in labels {
        let key = profile.row(label.key).into_owned();
        if !shown.shows(&key) {
            continue;
        }
        if label.str == 0 {
            let unit = profile.row(label.unit).into_owned();
            numbers.entry(key).or_default().push((label.num, unit));
        } else {
            let value = profile.row(label.str).into_owned();
            strings.entry(key).or_default().push(value);
        }
    }
    let strings: Vec<String> = strings
        .iter()
        .map(|(key, values)| format!("{key}:[{}]", values.join(" ")))
        .collect();
    let numbers: Vec<String> = numbers
        .iter()
        .map(|(key, values)| {
            let has_unit = values.iter().any(|value| !value.1.is_empty());
            let values: Vec<String> = values
                .iter()
                .map(|(value, unit)| {
                    if has_unit {
                        format!("{value} {unit}")
                    } else {
                        value.to_string()
                    }
                })
                .collect();
            format!("{key}:[{}]", values.join(" "))
        })
        .collect();
    for mut group in [strings, numbers] {
        if !group.is_empty() {
            group.sort();
            let _ = writeln!(out, "{INDENT}{}", group.join(" "));
        }
    }
}

fn write_location(
    out: &mut Out,
    (profile, view): (&Profile, &View),
    place: u32,
    of: &Location,
    has_columns: bool,
) {
    let mut head = format!("{:>6}: {:#x} ", of.id, of.address);
    if let Some(mapping) = profile.mapping(of) {
        let _ = write!(head, "M={} ", mapping.id);
    }
    if of.folded {
        head.push_str("[F] ");
    }
    let lines = view.lines(place);
    if lines.is_empty() {
        let _ = writeln!(out, "{head}");
    }
    for line in lines {
        let line = profile.line(*line);
        let function = profile.functions[line.function as usize];
        let name = profile.row(function.name);
        let _ = write!(
            out,
            "{head}{name} {}:{}:{} s={}",
            profile.row(function.file),
            line.line,
            if has_columns { line.column } else { 0 },
            function.start_line
        );
        let system = profile.row(function.system_name);
        if system != name {
            let _ = write!(out, "({system})");
        }
        out.push('\n');
        head = " ".repeat(13);
    }
}

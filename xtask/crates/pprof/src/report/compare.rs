//! Compares two profiles by function, also of different builds: addresses and lines
//! differ, names stay. Both are scaled to the same duration, and changes are marked
//! that may be an effect of sampling.

use std::collections::BTreeMap;
use std::fmt::Write;

use pprof_engine::{Error, Profile, Query, Result, unit};

use super::{Text, top};

/// Durations that differ by less are the same.
const SAME: f64 = 0.01;
/// Standard errors beyond which a change is significant at the 5 % level.
const ERRORS: f64 = 2.0;

/// One function on both sides.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    pub name: String,
    /// Flat value, or cumulative with that order; scaled to the duration of the other.
    pub before: i64,
    pub after: i64,
    /// Twice the standard error of the change; none for values that are not sampled, or
    /// whose rate is unknown.
    pub noise: Option<i64>,
}

impl Compared {
    pub fn change(&self) -> i64 {
        self.after.wrapping_sub(self.before)
    }

    /// Whether the change may be chance alone.
    pub fn is_noise(&self) -> bool {
        self.noise
            .is_some_and(|noise| self.change().unsigned_abs() <= noise.unsigned_abs())
    }
}

/// Two profiles, function by function.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    pub sample_type: String,
    pub unit: String,
    /// The factor of the first side's values.
    pub scale: f64,
    /// Nanoseconds, as recorded; 0 where unknown.
    pub durations: [i64; 2],
    pub total: Compared,
    /// The changed functions, the largest change first.
    pub rows: Vec<Compared>,
    pub warnings: Vec<String>,
}

/// Compares by function.
///
/// # Errors
/// Malformed samples, sample types that differ.
pub fn compare(before: &Profile, after: &Profile, query: &Query) -> Result<Comparison> {
    // Nothing is trimmed on one side, because it may be large on the other.
    let query = Query {
        trim: false,
        nodecount: 0,
        ..query.clone()
    };
    let tops = [top(before, &query)?, top(after, &query)?];
    let kind = |of: usize| (&tops[of].sample_type, &tops[of].unit);
    if kind(0) != kind(1) {
        return Err(Error::Query(format!(
            "one profile counts {} in {}, the other {} in {}",
            kind(0).0,
            kind(0).1,
            kind(1).0,
            kind(1).1
        )));
    }
    let durations = [before, after].map(|of| of.header.duration_nanos);
    let scale = scale(durations);
    let steps = [before, after].map(|of| step(of, &tops[0].sample_type, &tops[0].unit));
    let compared = |name: &str, values: [i64; 2]| {
        let noise = steps[0].zip(steps[1]).map(|(one, two)| {
            let variance = variance(values[0], one) * scale * scale + variance(values[1], two);
            rounded(ERRORS * variance.sqrt())
        });
        Compared {
            name: name.to_owned(),
            before: scaled(values[0], scale),
            after: values[1],
            noise,
        }
    };
    let mut values: BTreeMap<&str, [i64; 2]> = BTreeMap::new();
    for (side, top) in tops.iter().enumerate() {
        for row in &top.rows {
            let value = if query.cum { row.cum } else { row.flat };
            let sum = &mut values.entry(&row.name).or_default()[side];
            *sum = sum.wrapping_add(value);
        }
    }
    let mut rows: Vec<Compared> = values
        .into_iter()
        .map(|(name, values)| compared(name, values))
        .filter(|row| row.change() != 0)
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse((!row.is_noise(), row.change().unsigned_abs())));
    let mut warnings = tops[0].warnings.clone();
    warnings.extend(tops[1].warnings.iter().cloned());
    warnings.dedup();
    Ok(Comparison {
        sample_type: tops[0].sample_type.clone(),
        unit: tops[0].unit.clone(),
        scale,
        durations,
        total: compared("total", [tops[0].total, tops[1].total]),
        rows,
        warnings,
    })
}

/// Returns the factor to the second side's duration, if both are known and
/// differ.
#[allow(clippy::cast_precision_loss)] // a ratio
fn scale([before, after]: [i64; 2]) -> f64 {
    if before <= 0 || after <= 0 {
        return 1.0;
    }
    let ratio = after as f64 / before as f64;
    if (ratio - 1.0).abs() < SAME {
        1.0
    } else {
        ratio
    }
}

/// The amount that one sample stands for: CPU time is sampled at a period, memory once
/// per number of bytes. None for complete counts, such as goroutines, and for unknown
/// kinds.
#[allow(clippy::cast_precision_loss)] // a measure of error
fn step(profile: &Profile, kind: &str, unit: &str) -> Option<f64> {
    let header = &profile.header;
    let period_unit = profile.text(header.period_type.unit);
    let period_kind = profile.text(header.period_type.kind);
    if header.period <= 0 {
        return None;
    }
    match (&*period_kind, kind) {
        ("cpu", "samples") => Some(1.0),
        ("cpu", _) | ("space", "inuse_space" | "alloc_space" | "space")
            if *period_unit == *unit =>
        {
            Some(header.period as f64)
        }
        _ => None,
    }
}

/// The number of samples varies by chance: its variance is the number itself.
#[allow(clippy::cast_precision_loss)] // a measure of error
fn variance(value: i64, step: f64) -> f64 {
    value.unsigned_abs() as f64 * step
}

#[allow(clippy::cast_precision_loss)] // as pprof scales
fn scaled(value: i64, scale: f64) -> i64 {
    if (scale - 1.0).abs() < f64::EPSILON {
        return value;
    }
    rounded(value as f64 * scale)
}

#[allow(clippy::cast_possible_truncation)] // saturates
fn rounded(value: f64) -> i64 {
    value.round() as i64
}

/// Default number of rows.
const ROWS: usize = 30;

/// Returns [`compare`] as text for people; `names` are those of the two sides.
///
/// # Errors
/// Those of [`compare`].
pub fn compare_text(
    before: &Profile,
    after: &Profile,
    query: &Query,
    names: [&str; 2],
) -> Result<Text> {
    let of = compare(before, after, query)?;
    let mut out = format!("Type: {}\n", of.sample_type);
    for (name, duration) in names.iter().zip(of.durations) {
        let duration = match duration {
            0 => String::new(),
            nanos => format!(" ({})", unit::label(nanos, "nanoseconds", "auto")),
        };
        let _ = writeln!(out, "Side: {name}{duration}");
    }
    if (of.scale - 1.0).abs() > f64::EPSILON {
        let _ = writeln!(
            out,
            "The first side is scaled by {:.3} to the duration of the second.",
            of.scale
        );
    }
    let to = match query.unit.as_str() {
        "minimum" => "auto",
        unit => unit,
    };
    let _ = writeln!(
        out,
        "{:>10} {:>10} {:>11} {:>8} {:>10}",
        "before", "after", "change", "", "±"
    );
    write_row(&mut out, &of.total, &of.unit, to);
    let shown = match query.nodecount {
        0 => ROWS,
        count => count,
    };
    for row in of.rows.iter().take(shown) {
        write_row(&mut out, row, &of.unit, to);
    }
    if of.rows.len() > shown {
        let _ = writeln!(out, "… {} more: -n N", of.rows.len() - shown);
    }
    if of.rows.iter().take(shown).any(Compared::is_noise) {
        out.push_str("~ marks changes within ±, twice the standard error of sampling.\n");
    }
    Ok(Text {
        text: out,
        warnings: of.warnings,
    })
}

#[allow(clippy::cast_precision_loss)] // a percentage
fn write_row(out: &mut String, row: &Compared, of: &str, to: &str) {
    let format = |value: i64| unit::label(value, of, to);
    let change = row.change();
    let noise = row.noise.map_or_else(String::new, format);
    let share = match row.before {
        0 => "new".to_owned(),
        _ if row.after == 0 => "gone".to_owned(),
        before => format!(
            "{:+.1}%",
            100.0 * change as f64 / before.unsigned_abs() as f64
        ),
    };
    let _ = writeln!(
        out,
        "{:>10} {:>10} {:>11} {share:>8} {noise:>10} {} {}",
        format(row.before),
        format(row.after),
        unit::signed(change, of, to),
        if row.is_noise() { '~' } else { ' ' },
        row.name
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str) -> Profile {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/pprof/");
        crate::decode(std::fs::read(format!("{corpus}{name}.pb.gz")).unwrap()).unwrap()
    }

    #[test]
    fn a_profile_does_not_differ_from_itself() {
        let cpu = profile("cpu");
        let of = compare(&cpu, &cpu, &Query::default()).unwrap();
        assert!(of.rows.is_empty());
        assert_eq!(of.total.change(), 0);
    }

    #[test]
    fn twice_as_long_is_half_as_much() {
        let cpu = profile("cpu");
        let mut short = cpu.clone();
        short.header.duration_nanos /= 2;
        let of = compare(&cpu, &short, &Query::default()).unwrap();
        assert!((of.scale - 0.5).abs() < 0.01, "{}", of.scale);
        assert_eq!(of.total.before * 2, of.total.after);
        assert!(of.rows.iter().all(|row| row.change() > 0));
    }

    #[test]
    fn few_samples_prove_nothing_and_many_do() {
        let row = |before, after, noise| Compared {
            name: String::new(),
            before,
            after,
            noise,
        };
        // 10 ms each: four samples against six, four hundred against six hundred.
        let noise = |count: f64| Some(rounded(ERRORS * (count * 1e7 * 1e7).sqrt()));
        assert!(row(40_000_000, 60_000_000, noise(10.0)).is_noise());
        assert!(!row(4_000_000_000, 6_000_000_000, noise(1000.0)).is_noise());
        assert!(!row(4, 6, None).is_noise());
    }

    #[test]
    fn memory_is_sampled_and_goroutines_are_counted() {
        let bytes = compare(&profile("heap-before"), &profile("heap"), &Query::default()).unwrap();
        assert!(bytes.rows.iter().all(|row| row.noise.is_some()));
        let query = Query {
            sample_index: Some("goroutine".into()),
            ..Query::default()
        };
        let counted = compare(&profile("goroutine"), &profile("goroutine"), &query).unwrap();
        assert_eq!(counted.total.noise, None);
        let error = compare(&profile("cpu"), &profile("heap"), &Query::default()).unwrap_err();
        assert!(
            error.to_string().starts_with("one profile counts cpu"),
            "{error}"
        );
    }
}

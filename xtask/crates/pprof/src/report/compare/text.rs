//! A comparison for people.

use std::fmt::Write;

use pprof_engine::{Profile, Query, Result, unit};

use super::super::Text;
use super::{Compared, compare};

/// Rows without a number of them.
const ROWS: usize = 30;
/// `compare` as text; the names are those of the two sides.
///
/// # Errors
/// As `compare`.
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
            "The first is multiplied with {:.3}, to last as long.",
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
        out.push_str(
            "~ lies within ±, twice the standard error of sampling: no change is proven.\n",
        );
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

//! Units and their printing, as users of `go tool pprof` know them
//! (github.com/google/pprof/internal/measurement).

use std::borrow::Cow;

/// Canonical name, other names, factor to the base unit.
type Unit = (&'static str, &'static [&'static str], f64);

struct Family {
    /// The unit for values whose requested unit is of another family.
    default: (&'static str, f64),
    units: &'static [Unit],
}

#[allow(clippy::unreadable_literal)] // powers are easier to compare written alike
const FAMILIES: [Family; 3] = [
    Family {
        default: ("B", 1.0),
        units: &[
            ("B", &["b", "byte"], 1.0),
            ("kB", &["kb", "kbyte", "kilobyte"], 1024.0),
            ("MB", &["mb", "mbyte", "megabyte"], 1048576.0),
            ("GB", &["gb", "gbyte", "gigabyte"], 1073741824.0),
            ("TB", &["tb", "tbyte", "terabyte"], 1099511627776.0),
            ("PB", &["pb", "pbyte", "petabyte"], 1125899906842624.0),
        ],
    },
    Family {
        default: ("s", 1e9),
        units: &[
            ("ns", &["ns", "nanosecond"], 1.0),
            ("us", &["μs", "us", "microsecond"], 1e3),
            ("ms", &["ms", "millisecond"], 1e6),
            ("s", &["s", "sec", "second"], 1e9),
            ("hrs", &["hour", "hr"], 3600e9),
        ],
    },
    Family {
        default: ("GCU", 1.0),
        units: &[
            ("n*GCU", &["nanogcu"], 1e-9),
            ("u*GCU", &["microgcu"], 1e-6),
            ("m*GCU", &["milligcu"], 1e-3),
            ("GCU", &["gcu"], 1.0),
            ("k*GCU", &["kilogcu"], 1e3),
            ("M*GCU", &["megagcu"], 1e6),
            ("G*GCU", &["gigagcu"], 1e9),
            ("T*GCU", &["teragcu"], 1e12),
            ("P*GCU", &["petagcu"], 1e15),
        ],
    },
];

/// Divides a value. As in pprof, dividing by one or by a negative number changes nothing.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // so does pprof
pub fn divided(value: i64, by: f64) -> i64 {
    let ratio = 1.0 / by;
    if ratio <= 0.0 || (ratio - 1.0).abs() < f64::EPSILON {
        return value;
    }
    (value as f64 * ratio) as i64
}

impl Family {
    fn find(&self, name: &str) -> Option<&Unit> {
        let lower = name.to_lowercase();
        let name = if lower.len() > 2 {
            lower.strip_suffix('s').unwrap_or(&lower)
        } else {
            &lower
        };
        self.units.iter().find(|unit| unit.1.contains(&name))
    }

    fn convert(&self, value: i64, from: &str, to: &str) -> Option<(f64, &'static str)> {
        #[allow(clippy::cast_precision_loss)] // so does pprof
        let value = value as f64 * self.find(from)?.2;
        if matches!(to, "minimum" | "auto") {
            let mut best: Option<&Unit> = None;
            for unit in self.units {
                if unit.2 >= best.map_or(0.0, |best| best.2) && value / unit.2 >= 1.0 {
                    best = Some(unit);
                }
            }
            let (name, factor) = best.map_or(self.default, |unit| (unit.0, unit.2));
            return Some((value / factor, name));
        }
        let (name, factor) = self.find(to).map_or(self.default, |unit| (unit.0, unit.2));
        Some((value / factor, name))
    }
}

/// A value in another unit, and the name of that unit; the name is empty if it adds
/// nothing. `auto` and `minimum` select a readable one.
pub fn scale<'a>(value: i64, from: &str, to: &'a str) -> (f64, Cow<'a, str>) {
    // The lowest value has no positive counterpart.
    if value < 0 && value != i64::MIN {
        let (value, unit) = scale(-value, from, to);
        return (-value, unit);
    }
    for family in &FAMILIES {
        if let Some((value, unit)) = family.convert(value, from, to) {
            return (value, unit.into());
        }
    }
    #[allow(clippy::cast_precision_loss)] // so does pprof
    let value = value as f64;
    match to {
        "count" | "sample" | "unit" | "minimum" | "auto" => (value, "".into()),
        other => (value, other.into()),
    }
}

/// Formats `12.50MB`; `.00` is left out.
pub fn label(value: i64, from: &str, to: &str) -> String {
    let (value, unit) = scale(value, from, to);
    let text = format!("{value:.2}");
    let text = text.strip_suffix(".00").unwrap_or(&text);
    if matches!(text, "0" | "-0") {
        return "0".into();
    }
    format!("{text}{unit}")
}

/// Formats a change: like [`label`], with a sign for an increase too.
pub fn signed(value: i64, from: &str, to: &str) -> String {
    let sign = if value > 0 { "+" } else { "" };
    format!("{sign}{}", label(value, from, to))
}

/// Share of the total, six characters at least: `49.90%`, `0.012%`, `  100%`.
pub fn percentage(value: i64, total: i64) -> String {
    #[allow(clippy::cast_precision_loss)] // so does pprof
    let ratio = if total == 0 {
        0.0
    } else {
        (value as f64 / total as f64).abs() * 100.0
    };
    if (99.95..=100.05).contains(&ratio) {
        "  100%".into()
    } else if ratio >= 1.0 {
        format!("{ratio:5.2}%")
    } else {
        format!("{:>5}%", two_digits(ratio))
    }
}

/// Go's `%.2g` for values from 0 to 1.
fn two_digits(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let text = format!("{value:.1e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = digits.strip_suffix(".0").unwrap_or(digits);
    if exponent < -4 {
        return format!("{digits}e-{:02}", -exponent);
    }
    if exponent >= 0 {
        return digits.to_owned();
    }
    let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or(0));
    format!("0.{zeros}{}", digits.replace('.', ""))
}

/// Whether two units measure the same thing.
pub(crate) fn convertible(one: &str, other: &str) -> bool {
    one == other
        || FAMILIES
            .iter()
            .any(|family| family.find(one).is_some() && family.find(other).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Expected values are what `go tool pprof` prints.
    #[test]
    fn values_are_printed_as_pprof_prints_them() {
        assert_eq!(label(1_536, "bytes", "minimum"), "1.50kB");
        assert_eq!(label(-1_536, "bytes", "auto"), "-1.50kB");
        assert_eq!(label(10_000_000, "nanoseconds", "auto"), "10ms");
        assert_eq!(label(90_000_000_000, "nanoseconds", "s"), "90s");
        assert_eq!(label(7_200_000_000_000, "nanoseconds", "auto"), "2hrs");
        assert_eq!(label(12, "count", "auto"), "12");
        assert_eq!(label(12, "count", "count"), "12");
        assert_eq!(label(12, "foo", "bar"), "12bar");
        assert_eq!(label(512, "bytes", "MB"), "0");
        assert_eq!(label(1024, "bytes", "seconds"), "1024B");
        assert_eq!(label(i64::MIN, "bytes", "auto"), "-9223372036854775808B");
    }

    #[test]
    fn shares_keep_two_digits() {
        assert_eq!(percentage(1, 2), "50.00%");
        assert_eq!(percentage(-1, 2), "50.00%");
        assert_eq!(percentage(9_996, 10_000), "  100%");
        assert_eq!(percentage(1, 0), "    0%");
        assert_eq!(percentage(1, 200), "  0.5%");
        assert_eq!(percentage(123, 1_000_000), "0.012%");
        assert_eq!(percentage(1, 10_000_000), "1e-05%");
        assert_eq!(percentage(999, 100_000), "    1%");
        assert_eq!(percentage(3, 2), "150.00%");
    }
}

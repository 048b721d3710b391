//! Numbers as people read and write them.

use std::time::Duration;

/// Formats bytes as `1.3 GB`, in powers of ten as docker and registries do.
#[expect(clippy::cast_precision_loss, reason = "for display")]
pub fn human_size(bytes: u64) -> String {
    let mut number = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        // Avoid "1000.0": it belongs to the next unit.
        if number < 999.95 {
            return format!("{number:.1} {unit}").replace(".0 ", " ");
        }
        number /= 1000.0;
    }
    format!("{number:.1} TB")
}

/// Bytes of `40GB`, `1.293GB`, `100GiB`, `2G` or `512`: GB is 10^9 bytes, as docker
/// counts; GiB and G are 2^30. None if it is not a size.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: f64 = digits.trim().parse().ok().filter(|number| *number >= 0.0)?;
    let unit: f64 = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        "kib" | "k" => 1024.0,
        "mib" | "m" => 1_048_576.0,
        "gib" | "g" => 1_073_741_824.0,
        "tib" | "t" => 1_099_511_627_776.0,
        _ => return None,
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "no disk is that large, and the number is not negative"
    )]
    Some((number * unit).round() as u64)
}

/// Reads a size in MiB as talosctl takes it, a plain number, or a size with a unit.
pub fn parse_mib(text: &str) -> Option<u64> {
    let plain = text.parse().ok();
    plain.or_else(|| parse_size(text).map(|bytes| bytes >> 20))
}

/// `90s`, `10m`, `1h30m` as Go writes durations; a number alone is seconds.
///
/// # Errors
/// What clap prints when it is neither.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().map(Duration::from_secs);
    seconds
        .or_else(|| talos::duration(text))
        .ok_or_else(|| "a duration is written as `90s`, `10m` or `1h30m`".to_owned())
}

/// `3 days`, of seconds.
pub fn human_span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..=119 => (seconds, "second"),
        120..=7199 => (seconds / 60, "minute"),
        7200..=172_799 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

/// `2026-01-31 09:05:00` in the local time zone, of milliseconds since the epoch.
pub fn local_time(milliseconds: u64) -> String {
    let time = i64::try_from(milliseconds)
        .ok()
        .and_then(|milliseconds| jiff::Timestamp::from_millisecond(milliseconds).ok());
    time.map_or_else(String::new, |time| {
        time.to_zoned(jiff::tz::TimeZone::system())
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit_or_are_bytes() {
        for (text, size) in [
            ("0B", 0),
            ("2.5kB", 2500),
            ("1.293GB", 1_293_000_000),
            ("40GB", 40_000_000_000),
            ("1.5GiB", 1_610_612_736),
            ("7", 7),
            ("2G", 2_147_483_648),
            ("2 GiB", 2_147_483_648),
            ("2GB", 2_000_000_000),
        ] {
            assert_eq!(parse_size(text), Some(size));
        }
        for wrong in ["", "GB", "40 elephants", "-1GB", "N/A"] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations_are_gos_or_seconds() {
        assert_eq!(parse_duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_mins(90)));
        for wrong in ["", "5x", "-1", "-1s", "1.5", "99999999999999999999"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_have_a_unit() {
        assert_eq!(human_size(999), "999 B");
        assert_eq!(human_size(1_299_999_999), "1.3 GB");
        assert_eq!(human_size(40_000_000_000), "40 GB");
        assert_eq!(human_size(999_999), "1 MB");
        assert_eq!(human_span(1), "1 second");
        assert_eq!(human_span(259_200), "3 days");
    }
}

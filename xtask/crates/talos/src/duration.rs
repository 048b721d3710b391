//! Parses time spans as Go writes them.

use std::time::Duration;

/// Parses `text` like `time.ParseDuration`, without signs: `1h2m3.5s`, `0`. Returns
/// `None` where Go reports an error.
pub fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .filter(|digits| *digits > 0)?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..]
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .map_or(rest.len(), |length| digits + length);
        seconds += number
            * match &rest[digits..unit] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" | "μs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    (!text.is_empty())
        .then(|| Duration::try_from_secs_f64(seconds).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        assert_eq!(duration("1h2m3.5s"), Some(Duration::from_millis(3_723_500)));
        assert_eq!(duration("10m0s"), Some(Duration::from_mins(10)));
        assert_eq!(duration("0"), Some(Duration::ZERO));
        assert_eq!(duration("150ms"), Some(Duration::from_millis(150)));
        assert_eq!(duration("850.5µs"), Some(Duration::from_nanos(850_500)));
        assert_eq!(duration("3ns"), Some(Duration::from_nanos(3)));
        for bad in ["", "10", "m", "1x", "1..2s", "-1s", "1 s"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}

//! Numbers as people read them.

/// `1.3 GB`: powers of ten, as docker and registries count.
pub(crate) fn human_size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut unit = 0;
    let (mut whole, mut tenths) = (bytes, 0);
    while whole >= 1000 && unit + 1 < units.len() {
        tenths = whole % 1000 / 100;
        whole /= 1000;
        unit += 1;
    }
    if unit == 0 {
        format!("{whole} B")
    } else {
        format!("{whole}.{tenths} {}", units[unit])
    }
}

/// `3 days`, of seconds.
pub(crate) fn human_span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..=119 => (seconds, "second"),
        120..=7199 => (seconds / 60, "minute"),
        7200..=172_799 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_a_unit() {
        assert_eq!(human_size(999), "999 B");
        assert_eq!(human_size(1_299_999_999), "1.2 GB");
        assert_eq!(human_span(1), "1 second");
        assert_eq!(human_span(259_200), "3 days");
    }
}

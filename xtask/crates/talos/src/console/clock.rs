//! The time of a console's lines. Kernel and Talos stamp theirs with seconds since the kernel's start. In container mode Talos does
//! not print through the kernel: its lines have the date and the time of Go's `log` package.

use super::line::kernel_time;
use jiff::civil::DateTime;

/// A line with a time: seconds since the kernel's start, and the rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Stamped<'a> {
    Kernel(f64, &'a [u8]),
    /// What follows `[talos] 2026/11/30 12:55:47 `.
    Container(f64, &'a [u8]),
}

/// Reads the lines of one boot, in their order.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// Newest time.
    last: f64,
    /// The first date, and the newest time of the kernel by then.
    began: Option<(DateTime, f64)>,
}

impl Clock {
    pub(super) fn read<'a>(&mut self, line: &'a [u8]) -> Option<Stamped<'a>> {
        let stamped = if let Some((time, rest)) = kernel_time(line) {
            Stamped::Kernel(time, rest)
        } else {
            let (date, rest) = log_time(line)?;
            let (first, zero) = *self.began.get_or_insert((date, self.last));
            let passed = date.duration_since(first).as_secs_f64();
            // The node may set its clock.
            Stamped::Container((zero + passed).max(self.last), rest)
        };
        self.last = self.last.max(stamped.time());
        Some(stamped)
    }

    /// Newest time of all lines.
    pub(super) fn last(&self) -> f64 {
        self.last
    }
}

impl Stamped<'_> {
    pub(super) fn time(&self) -> f64 {
        match self {
            Self::Kernel(time, _) | Self::Container(time, _) => *time,
        }
    }
}

/// Splits `[talos] 2026/11/30 12:55:47 text`.
fn log_time(line: &[u8]) -> Option<(DateTime, &[u8])> {
    const FORM: &str = "%Y/%m/%d %H:%M:%S";
    let text = line.strip_prefix(b"[talos] ")?;
    let (date, rest) = text.split_at_checked("2026/11/30 12:55:47".len())?;
    let date = DateTime::strptime(FORM, std::str::from_utf8(date).ok()?).ok()?;
    Some((date, rest.strip_prefix(b" ")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_count_from_the_kernels_newest_time() {
        let mut clock = Clock::default();
        let mut read = |line: &'static str| clock.read(line.as_bytes());
        assert_eq!(read("[    7.500000] hi"), Some(Stamped::Kernel(7.5, b"hi")));
        assert_eq!(
            read("[talos] 2026/11/30 23:59:59 a b"),
            Some(Stamped::Container(7.5, b"a b"))
        );
        assert_eq!(
            read("[talos] 2026/12/01 00:00:01 c"),
            Some(Stamped::Container(9.5, b"c"))
        );
        assert_eq!(
            read("[talos] 2026/11/30 10:00:00 set back"),
            Some(Stamped::Container(9.5, b"set back"))
        );
        for none in [
            "[talos] hello",
            "[talos] 2026/13/30 10:00:00 no month",
            "[talos] 2026/11/30 10:00:00",
            "2026/11/30 10:00:00 another program's",
        ] {
            assert_eq!(read(none), None, "{none}");
        }
        assert!((clock.last() - 9.5).abs() < f64::EPSILON);
    }
}

//! The behaviour of values over time: growing, rising and falling, or still.

/// A fall by more than this share of the rise is that of a sawtooth.
const FALL: f64 = 0.3;

/// How a stack or a node behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trend {
    /// Never falls, and rises in most intervals.
    Steady,
    /// Higher at the end, with falls that are small beside the rise.
    Uneven,
    /// Rises and falls.
    Sawtooth,
    Still,
}

impl Trend {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Steady => "grows steadily",
            Self::Uneven => "grows unevenly",
            Self::Sawtooth => "sawtooth",
            Self::Still => "steady state",
        }
    }

    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Uneven => "uneven",
            Self::Sawtooth => "sawtooth",
            Self::Still => "still",
        }
    }

    /// A growth of at most `noise` counts as none.
    #[allow(clippy::cast_precision_loss)] // for a verdict
    pub(super) fn new(values: &[i64], noise: i64) -> Self {
        let (Some(first), Some(last)) = (values.first(), values.last()) else {
            return Self::Still;
        };
        let (mut peak, mut fall, mut up) = (*first, 0_i64, 0);
        for pair in values.windows(2) {
            up += usize::from(pair[1] > pair[0]);
            peak = peak.max(pair[1]);
            fall = fall.max(peak.saturating_sub(pair[1]));
        }
        let intervals = values.len() - 1;
        let grown = last.saturating_sub(*first);
        if grown > noise && fall == 0 && up * 3 >= intervals * 2 {
            return Self::Steady;
        }
        let lowest = values.iter().min().copied().unwrap_or(0);
        let height = peak.saturating_sub(lowest);
        if height <= noise {
            return Self::Still;
        }
        if (fall as f64) > height as f64 * FALL {
            Self::Sawtooth
        } else if grown > noise && up > 1 {
            Self::Uneven
        } else {
            Self::Still
        }
    }
}

/// Values over time on one node.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) node: String,
    /// Seconds since 1970, in order.
    pub(super) times: Vec<f64>,
    pub(super) values: Vec<i64>,
    pub(super) trend: Trend,
}

impl Course {
    pub(super) fn change(&self) -> i64 {
        let ends = self.values.first().zip(self.values.last());
        ends.map_or(0, |(first, last)| last.saturating_sub(*first))
    }

    /// Returns the slope of the best-fitting line.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // for people
    pub(super) fn per_minute(&self) -> i64 {
        let count = self.values.len() as f64;
        let begun = self.times.first().copied().unwrap_or(0.0);
        let points = self.times.iter().zip(&self.values);
        let points = points.map(|(time, value)| (time - begun, *value as f64));
        let mean_x = points.clone().map(|(x, _)| x).sum::<f64>() / count;
        let mean_y = points.clone().map(|(_, y)| y).sum::<f64>() / count;
        let over: f64 = points
            .clone()
            .map(|(x, y)| (x - mean_x) * (y - mean_y))
            .sum();
        let under: f64 = points.map(|(x, _)| (x - mean_x).powi(2)).sum();
        if under > 0.0 {
            (over / under * 60.0) as i64
        } else {
            0
        }
    }
}

/// A course as a line of blocks.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
pub(super) fn sparks(values: &[i64]) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let (low, high) = (values.iter().min(), values.iter().max());
    let (Some(low), Some(high)) = (low, high) else {
        return String::new();
    };
    let height = high.saturating_sub(*low).max(1) as f64;
    let step = values.len().div_ceil(40);
    let shown = values.iter().step_by(step);
    shown
        .map(|value| BLOCKS[(value.saturating_sub(*low) as f64 / height * 7.0).round() as usize])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steady_is_told_apart_from_sawtooth() {
        let trend = |values: &[i64]| Trend::new(values, 10);
        assert_eq!(trend(&[0, 20, 40, 60]), Trend::Steady);
        // Heap profiles change when garbage was collected: some rounds see none.
        assert_eq!(trend(&[0, 20, 20, 40, 60]), Trend::Steady);
        assert_eq!(trend(&[0, 90, 10, 95, 5, 99]), Trend::Sawtooth);
        assert_eq!(trend(&[0, 50, 45, 100]), Trend::Uneven);
        assert_eq!(trend(&[50, 50, 50]), Trend::Still);
        // One step is not a trend.
        assert_eq!(trend(&[0, 0, 90, 90]), Trend::Still);
        // Changes smaller than one sample.
        assert_eq!(trend(&[50, 53, 56, 59]), Trend::Still);
        assert_eq!(trend(&[100, 60, 30]), Trend::Sawtooth);
        assert_eq!(trend(&[]), Trend::Still);
    }

    #[test]
    fn the_slope_is_by_the_minute() {
        let course = Course {
            node: String::new(),
            times: vec![1e9, 1e9 + 30.0, 1e9 + 60.0],
            values: vec![5, 10, 15],
            trend: Trend::Steady,
        };
        assert_eq!(course.per_minute(), 10);
        assert_eq!(sparks(&course.values), "▁▅█");
    }
}

//! Tells the boots of a node apart, and finds missing serial numbers in each.

/// More boots than this are counted as the last one.
const MOST_BOOTS: usize = 1024;
/// More gaps than this are not told apart.
const MOST_RANGES: usize = 1 << 16;
/// Records of several CPUs are out of order by this much, in milliseconds.
const DISORDER: u64 = 1000;
/// A time before this is one of before the clock was set: 2001.
const CLOCK_SET: u64 = 1_000_000_000_000;

/// One node's boots.
#[derive(Debug, Default)]
pub(super) struct Boots {
    known: Vec<Boot>,
    current: Option<usize>,
    /// printk's time of the newest line of this input, in microseconds.
    since_start: Option<u64>,
    /// The boot that has ended by printk's time.
    ended: Option<usize>,
}

#[derive(Debug)]
struct Boot {
    /// Time and serial of the records with the lowest and the highest serial.
    first: (u64, u64),
    last: (u64, u64),
    /// Inclusive, in order, not adjacent.
    ranges: Vec<(u64, u64)>,
}

impl Boots {
    /// Another input may begin with any boot.
    pub(super) fn begin_input(&mut self) {
        self.current = None;
        self.since_start = None;
        self.ended = None;
    }

    pub(super) fn count(&self) -> usize {
        self.known.len()
    }

    /// Notes printk's time of a line: it restarts with each boot.
    pub(super) fn since_start(&mut self, micros: u64) {
        if self
            .since_start
            .is_some_and(|last| micros + 1_000_000 < last)
        {
            self.ended = self.current.take();
        }
        self.since_start = Some(micros);
    }

    /// Notes the time and the serial number of a record.
    pub(super) fn add(&mut self, millis: u64, serial: u64) {
        let current = self.current.and_then(|at| self.known.get_mut(at));
        if let Some(boot) = current
            && !boot.is_after(millis, serial)
        {
            boot.add(millis, serial);
            return;
        }
        // With a clock that is set, the times tell boots apart.
        let ended = self.ended.take().filter(|_| millis < CLOCK_SET);
        let mut boots = self.known.iter().enumerate();
        let fitting = boots.find(|(at, boot)| Some(*at) != ended && boot.fits(millis, serial));
        let at = match fitting.map(|(at, _)| at) {
            Some(at) => at,
            None if self.known.len() < MOST_BOOTS => {
                self.known.push(Boot::new(millis, serial));
                self.known.len() - 1
            }
            None => MOST_BOOTS - 1,
        };
        self.current = Some(at);
        self.known[at].add(millis, serial);
    }

    /// For each boot, the number of events before its first record, and the missing
    /// numbers within with the number of gaps.
    pub(super) fn missing(&self) -> impl Iterator<Item = Missing> {
        self.known.iter().map(|boot| {
            let gaps = boot.ranges.windows(2);
            let within = gaps.clone().map(|pair| pair[1].0 - pair[0].1 - 1).sum();
            Missing {
                before: boot
                    .ranges
                    .first()
                    .map_or(0, |range| range.0.saturating_sub(1)),
                within,
                gaps: gaps.len(),
            }
        })
    }
}

pub(super) struct Missing {
    pub(super) before: u64,
    pub(super) within: u64,
    pub(super) gaps: usize,
}

impl Boot {
    fn new(millis: u64, serial: u64) -> Self {
        Self {
            first: (millis, serial),
            last: (millis, serial),
            ranges: Vec::new(),
        }
    }

    /// Whether a record that follows this boot's in a log is of a later boot: its
    /// number starts again, at a later time or with a clock that is not set.
    fn is_after(&self, millis: u64, serial: u64) -> bool {
        if serial >= self.last.1 {
            return false;
        }
        let is_later = millis > self.last.0.saturating_add(DISORDER);
        let is_unset = millis < CLOCK_SET && self.first.0 >= CLOCK_SET;
        is_later || is_unset
    }

    /// Whether a record of another input can be of this boot: time and number grow
    /// together.
    fn fits(&self, millis: u64, serial: u64) -> bool {
        let late = millis.saturating_add(DISORDER) >= self.last.0;
        let early = millis <= self.first.0.saturating_add(DISORDER);
        if serial >= self.last.1 {
            return late;
        }
        if serial <= self.first.1 {
            return early;
        }
        millis.saturating_add(DISORDER) >= self.first.0
            && millis <= self.last.0.saturating_add(DISORDER)
    }

    fn add(&mut self, millis: u64, serial: u64) {
        if serial < self.first.1 {
            self.first = (millis, serial);
        }
        if serial >= self.last.1 {
            self.last = (millis, serial);
        }
        if let Some(range) = self.ranges.last_mut() {
            if serial == range.1 + 1 {
                range.1 = serial;
                return;
            }
            if (range.0..=range.1).contains(&serial) {
                return;
            }
        }
        let at = self.ranges.partition_point(|range| range.1 < serial);
        if self.ranges.get(at).is_some_and(|range| range.0 <= serial) {
            return;
        }
        let joins_before = at > 0 && self.ranges[at - 1].1 + 1 == serial;
        let joins_after = self
            .ranges
            .get(at)
            .is_some_and(|range| range.0 == serial + 1);
        match (joins_before, joins_after) {
            (true, true) => {
                self.ranges[at - 1].1 = self.ranges[at].1;
                self.ranges.remove(at);
            }
            (true, false) => self.ranges[at - 1].1 = serial,
            (false, true) => self.ranges[at].0 = serial,
            (false, false) if self.ranges.len() < MOST_RANGES => {
                self.ranges.insert(at, (serial, serial));
            }
            (false, false) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_791_000_000_000;

    fn boots(records: &[(u64, u64)]) -> Vec<(u64, u64, usize)> {
        let mut boots = Boots::default();
        for (millis, serial) in records {
            boots.add(*millis, *serial);
        }
        boots
            .missing()
            .map(|it| (it.before, it.within, it.gaps))
            .collect()
    }

    #[test]
    fn gaps_are_found_in_any_order() {
        assert_eq!(
            boots(&[(NOW, 501), (NOW, 502), (NOW + 9, 511)]),
            [(500, 8, 1)]
        );
        let shuffled: Vec<(u64, u64)> = [4, 1, 3, 9, 2, 8, 2].map(|n| (NOW + n, n)).into();
        assert_eq!(boots(&shuffled), [(0, 3, 1)]);
    }

    #[test]
    fn a_boot_starts_with_a_lower_number_at_a_later_time_or_without_a_clock() {
        let hour = NOW + 3_600_000;
        assert_eq!(
            boots(&[(NOW, 90), (NOW, 91), (hour, 3), (hour, 4)]).len(),
            2
        );
        assert_eq!(boots(&[(NOW, 90), (3_327, 3), (NOW + 20_000, 40)]).len(), 2);
        assert_eq!(boots(&[(3_327, 3), (NOW, 40)]).len(), 1);
        assert_eq!(boots(&[(NOW + 5, 90), (NOW, 88), (NOW + 8, 89)]).len(), 1);
    }

    #[test]
    fn a_second_channel_finds_the_boots_of_the_first() {
        let hour = NOW + 3_600_000;
        let mut boots = Boots::default();
        for _ in 0..2 {
            boots.begin_input();
            for (millis, serial) in [(NOW, 90), (NOW, 91), (hour, 3), (hour, 4)] {
                boots.add(millis, serial);
            }
        }
        assert_eq!(boots.count(), 2);
    }

    #[test]
    fn printk_time_restarts_with_a_boot() {
        let mut boots = Boots::default();
        boots.since_start(40_000_000);
        boots.add(3_327, 3);
        boots.since_start(3_000_000);
        boots.add(3_000, 3);
        assert_eq!(boots.count(), 2);
    }
}

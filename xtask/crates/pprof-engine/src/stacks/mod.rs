//! The weighed samples of a query: equal stacks are summed before their frames
//! are looked at, since labels make many samples of few stacks. If stacks do
//! not repeat, samples are read one by one and nothing is kept.

mod walk;

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::distinct::{Distinct, Stack};
use crate::error::Result;
use crate::labelsets::PerLabels;
use crate::merge::BASE_LABEL;
use crate::profile::{Label, Profile, Sample, Samples, Span};
use crate::samples::RawLabels;
use crate::table::Table;
use crate::view::View;

/// How the values of a sample are weighed.
#[derive(Debug, Clone, Copy)]
pub struct Weighing {
    /// Index of the value.
    pub value: usize,
    /// Divide by the first value.
    pub mean: bool,
    /// Leave out of the total what the filters drop.
    pub relative: bool,
}

/// Weighed stacks of a profile.
#[derive(Debug)]
pub struct Stacks<'p> {
    profile: &'p Profile,
    view: &'p View,
    weighing: Weighing,
    /// `None` if stacks do not repeat.
    distinct: Option<Vec<Stack>>,
    /// Whether there may be samples of a base.
    pub(crate) marks_base: bool,
    pub total: i64,
    /// Whether any value is below zero.
    pub(crate) negative: bool,
}

/// A sample before its frames are looked at.
struct Light {
    /// None if the stack is not contiguous.
    span: Option<Span>,
    weight: i64,
    divisor: i64,
    is_base: bool,
}

/// The results that depend on labels.
#[derive(Clone, Copy)]
struct Judged {
    kept: bool,
    is_base: bool,
}

impl<'p> Stacks<'p> {
    /// Before anything is summed.
    fn empty(profile: &'p Profile, view: &'p View, weighing: Weighing) -> Self {
        Self {
            profile,
            view,
            weighing,
            distinct: None,
            marks_base: profile.marks_base(),
            total: 0,
            negative: false,
        }
    }

    /// # Errors
    /// Malformed samples.
    pub fn weigh(profile: &'p Profile, view: &'p View, weighing: Weighing) -> Result<Self> {
        let mut stacks = Self::empty(profile, view, weighing);
        let repeats = repeats(profile)?;
        let parts = in_parts(profile.sample_count(), |range| stacks.scan(range, repeats))?;
        let mut totals = Totals::default();
        let mut distinct: Option<Distinct> = None;
        let mut all = true;
        for (sums, part) in parts {
            totals.absorb(&sums);
            match (part, &mut distinct) {
                (Some(part), None) => distinct = Some(part),
                (Some(part), Some(distinct)) => distinct.absorb(profile, part),
                (None, _) => all = false,
            }
        }
        stacks.total = totals.total();
        stacks.negative = totals.is_negative();
        stacks.distinct = distinct.filter(|_| all).map(|of| of.stacks);
        if weighing.relative && !view.is_plain() {
            stacks.total = stacks.relative_total()?;
        }
        Ok(stacks)
    }

    /// Sums a part, and collects its stacks if they repeat.
    fn scan(&self, range: Range<usize>, repeats: bool) -> Result<(Totals, Option<Distinct>)> {
        if let Samples::Table(table) = &self.profile.samples
            && repeats
            && !self.asks_labels()
        {
            return Ok(self.scan_table(table, range));
        }
        let mut totals = Totals::default();
        let room = range.len().min(SEQUENTIAL);
        let mut distinct = repeats.then(|| Distinct::new(self.profile, room));
        self.each_sample(range, |index, light, kept| {
            if kept || !self.weighing.relative {
                totals.add(light.weight, light.divisor, light.is_base);
            }
            if !kept || (light.weight == 0 && light.divisor == 0) {
                return;
            }
            let Some(span) = light.span else {
                distinct = None;
                return;
            };
            if let Some(distinct) = &mut distinct {
                let stack = Stack {
                    span,
                    weight: light.weight,
                    divisor: light.divisor,
                };
                distinct.add(self.profile, index, stack);
            }
        })?;
        Ok((totals, distinct))
    }

    /// The same for samples that are numbers already.
    fn scan_table(&self, table: &Table, range: Range<usize>) -> (Totals, Option<Distinct>) {
        let Weighing { value, mean, .. } = self.weighing;
        let mut totals = Totals::default();
        let mut distinct = Distinct::new(self.profile, 0);
        let places = &table.places[range.clone()];
        let values = &table.values[range.start * table.width..range.end * table.width];
        for (place, values) in places.iter().zip(values.chunks_exact(table.width)) {
            let (weight, divisor) = (values[value], if mean { values[0] } else { 0 });
            totals.add(weight, divisor, false);
            if weight != 0 || divisor != 0 {
                distinct.add_of_table(table, *place, weight, divisor);
            }
        }
        (totals, Some(distinct))
    }

    fn asks_labels(&self) -> bool {
        self.view.needs_labels() || self.marks_base
    }

    fn judge(&self, labels: &[Label]) -> Judged {
        let profile = self.profile;
        Judged {
            kept: self.view.keeps_labels(profile, labels),
            is_base: labels.iter().any(|label| {
                profile.text_bytes(label.key) == BASE_LABEL.as_bytes()
                    && profile.text_bytes(label.str) == b"true"
            }),
        }
    }

    /// Returns the total of what name filters keep, for which frames must be
    /// looked at.
    fn relative_total(&self) -> Result<i64> {
        let mut totals = Totals::default();
        let (mut sample, mut stack) = (Sample::default(), Vec::new());
        for index in 0..self.profile.sample_count() {
            self.profile.sample(index, &mut sample)?;
            stack.clone_from(&sample.locations);
            let judged = self.judge(&sample.labels);
            if judged.kept && self.view.keeps_stack(&mut stack) {
                let divisor = if self.weighing.mean {
                    sample.values[0]
                } else {
                    0
                };
                let is_base = self.marks_base && judged.is_base;
                totals.add(sample.values[self.weighing.value], divisor, is_base);
            }
        }
        Ok(totals.total())
    }

    /// Labels are skipped if the query does not need them.
    #[inline]
    fn each_sample(
        &self,
        range: Range<usize>,
        mut each: impl FnMut(usize, &Light, bool),
    ) -> Result<()> {
        let Weighing { value, mean, .. } = self.weighing;
        let asks = self.asks_labels();
        let mut judgements = PerLabels::default();
        for index in range {
            let (mut weight, mut first) = (0, 0);
            let raw = self.profile.raw(index, |place, of| {
                if place == value {
                    weight = of;
                }
                if place == 0 {
                    first = of;
                }
            })?;
            let mut judged = Judged {
                kept: true,
                is_base: false,
            };
            if asks {
                judged =
                    judgements.get(self.profile, index, raw.labels, |labels| self.judge(labels))?;
            }
            let light = Light {
                span: raw.stack,
                weight,
                divisor: if mean { first } else { 0 },
                is_base: judged.is_base,
            };
            each(index, &light, judged.kept);
        }
        Ok(())
    }
}

/// The sums that percentages refer to: of all samples, and of the base of a difference.
#[derive(Default)]
struct Totals {
    all: [i64; 2],
    base: [i64; 2],
    /// Whether any value is below zero.
    negative: bool,
}

impl Totals {
    fn add(&mut self, weight: i64, divisor: i64, is_base: bool) {
        let size = weight.wrapping_abs();
        self.negative |= weight < 0;
        self.all[0] = self.all[0].wrapping_add(size);
        self.all[1] = self.all[1].wrapping_add(divisor);
        if is_base {
            self.base[0] = self.base[0].wrapping_add(size);
            self.base[1] = self.base[1].wrapping_add(divisor);
        }
    }

    fn absorb(&mut self, other: &Self) {
        self.negative |= other.negative;
        for (sum, of) in [(&mut self.all, other.all), (&mut self.base, other.base)] {
            *sum = [sum[0].wrapping_add(of[0]), sum[1].wrapping_add(of[1])];
        }
    }

    fn is_negative(&self) -> bool {
        self.negative
    }

    fn total(&self) -> i64 {
        let [total, divisor] = if self.base[0] > 0 {
            self.base
        } else {
            self.all
        };
        if divisor == 0 {
            return total;
        }
        total.wrapping_div(divisor)
    }
}

/// Up to this number of samples equal stacks are always summed.
const FEW_SAMPLES: usize = 1 << 13;

/// Whether there may be far fewer stacks than samples: then equal stacks are summed
/// first, and where they do not repeat, looking for them costs more than it spares.
/// Writers of profiles sum equal samples, so only labels make equal stacks repeat.
///
/// # Errors
/// Malformed samples.
pub(crate) fn repeats(profile: &Profile) -> Result<bool> {
    let count = profile.sample_count();
    if let Samples::Table(table) = &profile.samples {
        return Ok(table.stacks.len() <= count / 2);
    }
    if count <= FEW_SAMPLES {
        return Ok(true);
    }
    Ok(match profile.raw(0, |_, _| {})?.labels {
        RawLabels::Wire(span) => span.len > 0,
        RawLabels::Set(_) | RawLabels::Apart => true,
    })
}

/// Up to this number of samples one thread does all the work.
const SEQUENTIAL: usize = 1 << 14;

/// Runs `work` on ranges that together are `0..count`: one range per core, or one
/// range on this thread for few samples. Results are in the order of the ranges.
fn in_parts<S: Send>(
    count: usize,
    work: impl Fn(Range<usize>) -> Result<S> + Sync,
) -> Result<Vec<S>> {
    let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get().min(8));
    let parts = if count <= SEQUENTIAL { 1 } else { cores() };
    let done: Vec<Mutex<Option<Result<S>>>> = (0..parts).map(|_| Mutex::new(None)).collect();
    at_once(parts, &|part| {
        let stretch = count * part / parts..count * (part + 1) / parts;
        let result = work(stretch);
        *done[part].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    });
    let done = done.into_iter();
    done.filter_map(|part| part.into_inner().unwrap_or_else(PoisonError::into_inner))
        .collect()
}

/// Not generic, so that it is compiled once.
fn at_once(parts: usize, work: &(dyn Fn(usize) + Sync)) {
    std::thread::scope(|scope| {
        for part in 1..parts {
            scope.spawn(move || work(part));
        }
        work(0);
    });
}

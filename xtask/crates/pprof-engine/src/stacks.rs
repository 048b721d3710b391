//! The samples of a question, weighed: equal stacks are summed before their
//! frames are looked at, since labels make many samples of few stacks. Where
//! stacks do not repeat, samples are read one by one and nothing is kept.

mod repeats;
mod totals;

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::distinct::{Distinct, Stack};
use crate::error::Result;
use crate::labelsets::PerLabels;
use crate::merge::BASE_LABEL;
use crate::profile::{Label, Profile, Sample, Samples, Span};
use crate::table::Table;
use crate::view::View;
pub(crate) use repeats::repeats;
use totals::Totals;

/// Fewer are worked on at once.
const FEW: usize = 1 << 14;

/// What a sample counts in a question.
#[derive(Debug, Clone, Copy)]
pub struct Weighing {
    /// Place of the value.
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
    /// None where stacks do not repeat.
    distinct: Option<Vec<Stack>>,
    /// Whether there may be samples of a base.
    pub(crate) marks_base: bool,
    pub total: i64,
    /// Whether any value is below zero.
    pub(crate) negative: bool,
}

/// One sample before its frames are looked at.
struct Light {
    /// None where the stack does not stand together.
    span: Option<Span>,
    weight: i64,
    divisor: i64,
    is_base: bool,
}

/// Who is told of each stack.
struct Asking<'a>(&'a mut dyn FnMut(&[u32], i64));

/// What is asked of labels.
#[derive(Clone, Copy)]
struct Judged {
    kept: bool,
    is_base: bool,
}

impl<'p> Stacks<'p> {
    /// # Errors
    /// Malformed samples.
    pub fn of(profile: &'p Profile, view: &'p View, weighing: Weighing) -> Result<Self> {
        let mut stacks = Self {
            profile,
            view,
            weighing,
            distinct: None,
            marks_base: profile.marks_base(),
            total: 0,
            negative: false,
        };
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

    /// Sums and, if they repeat, stacks of a part.
    fn scan(&self, range: Range<usize>, repeats: bool) -> Result<(Totals, Option<Distinct>)> {
        if let Samples::Table(table) = &self.profile.samples
            && repeats
            && !self.asks_labels()
        {
            return Ok(self.scan_table(table, range));
        }
        let mut totals = Totals::default();
        let room = range.len().min(FEW);
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

    /// The same of samples that are numbers already.
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

    /// The total of what name filters leave: frames must be looked at.
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

    /// Labels are stepped over where no question is about them.
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

    /// As `of` and then `fold`, at once where stacks do not repeat.
    ///
    /// # Errors
    /// Malformed samples.
    pub(crate) fn of_and_fold<S: Send>(
        profile: &'p Profile,
        view: &'p View,
        weighing: Weighing,
        start: impl Fn() -> S + Sync,
        each: impl Fn(&mut S, &[u32], i64, i64) + Sync,
    ) -> Result<(Self, Vec<S>)> {
        let relative = weighing.relative && !view.is_plain();
        if relative || repeats(profile)? {
            let stacks = Self::of(profile, view, weighing)?;
            let parts = stacks.fold(start, each)?;
            return Ok((stacks, parts));
        }
        let mut stacks = Self {
            profile,
            view,
            weighing,
            distinct: None,
            marks_base: profile.marks_base(),
            total: 0,
            negative: false,
        };
        let parts = in_parts(profile.sample_count(), |range| {
            let (mut totals, mut state) = (Totals::default(), start());
            stacks.walk(range, &mut totals, &mut state, &each)?;
            Ok((totals, state))
        })?;
        let mut totals = Totals::default();
        let states = parts.into_iter().map(|(part, state)| {
            totals.absorb(&part);
            state
        });
        let states = states.collect();
        stacks.total = totals.total();
        stacks.negative = totals.is_negative();
        Ok((stacks, states))
    }

    /// Ask every stack that the filters leave, leaf first, with weight and
    /// divisor. Many stacks are asked in parts at once: each part has a
    /// `start` of its own, and gives it back to be summed by the caller.
    ///
    /// # Errors
    /// Malformed samples.
    pub(crate) fn fold<S: Send>(
        &self,
        start: impl Fn() -> S + Sync,
        each: impl Fn(&mut S, &[u32], i64, i64) + Sync,
    ) -> Result<Vec<S>> {
        let distinct = self.distinct.as_ref().map(Vec::len);
        let count = distinct.unwrap_or(self.profile.sample_count());
        in_parts(count, |range| {
            let mut state = start();
            match &self.distinct {
                Some(distinct) => self.walk_distinct(&distinct[range], &mut state, &each)?,
                None => self.walk(range, &mut Totals::default(), &mut state, &each)?,
            }
            Ok(state)
        })
    }

    /// Ask every stack that the filters leave, one after the other: leaf
    /// first, with its weight.
    ///
    /// # Errors
    /// Malformed samples.
    pub fn each(&self, each: &mut dyn FnMut(&[u32], i64)) -> Result<()> {
        // The caller's own is what each part is given elsewhere.
        let mut of = Asking(each);
        let tell = |of: &mut Asking<'_>, locations: &[u32], weight, _| of.0(locations, weight);
        if let Some(distinct) = &self.distinct {
            return self.walk_distinct(distinct, &mut of, &tell);
        }
        let all = 0..self.profile.sample_count();
        self.walk(all, &mut Totals::default(), &mut of, &tell)
    }

    fn walk_distinct<S>(
        &self,
        distinct: &[Stack],
        state: &mut S,
        each: &impl Fn(&mut S, &[u32], i64, i64),
    ) -> Result<()> {
        let mut locations = Vec::new();
        let plain = self.view.is_plain();
        for stack in distinct {
            locations.clear();
            self.profile.push_locations(stack.span, &mut locations)?;
            if plain || self.view.keeps_stack(&mut locations) {
                each(state, &locations, stack.weight, stack.divisor);
            }
        }
        Ok(())
    }

    fn walk<S>(
        &self,
        range: Range<usize>,
        totals: &mut Totals,
        state: &mut S,
        each: &impl Fn(&mut S, &[u32], i64, i64),
    ) -> Result<()> {
        let plain = self.view.is_plain();
        let (mut sample, mut locations) = (Sample::default(), Vec::new());
        let mut failed = Ok(());
        self.each_sample(range, |index, light, kept| {
            if kept || !self.weighing.relative {
                totals.add(light.weight, light.divisor, light.is_base);
            }
            if !kept || (light.weight == 0 && light.divisor == 0) || failed.is_err() {
                return;
            }
            locations.clear();
            failed = match light.span {
                Some(span) => self.profile.push_locations(span, &mut locations),
                None => self.profile.sample(index, &mut sample).map(|()| {
                    locations.extend_from_slice(&sample.locations);
                }),
            };
            if failed.is_ok() && (plain || self.view.keeps_stack(&mut locations)) {
                each(state, &locations, light.weight, light.divisor);
            }
        })?;
        failed
    }
}

/// Many are worked on by all cores, each on a stretch; few by this one.
fn in_parts<S: Send>(
    count: usize,
    work: impl Fn(Range<usize>) -> Result<S> + Sync,
) -> Result<Vec<S>> {
    let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get().min(8));
    let parts = if count <= FEW { 1 } else { cores() };
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

/// Of any work, so that it is compiled once.
fn at_once(parts: usize, work: &(dyn Fn(usize) + Sync)) {
    std::thread::scope(|scope| {
        for part in 1..parts {
            scope.spawn(move || work(part));
        }
        work(0);
    });
}

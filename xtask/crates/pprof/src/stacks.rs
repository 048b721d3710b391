//! The samples of a question, weighed: equal stacks are summed before their
//! frames are looked at, since labels make many samples of few stacks. Where
//! stacks do not repeat, samples are read one by one and nothing is kept.

use hashbrown::HashTable;
use rustc_hash::FxHasher;
use std::hash::Hasher;
use std::ops::Range;
use std::panic::resume_unwind;

use crate::error::Result;
use crate::merge::BASE_LABEL;
use crate::profile::{Profile, Sample, Samples, Span};
use crate::view::View;
use crate::wire::{Field, Reader, signed};

/// Samples after which repetition is judged.
const TRIAL: usize = 1 << 16;

/// What a sample counts in a question.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weighing {
    /// Place of the value.
    pub(crate) value: usize,
    /// Divide by the first value.
    pub(crate) mean: bool,
    /// Leave out of the total what the filters drop.
    pub(crate) relative: bool,
}

/// A stack that occurs.
#[derive(Debug, Clone, Copy)]
struct Stack {
    span: Span,
    weight: i64,
    divisor: i64,
}

/// Weighed stacks of a profile.
#[derive(Debug)]
pub(crate) struct Stacks<'p> {
    profile: &'p Profile,
    view: &'p View,
    weighing: Weighing,
    /// Distinct stacks; none where they do not repeat.
    distinct: Option<Vec<Stack>>,
    pub(crate) total: i64,
}

/// Sums for the total: everything, and what a difference's base has.
#[derive(Default)]
struct Totals {
    all: [i64; 2],
    base: [i64; 2],
}

impl Totals {
    fn add(&mut self, weight: i64, divisor: i64, is_base: bool) {
        let size = weight.wrapping_abs();
        self.all[0] = self.all[0].wrapping_add(size);
        self.all[1] = self.all[1].wrapping_add(divisor);
        if is_base {
            self.base[0] = self.base[0].wrapping_add(size);
            self.base[1] = self.base[1].wrapping_add(divisor);
        }
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

/// One sample before its frames are looked at.
struct Light {
    span: Option<Span>,
    weight: i64,
    divisor: i64,
}

impl<'p> Stacks<'p> {
    /// # Errors
    /// Malformed samples.
    pub(crate) fn of(profile: &'p Profile, view: &'p View, weighing: Weighing) -> Result<Self> {
        let mut stacks = Self {
            profile,
            view,
            weighing,
            distinct: None,
            total: 0,
        };
        let mut totals = Totals::default();
        let room = profile.sample_count().min(TRIAL);
        let mut table = Some((HashTable::with_capacity(room), Vec::with_capacity(room)));
        let base = stacks.base_sets();
        let all = 0..profile.sample_count();
        stacks.each_sample(all, |index, light, kept| {
            let is_base = base.as_ref().is_some_and(|base| base(index));
            if kept || !weighing.relative {
                totals.add(light.weight, light.divisor, is_base);
            }
            if !kept || (light.weight == 0 && light.divisor == 0) {
                return;
            }
            let Some((places, distinct)) = &mut table else {
                return;
            };
            match light.span {
                Some(span) => remember(profile, places, distinct, span, light),
                // Not packed in one piece: nobody writes so, so no haste.
                None => table = None,
            }
            if index == TRIAL
                && let Some((_, distinct)) = &table
                && distinct.len() > TRIAL / 2
            {
                table = None;
            }
        })?;
        stacks.total = totals.total();
        stacks.distinct = table.map(|(_, distinct)| distinct);
        if weighing.relative && !view.is_plain() {
            stacks.total = stacks.relative_total()?;
        }
        Ok(stacks)
    }

    /// Whether a sample is marked as the base's; none where none can be.
    fn base_sets(&self) -> Option<impl Fn(usize) -> bool + use<'p>> {
        let Samples::Table(table) = &self.profile.samples else {
            return None;
        };
        let profile = self.profile;
        let is_base: Vec<bool> = table
            .label_sets
            .iter()
            .map(|set| {
                set.iter().any(|label| {
                    profile.text_bytes(label.key) == BASE_LABEL.as_bytes()
                        && profile.text_bytes(label.str) == b"true"
                })
            })
            .collect();
        Some(move |index: usize| is_base[table.labels[index] as usize])
    }

    /// The total of what name filters leave: frames must be looked at.
    fn relative_total(&self) -> Result<i64> {
        let base = self.base_sets();
        let mut totals = Totals::default();
        let (mut sample, mut stack) = (Sample::default(), Vec::new());
        for index in 0..self.profile.sample_count() {
            self.profile.sample(index, &mut sample)?;
            stack.clone_from(&sample.locations);
            if self.view.keeps_labels(self.profile, &sample.labels)
                && self.view.keeps_stack(&mut stack)
            {
                let divisor = if self.weighing.mean {
                    sample.values[0]
                } else {
                    0
                };
                let is_base = base.as_ref().is_some_and(|base| base(index));
                totals.add(sample.values[self.weighing.value], divisor, is_base);
            }
        }
        Ok(totals.total())
    }

    fn each_sample(
        &self,
        range: Range<usize>,
        mut each: impl FnMut(usize, &Light, bool),
    ) -> Result<()> {
        let mut sample = Sample::default();
        let needs_labels = self.view.needs_labels();
        for index in range {
            let light = self.light(index)?;
            let kept = if needs_labels {
                self.profile.sample(index, &mut sample)?;
                self.view.keeps_labels(self.profile, &sample.labels)
            } else {
                true
            };
            each(index, &light, kept);
        }
        Ok(())
    }

    /// A sample's values, and where its stack is; labels are stepped over.
    fn light(&self, index: usize) -> Result<Light> {
        let weighing = self.weighing;
        let spans = match &self.profile.samples {
            Samples::Wire(spans) => spans,
            Samples::Table(table) => {
                let values = table.values(index);
                return Ok(Light {
                    span: Some(table.stack(index)),
                    weight: values[weighing.value],
                    divisor: if weighing.mean { values[0] } else { 0 },
                });
            }
        };
        let span = spans[index];
        let bytes = &self.profile.bytes;
        let mut reader = Reader::new(bytes, span.start as usize, span.end());
        let (mut stack, mut pieces, mut values) = (Span::new(0, 0), 0, 0);
        let (mut weight, mut first) = (0, 0);
        let mut value = |value: u64| {
            if values == weighing.value {
                weight = signed(value);
            }
            if values == 0 {
                first = signed(value);
            }
            values += 1;
        };
        while let Some(field) = reader.field()? {
            match field {
                Field::Bytes(1, start, end) => {
                    stack = Span::new(start, end);
                    pieces += 1;
                }
                // Unpacked: no stretch of bytes is the stack.
                Field::Varint(1, _) => pieces += 2,
                Field::Varint(2, _) | Field::Bytes(2, ..) => {
                    crate::wire::numbers(bytes, field, &mut value)?;
                }
                _ => {}
            }
        }
        self.profile.check_values(values, span)?;
        Ok(Light {
            span: (pieces < 2).then_some(stack),
            weight,
            divisor: if weighing.mean { first } else { 0 },
        })
    }

    /// Ask every stack that the filters leave, leaf first, with weight and
    /// divisor. Many samples are asked in parts at once: each part has a
    /// `start` of its own, and gives it back to be summed by the caller.
    ///
    /// # Errors
    /// Malformed samples.
    pub(crate) fn fold<S: Send>(
        &self,
        start: impl Fn() -> S + Sync,
        each: impl Fn(&mut S, &[u32], i64, i64) + Sync,
    ) -> Result<Vec<S>> {
        let count = self.profile.sample_count();
        let parts = if self.distinct.is_some() || count < TRIAL {
            1
        } else {
            std::thread::available_parallelism().map_or(1, |cores| cores.get().min(8))
        };
        if parts == 1 {
            return Ok(vec![self.fold_part(0..count, &start, &each)?]);
        }
        let (start, each) = (&start, &each);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..parts)
                .map(|part| {
                    let range = count * part / parts..count * (part + 1) / parts;
                    scope.spawn(move || self.fold_part(range, start, each))
                })
                .collect();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)))
                .collect()
        })
    }

    fn fold_part<S>(
        &self,
        range: Range<usize>,
        start: &impl Fn() -> S,
        each: &impl Fn(&mut S, &[u32], i64, i64),
    ) -> Result<S> {
        let mut state = start();
        let mut locations = Vec::new();
        let plain = self.view.is_plain();
        if let Some(distinct) = &self.distinct {
            for stack in distinct {
                locations.clear();
                let (start, end) = (stack.span.start as usize, stack.span.end());
                self.profile.push_locations(start, end, &mut locations)?;
                if plain || self.view.keeps_stack(&mut locations) {
                    each(&mut state, &locations, stack.weight, stack.divisor);
                }
            }
            return Ok(state);
        }
        let mut failed = Ok(());
        let mut sample = Sample::default();
        self.each_sample(range, |index, light, kept| {
            if !kept || (light.weight == 0 && light.divisor == 0) || failed.is_err() {
                return;
            }
            locations.clear();
            failed = match light.span {
                Some(span) => {
                    let (start, end) = (span.start as usize, span.end());
                    self.profile.push_locations(start, end, &mut locations)
                }
                None => self.profile.sample(index, &mut sample).map(|()| {
                    locations.extend_from_slice(&sample.locations);
                }),
            };
            if failed.is_ok() && (plain || self.view.keeps_stack(&mut locations)) {
                each(&mut state, &locations, light.weight, light.divisor);
            }
        })?;
        failed.map(|()| state)
    }
}

fn remember(
    profile: &Profile,
    places: &mut HashTable<u32>,
    distinct: &mut Vec<Stack>,
    span: Span,
    light: &Light,
) {
    let bytes = |span: Span| &profile.bytes[span.start as usize..span.end()];
    let hash = |span: Span| {
        let mut hasher = FxHasher::default();
        hasher.write(bytes(span));
        hasher.finish()
    };
    let key = hash(span);
    let same = |&place: &u32| bytes(distinct[place as usize].span) == bytes(span);
    if let Some(&place) = places.find(key, same) {
        let stack = &mut distinct[place as usize];
        stack.weight = stack.weight.wrapping_add(light.weight);
        stack.divisor = stack.divisor.wrapping_add(light.divisor);
        return;
    }
    let place = u32::try_from(distinct.len()).unwrap_or(u32::MAX);
    distinct.push(Stack {
        span,
        weight: light.weight,
        divisor: light.divisor,
    });
    places.insert_unique(key, place, |&place| hash(distinct[place as usize].span));
}

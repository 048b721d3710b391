//! Walks through every stack of a query, one after the other or in parallel
//! parts.

use std::ops::Range;

use super::{Stacks, Totals, Weighing, in_parts, repeats};
use crate::distinct::Stack;
use crate::error::Result;
use crate::profile::{Profile, Sample};
use crate::view::View;

/// The caller's function, as the state of a walk.
struct Asking<'a>(&'a mut dyn FnMut(&[u32], i64));

impl<'p> Stacks<'p> {
    /// Like `weigh` and then `fold`, in one pass where stacks do not repeat.
    ///
    /// # Errors
    /// Malformed samples.
    pub(crate) fn weigh_and_fold<S: Send>(
        profile: &'p Profile,
        view: &'p View,
        weighing: Weighing,
        start: impl Fn() -> S + Sync,
        each: impl Fn(&mut S, &[u32], i64, i64) + Sync,
    ) -> Result<(Self, Vec<S>)> {
        let relative = weighing.relative && !view.is_plain();
        if relative || repeats(profile)? {
            let stacks = Self::weigh(profile, view, weighing)?;
            let parts = stacks.fold(start, each)?;
            return Ok((stacks, parts));
        }
        let mut stacks = Self::empty(profile, view, weighing);
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

    /// Passes every stack that the filters keep to `each`, leaf first, with weight and
    /// divisor. Many stacks are processed in parallel parts: each part has its own
    /// `start` state, and the caller combines the results.
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

    /// Passes every stack that the filters keep to `each`, one after the other:
    /// leaf first, with its weight.
    ///
    /// # Errors
    /// Malformed samples.
    pub fn each(&self, each: &mut dyn FnMut(&[u32], i64)) -> Result<()> {
        // The caller's function takes the place of a part's state.
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

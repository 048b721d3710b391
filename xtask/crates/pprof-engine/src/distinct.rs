//! Distinct stacks, with their weights in a query.

use crate::profile::{Profile, Samples, Span};
use crate::stretch::Stretches;
use crate::table::Table;

/// A stack that occurs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stack {
    pub(crate) span: Span,
    pub(crate) weight: i64,
    pub(crate) divisor: i64,
}

/// Distinct stacks of a part of a profile.
#[derive(Debug)]
pub(crate) struct Distinct {
    places: Places,
    pub(crate) stacks: Vec<Stack>,
}

/// The index of each stack in the list.
#[derive(Debug)]
enum Places {
    /// By its place in the profile's own table.
    Table(Vec<u32>),
    /// By its bytes.
    Wire(Stretches),
}

const NONE: u32 = u32::MAX;

impl Distinct {
    /// `room` is the expected number.
    pub(crate) fn new(profile: &Profile, room: usize) -> Self {
        let (places, room) = match &profile.samples {
            Samples::Table(table) => (Places::Table(vec![NONE; table.stacks.len()]), 0),
            Samples::Wire(_) => (Places::Wire(Stretches::with_capacity(room)), room),
        };
        Self {
            places,
            stacks: Vec::with_capacity(room),
        }
    }

    /// Counts a sample's stack.
    #[inline]
    pub(crate) fn add(&mut self, profile: &Profile, index: usize, stack: Stack) {
        if let Samples::Table(table) = &profile.samples {
            let place = table.places[index];
            return self.add_of_table(table, place, stack.weight, stack.divisor);
        }
        let next = u32::try_from(self.stacks.len()).unwrap_or(NONE);
        let place = match &mut self.places {
            Places::Wire(places) => places.intern(&profile.bytes, stack.span, next).0,
            Places::Table(_) => next,
        };
        self.sum(place, stack);
    }

    /// Counts a stack by its index in the profile's own table.
    #[inline]
    pub(crate) fn add_of_table(&mut self, table: &Table, place: u32, weight: i64, divisor: i64) {
        let next = u32::try_from(self.stacks.len()).unwrap_or(NONE);
        let Places::Table(places) = &mut self.places else {
            return;
        };
        let ours = &mut places[place as usize];
        if *ours == NONE {
            *ours = next;
        }
        let stack = Stack {
            span: table.stacks[place as usize],
            weight,
            divisor,
        };
        let ours = *ours;
        self.sum(ours, stack);
    }

    #[inline]
    fn sum(&mut self, place: u32, stack: Stack) {
        match self.stacks.get_mut(place as usize) {
            Some(sum) => {
                sum.weight = sum.weight.wrapping_add(stack.weight);
                sum.divisor = sum.divisor.wrapping_add(stack.divisor);
            }
            None => self.stacks.push(stack),
        }
    }

    /// Adds the stacks of another part.
    pub(crate) fn absorb(&mut self, profile: &Profile, other: Self) {
        let next = |stacks: &[Stack]| u32::try_from(stacks.len()).unwrap_or(NONE);
        match (&mut self.places, other.places) {
            (Places::Table(ours), Places::Table(theirs)) => {
                let theirs = ours.iter_mut().zip(theirs);
                let mut moves = Vec::new();
                let mut end = next(&self.stacks);
                for (ours, theirs) in theirs.filter(|(_, theirs)| *theirs != NONE) {
                    if *ours == NONE {
                        *ours = end;
                        end += 1;
                    }
                    moves.push((*ours, other.stacks[theirs as usize]));
                }
                for (place, stack) in moves {
                    self.sum(place, stack);
                }
            }
            _ => {
                for stack in other.stacks {
                    let next = next(&self.stacks);
                    let place = match &mut self.places {
                        Places::Wire(places) => places.intern(&profile.bytes, stack.span, next).0,
                        Places::Table(_) => next,
                    };
                    self.sum(place, stack);
                }
            }
        }
    }
}

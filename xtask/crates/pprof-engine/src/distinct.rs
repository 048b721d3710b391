//! Stacks that occur, each once, with what it weighs in a question.

use crate::profile::{Profile, Samples, Span};
use crate::stretch::Stretches;

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

/// Where each stack is in the list.
#[derive(Debug)]
enum Places {
    /// By its place in the profile's own table.
    Table(Vec<u32>),
    /// By its bytes.
    Wire(Stretches),
}

const NONE: u32 = u32::MAX;

impl Distinct {
    /// `room` is how many are expected.
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

    /// Count a sample's stack.
    #[inline]
    pub(crate) fn add(&mut self, profile: &Profile, index: usize, stack: Stack) {
        let next = u32::try_from(self.stacks.len()).unwrap_or(NONE);
        let place = match (&mut self.places, &profile.samples) {
            (Places::Table(places), Samples::Table(table)) => {
                let place = &mut places[table.places[index] as usize];
                if *place == NONE {
                    *place = next;
                }
                *place
            }
            (Places::Wire(places), _) => places.intern(&profile.bytes, stack.span, next).0,
            (Places::Table(_), Samples::Wire(_)) => next,
        };
        self.sum(place, stack);
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

    /// Those of another part too.
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

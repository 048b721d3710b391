//! Caches the result of a function of labels per set of labels: many samples share few
//! sets.

use crate::error::Result;
use crate::profile::{Label, Profile};
use crate::samples::RawLabels;
use crate::stretch::Stretches;

/// An answer for each set of labels of one profile.
#[derive(Debug)]
pub(crate) struct PerLabels<T> {
    known: Stretches,
    answers: Vec<Option<T>>,
    labels: Vec<Label>,
}

impl<T> Default for PerLabels<T> {
    fn default() -> Self {
        Self {
            known: Stretches::default(),
            answers: Vec::new(),
            labels: Vec::new(),
        }
    }
}

impl<T: Copy> PerLabels<T> {
    /// Returns the answer for the labels of sample `index`.
    pub(crate) fn get(
        &mut self,
        profile: &Profile,
        index: usize,
        raw: RawLabels,
        ask: impl FnOnce(&[Label]) -> T,
    ) -> Result<T> {
        let place = match raw {
            RawLabels::Wire(span) => {
                let next = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
                self.known.intern(&profile.bytes, span, next).0 as usize
            }
            RawLabels::Set(place) => place as usize,
            RawLabels::Apart => {
                profile.labels(index, raw, &mut self.labels)?;
                return Ok(ask(&self.labels));
            }
        };
        if let Some(Some(answer)) = self.answers.get(place) {
            return Ok(*answer);
        }
        profile.labels(index, raw, &mut self.labels)?;
        let answer = ask(&self.labels);
        if self.answers.len() <= place {
            self.answers.resize(place + 1, None);
        }
        self.answers[place] = Some(answer);
        Ok(answer)
    }
}

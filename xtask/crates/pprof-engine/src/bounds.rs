//! Limits on results that few input bytes can make large. The inflated size limits
//! everything else.

use crate::error::{Error, Result};
use crate::profile::{Profile, Span};

/// Bytes of one string. Go's longest names, of nested generic types, have
/// some thousands.
const TEXT: u32 = 1 << 20;
/// Frames of all stacks. A stack may name one location a thousand times, and
/// that may have a thousand inlined calls.
const FRAMES: u64 = 1 << 32;
/// Places that are kept of what stacks unfold to: calls of a flame graph,
/// edges of a graph.
pub(crate) const CALLS: usize = 1 << 24;

/// Bytes of names per byte of the profile to which its own tables may be expanded: a
/// name may be used in every line, and a stack may contain one location a thousand
/// times.
const UNFOLDED: usize = 32;
const SOME: usize = 64 << 20;
/// Maximum bytes of a report's text.
const MOST: usize = 2 << 30;
/// Maximum calls of a flame graph, times its sides.
pub(crate) const CELLS: usize = 1 << 25;
/// Maximum labels of a merged profile.
pub(crate) const LABELS: usize = 1 << 23;
/// Maximum frames of stacks that are held by name.
const STACKS: usize = 1 << 27;

/// The number of bytes that may still be used.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    left: usize,
    limit: usize,
    what: &'static str,
}

impl Budget {
    /// Limits the bytes of names of this profile.
    pub fn names(profile: &Profile, what: &'static str) -> Self {
        let limit = SOME.saturating_add(profile.memory().saturating_mul(UNFOLDED));
        Self::new(limit.min(MOST), what)
    }

    /// Limits the frames of stacks.
    pub fn frames() -> Self {
        Self::new(STACKS, "the number of frames")
    }

    pub fn new(limit: usize, what: &'static str) -> Self {
        Self {
            left: limit,
            limit,
            what,
        }
    }

    /// # Errors
    /// The limit is exceeded.
    #[inline]
    pub fn take(&mut self, amount: usize) -> Result<()> {
        match self.left.checked_sub(amount) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Error::TooLarge {
                what: self.what,
                limit: self.limit as u64,
            }),
        }
    }
}

/// Checks the lengths of strings.
///
/// # Errors
/// A string is too long for a name.
pub(crate) fn check_texts(strings: &[Span]) -> Result<()> {
    match strings.iter().position(|span| span.len > TEXT) {
        None => Ok(()),
        Some(place) => Err(Error::at(
            strings[place].start as usize,
            format!(
                "string {place} has {} bytes, names have less than {TEXT}",
                strings[place].len
            ),
        )),
    }
}

/// Checks a profile whose file had `inflated` bytes.
///
/// # Errors
/// Stacks that expand to more frames than any program has.
pub(crate) fn check_frames(profile: &Profile, inflated: u64) -> Result<()> {
    let lines = |of: (u32, u32)| u64::from(of.1 - of.0);
    let widest = profile.locations.iter().map(|of| lines(of.lines)).max();
    let most = inflated.saturating_mul(widest.unwrap_or(0));
    // True for every profile that a program has written.
    if most <= FRAMES {
        return Ok(());
    }
    let (mut frames, mut stack) = (0_u64, Vec::new());
    for index in 0..profile.sample_count() {
        let raw = profile.raw(index, |_, _| {})?;
        stack.clear();
        profile.push_stack(index, raw, &mut stack)?;
        let widths = stack
            .iter()
            .map(|of| lines(profile.locations[*of as usize].lines));
        frames = frames.saturating_add(widths.sum());
        if frames > FRAMES {
            return Err(Error::TooLarge {
                what: "the number of frames",
                limit: FRAMES,
            });
        }
    }
    Ok(())
}

/// # Errors
/// If there are more calls than the limit.
pub(crate) fn check_calls(full: bool) -> Result<()> {
    if !full {
        return Ok(());
    }
    Err(Error::TooLarge {
        what: "the number of calls",
        limit: CALLS as u64,
    })
}

//! What few bytes may claim much of, bounded: the inflated size bounds all
//! else.

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

/// # Errors
/// A string that is no name.
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

/// Of a profile that was so many bytes.
///
/// # Errors
/// Stacks that unfold to more frames than any program runs through.
pub(crate) fn check_frames(profile: &Profile, inflated: u64) -> Result<()> {
    let lines = |of: (u32, u32)| u64::from(of.1 - of.0);
    let widest = profile.locations.iter().map(|of| lines(of.lines)).max();
    let most = inflated.saturating_mul(widest.unwrap_or(0));
    // True of every profile that a program has written.
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
/// If there were more calls than we are willing to hold.
pub(crate) fn check_calls(full: bool) -> Result<()> {
    if !full {
        return Ok(());
    }
    Err(Error::TooLarge {
        what: "the number of calls",
        limit: CALLS as u64,
    })
}

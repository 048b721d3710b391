//! Whether samples share stacks, as labels make them: then equal ones are
//! summed first. Where they do not, to look for them costs more than it spares.

use crate::error::Result;
use crate::profile::{Profile, Samples};
use crate::samples::RawLabels;

/// Of so few it does not matter.
const FEW: usize = 1 << 13;

/// Whether there may be far fewer stacks than samples. Who writes a profile
/// sums what is equal: only labels are left to tell equal stacks apart.
///
/// # Errors
/// Malformed samples.
pub(crate) fn repeats(profile: &Profile) -> Result<bool> {
    let count = profile.sample_count();
    if let Samples::Table(table) = &profile.samples {
        return Ok(table.stacks.len() <= count / 2);
    }
    if count <= FEW {
        return Ok(true);
    }
    Ok(match profile.raw(0, |_, _| {})?.labels {
        RawLabels::Wire(span) => span.len > 0,
        RawLabels::Set(_) | RawLabels::Apart => true,
    })
}

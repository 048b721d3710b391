//! Whether samples share stacks, as labels make them: then equal ones are
//! summed first. Where they do not, to look for them costs more than it spares.

use crate::error::Result;
use crate::profile::{Profile, Samples};
use crate::stretch::Stretches;

/// Samples that are looked at.
const TRIAL: usize = 1 << 13;

/// Whether there are at most half as many stacks as samples, judged by
/// samples from all over: one node's stand together, and each node's differ.
///
/// # Errors
/// Malformed samples.
pub(crate) fn repeats(profile: &Profile) -> Result<bool> {
    let count = profile.sample_count();
    if let Samples::Table(table) = &profile.samples {
        return Ok(table.stacks.len() <= count / 2);
    }
    if count <= TRIAL {
        return Ok(true);
    }
    let mut seen = Stretches::with_capacity(TRIAL);
    let mut looked = 0;
    let mut random = 1_u64;
    for _ in 0..TRIAL {
        // Knuth's MMIX: evenly spread places would be those of a period.
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let place = usize::try_from(random >> 33).unwrap_or(0) % count;
        if let Some(span) = profile.raw(place, |_, _| {})?.stack {
            seen.intern(&profile.bytes, span, 0);
            looked += 1;
        }
    }
    // Of n that are drawn from d, n / 2d come twice; as does a sample that
    // is drawn itself twice, n / 2 count.
    let twice = looked - seen.len();
    Ok(twice * count > looked * looked * 3 / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message;
    use prost::Message;

    fn profile(stack: impl Fn(u64) -> Vec<u64>) -> Profile {
        let location = |id| message::Location {
            id,
            ..message::Location::default()
        };
        let sample = |of| message::Sample {
            location_id: stack(of),
            value: vec![1],
            label: Vec::new(),
        };
        let whole = message::Profile {
            sample_type: vec![message::ValueType { r#type: 0, unit: 0 }],
            location: (1..=300).map(location).collect(),
            sample: (0..60_000).map(sample).collect(),
            string_table: vec![Vec::new()],
            ..message::Profile::default()
        };
        Profile::decode(whole.encode_to_vec()).unwrap()
    }

    #[test]
    fn nodes_one_after_the_other_repeat_and_distinct_stacks_do_not() {
        let nodes = |of: u64| vec![of % 12_000 / 300 + 1, of % 300 + 1, 1];
        assert!(repeats(&profile(nodes)).unwrap());
        let distinct = |of: u64| vec![of / 300 + 1, of % 300 + 1, 1];
        assert!(!repeats(&profile(distinct)).unwrap());
    }
}

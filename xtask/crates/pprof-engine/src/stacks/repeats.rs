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
    use crate::inflate::Limits;
    use crate::wire::put_varint;

    /// A field that is a message or packed numbers.
    fn put(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
        out.push(field << 3 | 2);
        put_varint(out, bytes.len() as u64);
        out.extend_from_slice(bytes);
    }

    fn packed(numbers: &[u64]) -> Vec<u8> {
        let mut out = Vec::new();
        numbers.iter().for_each(|of| put_varint(&mut out, *of));
        out
    }

    fn profile(stack: impl Fn(u64) -> Vec<u64>) -> Profile {
        let mut whole = Vec::new();
        put(&mut whole, 1, &[]);
        for of in 0..60_000 {
            let mut sample = Vec::new();
            put(&mut sample, 1, &packed(&stack(of)));
            put(&mut sample, 2, &[1]);
            put(&mut whole, 2, &sample);
        }
        for id in 1..=300 {
            put(&mut whole, 4, &[&[8], &packed(&[id])[..]].concat());
        }
        Profile::read(whole, Limits::default(), |_, _| None).unwrap()
    }

    #[test]
    fn nodes_one_after_the_other_repeat_and_distinct_stacks_do_not() {
        let nodes = |of: u64| vec![of % 12_000 / 300 + 1, of % 300 + 1, 1];
        assert!(repeats(&profile(nodes)).unwrap());
        let distinct = |of: u64| vec![of / 300 + 1, of % 300 + 1, 1];
        assert!(!repeats(&profile(distinct)).unwrap());
    }
}

//! Any input: decode it and ask everything. What comes out
//! is an error or an answer, never a panic and never more than the limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pprof_fuzz::{LIMITS, ask, queries, write};

fuzz_target!(|bytes: &[u8]| {
    let Ok(profile) = pprof::decode_within(bytes.to_vec(), LIMITS) else {
        return;
    };
    for query in &queries() {
        ask(&profile, query);
    }
    write(&profile);
});

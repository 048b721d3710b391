//! Go's text forms: a head that one of their readers takes, and then anything.
//! The same bytes in each wrapping that a file may have.
#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use pprof_fuzz::{LIMITS, ask, write};

const HEADS: [&str; 7] = [
    "heap profile: 1: 64 [3: 128] @ heap/1048576\n",
    "heap profile: 1: 64 [1: 64] @ heapprofile\n",
    "goroutine profile: total 3\n1 @ 0x1 0x2\n#\t0x1\tmain.f+0x1\t/f.go:1\n",
    "goroutine 1 [select, 5 minutes, locked to thread]:\nmain.f(0x1)\n\t/f.go:1 +0x1\n",
    "--- mutex:\ncycles/second=1000000000\nsampling period=5\n",
    "--- contention:\n",
    "",
];

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, rest)) = bytes.split_first() else {
        return;
    };
    let head = HEADS[usize::from(*choice) % HEADS.len()];
    let text = [head.as_bytes(), rest].concat();
    let wrapped = match choice / 16 % 3 {
        0 => text,
        1 => {
            let level = flate2::Compression::fast();
            let mut out = flate2::write::GzEncoder::new(Vec::new(), level);
            out.write_all(&text).expect("memory");
            out.finish().expect("memory")
        }
        _ => {
            let level = flate2::Compression::fast();
            let mut out = flate2::write::ZlibEncoder::new(Vec::new(), level);
            out.write_all(&text).expect("memory");
            out.finish().expect("memory")
        }
    };
    if let Ok(profile) = pprof::decode_within(wrapped, LIMITS) {
        ask(&profile, &pprof::Query::default());
        write(&profile);
    }
});

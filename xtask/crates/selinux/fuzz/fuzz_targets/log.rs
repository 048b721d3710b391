#![no_main]
//! No log may make the reader panic, and the pieces in which it comes do not matter. The
//! first byte says in which pieces.

use libfuzzer_sys::fuzz_target;
use selinux::log::Reader;

fuzz_target!(|bytes: &[u8]| {
    let (first, bytes) = bytes.split_first().unwrap_or((&0, &[]));
    let mut reader = Reader::new();
    for piece in bytes.chunks(usize::from(*first).max(1)) {
        reader.feed(piece);
    }
    let (by_pieces, one) = reader.finish();
    let mut reader = Reader::new();
    reader.feed(bytes);
    let (whole, two) = reader.finish();
    assert_eq!(one, two);
    assert_eq!(by_pieces.groups.len(), whole.groups.len());
});

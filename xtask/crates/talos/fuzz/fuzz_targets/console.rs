#![no_main]
//! No console may make its readers panic, hang or read one part of it again and
//! again; from the end they find a boot where they find one from the beginning. The
//! first byte says in which pieces it comes.

use libfuzzer_sys::fuzz_target;
use talos::console::{BootTracker, Console, clean, last_boot, merge};

fuzz_target!(|bytes: &[u8]| {
    let (first, bytes) = bytes.split_first().unwrap_or((&0, &[]));
    let mut tracker = BootTracker::default();
    for piece in bytes.chunks(usize::from(*first).max(1)) {
        tracker.feed(piece);
    }
    tracker.finish();
    let mut read = 0;
    let last = last_boot(bytes.len() as u64, |at, buffer| {
        let from = usize::try_from(at).unwrap().min(bytes.len());
        let got = buffer.len().min(bytes.len() - from);
        buffer[..got].copy_from_slice(&bytes[from..from + got]);
        read += got;
        Ok(got)
    });
    assert!(read <= 16 * bytes.len() + (1 << 20), "{read}");
    let last = last.expect("it can be read");
    if let Some(boot) = tracker.current() {
        let _ = (boot.state(), boot.seconds());
        let is_marked = boot.launched.is_some() || boot.banner_offset.is_some();
        if is_marked && bytes.len() < 16 << 10 {
            // From the end, an earlier launcher's last words are not seen.
            assert!(last.as_ref().is_some_and(|last| last.offset >= boot.offset));
        }
    }
    let half = bytes.len() / 2;
    let consoles = [("a", &bytes[..half]), ("b", &bytes[half..])].map(|(node, bytes)| Console {
        node,
        bytes,
        newest_ms: 1_000_000,
    });
    let mut before = i64::MIN;
    for line in merge(&consoles) {
        assert!(line.wall_ms >= before);
        before = line.wall_ms;
    }
    let _ = clean(bytes);
});

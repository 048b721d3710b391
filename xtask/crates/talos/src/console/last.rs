//! The newest boot of a console, read from its end only as far as needed.
//!
//! A console that has grown for days must not slow `cluster status` down: the
//! last marker is searched backwards in blocks, and of a boot that got ready only
//! its beginning and its end are read.

use super::boot::Boot;
use super::line::{MAX_LINE, clean};
use super::marker::{Marker, marker};
use super::tracker::BootTracker;
use memchr::memmem::Finder;
use memchr::{memchr, memrchr};
use std::io;

/// Bytes read at a time: as many as stay in a core's own cache between the copy
/// and the searches.
const BLOCK: usize = 256 << 10;
/// The same, forwards from the boot's beginning: a node is ready within less
/// than that.
const STRIDE: usize = 32 << 10;
/// Bytes that are read at the end of a ready boot: deaths and reboots are within its
/// last thousand lines.
const TAIL: u64 = 128 << 10;
/// Bytes that are searched backwards for the beginning of a boot. No boot prints that
/// much, but the reported size of a file may be larger.
const FARTHEST: u64 = 4 << 30;

/// Reads the newest boot of a console of `len` bytes. `read_at` fills a buffer from an
/// offset on and returns the number of bytes, like `FileExt::read_at`; it is only
/// called for offsets below `len`.
///
/// Returns `None` when nothing has booted. If a boot has more than 128 KiB after its
/// ready line, the part in between is skipped.
///
/// # Errors
/// Those of `read_at`.
pub fn last_boot<R>(len: u64, mut read_at: R) -> io::Result<Option<Boot>>
where
    R: FnMut(u64, &mut [u8]) -> io::Result<usize>,
{
    // Without a marker the launcher may have died before it started QEMU; one or two
    // lines are enough to see that.
    let start = match find_last(len, &mut read_at)? {
        Some(start) => start,
        None if len <= MAX_LINE as u64 => 0,
        None => return Ok(None),
    };
    let mut tracker = BootTracker::at(start);
    let mut buffer = vec![0; STRIDE];
    let mut at = start;
    let mut skipped = false;
    while at < len {
        let got = fill(at, len, &mut buffer, &mut read_at)?;
        if got == 0 {
            break;
        }
        tracker.feed(&buffer[..got]);
        at += got as u64;
        let ready = tracker.current().is_some_and(|boot| boot.ready.is_some());
        if ready && !skipped && at + TAIL < len {
            at = line_start_after(len - TAIL, len, &mut buffer, &mut read_at)?;
            tracker.skip_to(at);
            skipped = true;
        }
    }
    tracker.finish();
    Ok(tracker.into_current())
}

/// Offset of the line that begins the newest boot.
fn find_last<R>(len: u64, read_at: &mut R) -> io::Result<Option<u64>>
where
    R: FnMut(u64, &mut [u8]) -> io::Result<usize>,
{
    let needles = [
        Finder::new(b" with args:\n"),
        Finder::new(b"Linux version "),
    ];
    let longest = 16;
    let mut buffer = vec![0; BLOCK + longest];
    // The newest banner so far: the boot begins at the launcher's line before it,
    // unless another banner is in between.
    let mut banner = None;
    let mut end = len;
    while end > 0 && end + FARTHEST > len {
        let start = end.saturating_sub(BLOCK as u64);
        let upto = (end + longest as u64).min(len);
        let got = fill(start, upto, &mut buffer, read_at)?;
        let block = &buffer[..got];
        let mut hits: Vec<_> = needles.iter().flat_map(|n| n.find_iter(block)).collect();
        hits.sort_unstable_by(|a, b| b.cmp(a));
        // One line may have as many hits as fit into it.
        let mut looked = usize::MAX;
        for hit in hits.into_iter().filter(|hit| *hit < got) {
            if hit >= looked {
                continue;
            }
            let at = start + hit as u64;
            let (begin, line) = line_in(block, hit);
            looked = begin;
            let found = match line {
                Some(line) => kind_of(line).map(|kind| (start + begin as u64, kind)),
                None => line_marker(at, len, read_at)?,
            };
            match (found, banner) {
                (Some((line, Kind::Launch)), _) => return Ok(Some(line)),
                (Some((line, Kind::Banner)), None) => banner = Some(line),
                // The same line, seen again in the overlap of two blocks.
                (Some((line, Kind::Banner)), Some(newest)) if line == newest => {}
                (Some(_), Some(newest)) => return Ok(Some(newest)),
                (None, _) => {}
            }
        }
        end = start;
    }
    Ok(banner)
}

/// Offset of the line around `hit`, or of the earliest byte that belongs to it for
/// sure; and the line, if it is complete within the block.
fn line_in(block: &[u8], hit: usize) -> (usize, Option<&[u8]>) {
    let reach = MAX_LINE / 2;
    let from = hit.saturating_sub(reach);
    let Some(newline) = memrchr(b'\n', &block[from..hit]) else {
        return (from, None);
    };
    let begin = from + newline + 1;
    let upto = block.len().min(hit + reach);
    let finish = memchr(b'\n', &block[hit..upto]);
    (begin, finish.map(|finish| &block[begin..hit + finish]))
}

fn kind_of(line: &[u8]) -> Option<Kind> {
    match marker(&clean(line))? {
        Marker::Launch { .. } => Some(Kind::Launch),
        Marker::Banner { .. } => Some(Kind::Banner),
    }
}

enum Kind {
    Launch,
    Banner,
}

/// The line around `at`, if it begins a boot: offset of its first byte.
fn line_marker<R>(at: u64, len: u64, read_at: &mut R) -> io::Result<Option<(u64, Kind)>>
where
    R: FnMut(u64, &mut [u8]) -> io::Result<usize>,
{
    let reach = MAX_LINE as u64 / 2;
    let from = at.saturating_sub(reach);
    let mut buffer = vec![0; MAX_LINE];
    let got = fill(from, (at + reach).min(len), &mut buffer, read_at)?;
    let (around, hit) = (&buffer[..got], usize::try_from(at - from).unwrap_or(0));
    if hit >= around.len() {
        return Ok(None);
    }
    let begin = memrchr(b'\n', &around[..hit]).map_or(0, |newline| newline + 1);
    let finish = memchr(b'\n', &around[hit..]).map_or(around.len(), |newline| hit + newline);
    let kind = kind_of(&around[begin..finish]);
    Ok(kind.map(|kind| (from + begin as u64, kind)))
}

/// First byte of a line at or after `at`.
fn line_start_after<R>(at: u64, len: u64, buffer: &mut [u8], read_at: &mut R) -> io::Result<u64>
where
    R: FnMut(u64, &mut [u8]) -> io::Result<usize>,
{
    let got = fill(at, len, buffer, read_at)?;
    let newline = memchr(b'\n', &buffer[..got]);
    Ok(newline.map_or(at, |newline| at + newline as u64 + 1))
}

/// Fills `buffer` from `at` on, but not past `end`. Short at the end of the file,
/// which may have been cut since `end` was measured.
fn fill<R>(at: u64, end: u64, buffer: &mut [u8], read_at: &mut R) -> io::Result<usize>
where
    R: FnMut(u64, &mut [u8]) -> io::Result<usize>,
{
    let want = usize::try_from(end.saturating_sub(at))
        .unwrap_or(usize::MAX)
        .min(buffer.len());
    let mut got = 0;
    while got < want {
        match read_at(at + got as u64, &mut buffer[got..want]) {
            Ok(0) => break,
            Ok(more) => got += more.min(want - got),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

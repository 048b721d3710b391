//! Removes the wrapping of a profile: gzip (also several members), zlib or
//! none. The result is limited, since the input may come from the network.

use std::io::Read;

use crate::error::{Error, Result};
use crate::incoming::{Incoming, summed};

/// Limits on the size of a profile.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of an inflated profile.
    pub inflated: u64,
    /// Entries of each table: locations, functions, mappings, strings.
    pub entries: u64,
}

impl Default for Limits {
    /// A gigabyte inflated is ten times the largest profile seen in practice;
    /// offsets are kept in 32 bits, so it must stay below four.
    fn default() -> Self {
        Self {
            inflated: 1 << 30,
            entries: 1 << 25,
        }
    }
}

/// Smaller profiles are inflated before a thread would have started. Inputs of
/// fuzzing are small.
const LARGE: usize = if cfg!(fuzzing) { 0 } else { 1 << 18 };

/// Sums a large profile while it inflates; `None` if that would not pay or
/// fails.
pub(crate) fn incoming(bytes: &[u8], limits: Limits) -> Option<Incoming> {
    if bytes.len() < LARGE {
        return None;
    }
    match bytes {
        [0x1f, 0x8b, ..] => summed(flate2::bufread::MultiGzDecoder::new(bytes), limits),
        _ => None,
    }
}

/// Removes the wrapping, whatever is inside.
pub(crate) fn unwrap(bytes: Vec<u8>, limits: Limits) -> Result<Vec<u8>> {
    match bytes.as_slice() {
        [0x1f, 0x8b, ..] => {
            let hint = gzip_hint(&bytes, limits.inflated);
            let decoder = flate2::bufread::MultiGzDecoder::new(&bytes[..]);
            read("gzip", decoder, hint, limits)
        }
        // The four levels that zlib writes. A plain profile could begin with these
        // bytes only if its doc_url came before its sample types, which no writer does.
        [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => {
            let decoder = flate2::bufread::ZlibDecoder::new(&bytes[..]);
            read("zlib", decoder, 0, limits)
        }
        _ if bytes.len() as u64 > limits.inflated => Err(too_large(limits)),
        _ => Ok(bytes),
    }
}

fn too_large(limits: Limits) -> Error {
    Error::TooLarge {
        what: "the inflated profile",
        limit: limits.inflated,
    }
}

/// The last member's size is written at the end. Trusted only as a capacity,
/// and no more than deflate can yield from that many bytes.
fn gzip_hint(bytes: &[u8], limit: u64) -> usize {
    let Some(tail) = bytes.last_chunk::<4>() else {
        return 0;
    };
    let most = (bytes.len() as u64).saturating_mul(1032).min(limit);
    let claimed = u64::from(u32::from_le_bytes(*tail)).min(most);
    usize::try_from(claimed).unwrap_or(0)
}

fn read(format: &'static str, from: impl Read, hint: usize, limits: Limits) -> Result<Vec<u8>> {
    // One byte more than claimed, so that the end is seen without growing.
    let mut out = Vec::with_capacity(hint + 1);
    let got = from.take(limits.inflated + 1).read_to_end(&mut out);
    got.map_err(|error| broken(format, &error))?;
    if out.len() as u64 > limits.inflated {
        return Err(too_large(limits));
    }
    Ok(out)
}

fn broken(format: &'static str, error: &dyn std::fmt::Display) -> Error {
    Error::Inflate {
        format,
        what: error.to_string(),
    }
}

/// Recognises what a proxy or a wrong port returns.
pub(crate) fn refuse_other(bytes: &[u8]) -> Result<()> {
    let head = &bytes[..bytes.len().min(512)];
    let trimmed = head.trim_ascii_start();
    let what = if trimmed.is_empty() {
        "an empty body"
    } else if trimmed.starts_with(b"<") {
        "HTML"
    } else if head.starts_with(b"go 1.") && head.windows(5).any(|window| window == b"trace") {
        "an execution trace (`go tool trace`)"
    } else if is_text(head) {
        "text"
    } else if is_binary_cpu(head) {
        "a CPU profile of gperftools (`go tool pprof PROGRAM FILE`)"
    } else {
        return Ok(());
    };
    let excerpt = String::from_utf8_lossy(trimmed);
    Err(Error::NotAProfile {
        what,
        excerpt: excerpt.lines().take(3).collect::<Vec<_>>().join("\n"),
    })
}

/// The head of gperftools' format: words of the machine's size, 0, 3, 0, the period, 0.
fn is_binary_cpu(head: &[u8]) -> bool {
    [4, 8].iter().any(|size| {
        let word = |place: usize| {
            let bytes = head.get(place * size..(place + 1) * size)?;
            let high = bytes[1..].iter().all(|byte| *byte == 0);
            high.then_some(bytes[0])
        };
        (word(0), word(1), word(2), word(4)) == (Some(0), Some(3), Some(0), Some(0))
    })
}

/// Whether it has no bytes that text does not have. Text may end in the middle
/// of a character.
pub fn is_text(bytes: &[u8]) -> bool {
    let printable = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..);
    let decodes = std::str::from_utf8(bytes)
        .err()
        .is_none_or(|error| error.error_len().is_none());
    bytes.iter().all(printable) && decodes
}

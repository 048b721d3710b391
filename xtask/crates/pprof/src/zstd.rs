//! Inflates zstd, in which some tools wrap profiles; Go never does.

use std::io::Read;

use pprof_engine::{Error, Limits, Result};

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

pub(crate) fn is_zstd(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// Inflates all frames.
pub(crate) fn inflate(bytes: &[u8], limits: Limits) -> Result<Vec<u8>> {
    let broken = |error: &dyn std::fmt::Display| Error::Inflate {
        format: "zstd",
        what: error.to_string(),
    };
    let mut rest = bytes;
    let mut out = Vec::new();
    while !rest.is_empty() {
        let decoder = ruzstd::decoding::StreamingDecoder::new(&mut rest);
        let decoder = decoder.map_err(|error| broken(&error))?;
        // One more than is held shows that there is too much.
        let left = (limits.inflated + 1).saturating_sub(out.len() as u64);
        let got = decoder.take(left).read_to_end(&mut out);
        got.map_err(|error| broken(&error))?;
        if out.len() as u64 > limits.inflated {
            return Err(Error::TooLarge {
                what: "the inflated profile",
                limit: limits.inflated,
            });
        }
    }
    Ok(out)
}

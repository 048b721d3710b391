//! The archives of an initramfs: one after the other, plain or compressed, as the kernel's
//! "initramfs buffer format" has them.

use std::io::{BufRead, Read, Result};

use ruzstd::decoding::StreamingDecoder;

use super::{invalid, skip};

const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
const HEADER: usize = 110;
const LONGEST_NAME: u64 = 4096;

/// Visits each file until `visit` returns true.
///
/// # Errors
/// I/O errors, and another format or compression.
pub(super) fn visit(
    mut from: impl BufRead,
    mut visit: impl FnMut(&str, &mut dyn Read) -> Result<bool>,
) -> Result<()> {
    loop {
        let start = from.fill_buf()?;
        if start.is_empty() {
            return Ok(());
        }
        let zeros = start.iter().take_while(|byte| **byte == 0).count();
        if zeros > 0 {
            from.consume(zeros);
        } else if start.starts_with(ZSTD) {
            let mut frame =
                StreamingDecoder::new(&mut from).map_err(|error| invalid(&error.to_string()))?;
            if archive(&mut frame, &mut visit)? {
                return Ok(());
            }
            // Zeros behind the last file.
            std::io::copy(&mut frame, &mut std::io::sink())?;
        } else if start.starts_with(b"07070") {
            if archive(&mut from, &mut visit)? {
                return Ok(());
            }
        } else {
            return Err(invalid("neither zstd nor cpio"));
        }
    }
}

/// Returns whether `visit` has returned true.
fn archive(
    from: &mut dyn Read,
    visit: &mut impl FnMut(&str, &mut dyn Read) -> Result<bool>,
) -> Result<bool> {
    loop {
        let mut header = [0; HEADER];
        from.read_exact(&mut header)?;
        if !header.starts_with(b"07070") {
            return Err(invalid("not a header of cpio"));
        }
        // Thirteen numbers of eight hexadecimal digits.
        let number = |at: usize| {
            let digits = header.get(6 + at * 8..14 + at * 8).unwrap_or_default();
            let digits = std::str::from_utf8(digits).ok();
            let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
            number.ok_or_else(|| invalid("not a number of cpio"))
        };
        let (size, name_size) = (number(6)?, number(11)?);
        if name_size > LONGEST_NAME {
            return Err(invalid("a long name"));
        }
        let mut name = Vec::new();
        from.take(name_size).read_to_end(&mut name)?;
        skip(from, padding(HEADER as u64 + name_size))?;
        let name = String::from_utf8_lossy(&name);
        let name = name.trim_end_matches('\0').trim_start_matches("./");
        let name = name.trim_start_matches('/');
        if name == "TRAILER!!!" {
            return Ok(false);
        }
        let mut content = from.take(size);
        if visit(name, &mut content)? {
            return Ok(true);
        }
        let left = content.limit();
        skip(from, left + padding(size))?;
    }
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % 4
}

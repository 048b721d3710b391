//! The system's random numbers.

use std::fs::File;
use std::io::Read;

use crate::failure::{Because, Result};

/// # Errors
/// When the system has none.
pub fn bytes<const COUNT: usize>() -> Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .because(|| "cannot read `/dev/urandom`".to_owned())?;
    Ok(bytes)
}

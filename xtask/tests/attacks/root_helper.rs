//! The helper that runs one test binary as root.

use crate::Case;

pub const CASES: &[Case] = &[];

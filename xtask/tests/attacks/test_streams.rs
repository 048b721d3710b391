//! What a test binary prints.

use crate::Case;

pub const CASES: &[Case] = &[];

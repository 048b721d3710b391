//! Names and texts of others on their way to a terminal.

use crate::Case;

pub const CASES: &[Case] = &[];

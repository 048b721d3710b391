//! Makefiles, and what a dry run executes.

use crate::Case;

pub const CASES: &[Case] = &[];

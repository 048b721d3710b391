//! Go sources, go.mod and go.work.

use crate::Case;

pub const CASES: &[Case] = &[];

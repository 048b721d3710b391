//! What docker and registries answer.

use crate::Case;

pub const CASES: &[Case] = &[];

//! Names in profiles, as the page shows them.

use crate::Case;

pub const CASES: &[Case] = &[];

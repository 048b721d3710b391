//! What `cluster destroy` and `doctor --fix` believe.

use crate::Case;

pub const CASES: &[Case] = &[];

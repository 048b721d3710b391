//! What answers `pprof` over HTTP.

use crate::Case;

pub const CASES: &[Case] = &[];

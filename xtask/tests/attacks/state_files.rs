//! State, settings, ledger and records: files in their place that are none.

use crate::Case;

pub const CASES: &[Case] = &[];

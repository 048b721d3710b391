//! The relay between a cluster's nodes and registries on loopback.

use crate::Case;

pub const CASES: &[Case] = &[];

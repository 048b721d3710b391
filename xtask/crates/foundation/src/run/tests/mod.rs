//! The runner against children that misbehave, and plans as a whole.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests make, start and signal what is their own"
)]

mod children;
mod ends;
mod plans;
mod room;
mod stop;

use super::*;

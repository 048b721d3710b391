//! The command line: help, usage errors, colour, settings, and where the
//! checkout is found.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests make, start and signal what is their own"
)]

mod checkout;
mod colour;
#[path = "../common/mod.rs"]
mod common;
mod completions;
mod help;
mod installed;
mod json;
mod output;
mod overview;
mod typed;
mod usage;

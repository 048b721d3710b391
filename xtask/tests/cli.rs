//! The command line: help, usage errors, colour, settings, and where the
//! checkout is found.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests make, start and signal what is their own"
)]

#[path = "cli/checkout.rs"]
mod checkout;
#[path = "cli/colour.rs"]
mod colour;
mod common;
#[path = "cli/help.rs"]
mod help;
#[path = "cli/typed.rs"]
mod typed;
#[path = "cli/usage.rs"]
mod usage;

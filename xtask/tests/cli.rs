//! The command line: help, usage errors, colour, settings, and where the
//! checkout is found.

#[path = "cli/checkout.rs"]
mod checkout;
#[path = "cli/colour.rs"]
mod colour;
mod common;
#[path = "cli/help.rs"]
mod help;
#[path = "cli/usage.rs"]
mod usage;

//! Plans: what a script does is what the run does.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests make, start and signal what is their own"
)]

mod cluster;
#[path = "../common/mod.rs"]
mod common;
mod fake;
mod kmod;
mod podtrace;
mod refused;
mod scripts;

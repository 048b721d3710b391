//! The real binary against children that misbehave, signals, and broken disks:
//! what a user would notice. Plans come from standard input.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests make, start and signal what is their own"
)]

mod children;
#[path = "../common/mod.rs"]
mod common;
mod disk;
mod harness;
mod records;
mod root;
mod signals;
mod terminal;

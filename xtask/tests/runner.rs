//! The real binary against children that misbehave, signals, and broken disks:
//! what a user would notice. Plans come from standard input.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests make, start and signal what is their own"
)]

#[path = "runner/children.rs"]
mod children;
mod common;
#[path = "runner/disk.rs"]
mod disk;
#[path = "runner/harness.rs"]
mod harness;
#[path = "runner/records.rs"]
mod records;
#[path = "runner/root.rs"]
mod root;
#[path = "runner/signals.rs"]
mod signals;
#[path = "runner/terminal.rs"]
mod terminal;

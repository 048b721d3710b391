//! Plans: what a script does is what the run does.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests make, start and signal what is their own"
)]

#[path = "plans/cluster.rs"]
mod cluster;
mod common;
#[path = "plans/fake.rs"]
mod fake;
#[path = "plans/refused.rs"]
mod refused;
#[path = "plans/scripts.rs"]
mod scripts;

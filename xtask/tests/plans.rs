//! Plans: what a script does is what the run does.

mod common;
#[path = "plans/cluster.rs"]
mod cluster;
#[path = "plans/fake.rs"]
mod fake;
#[path = "plans/scripts.rs"]
mod scripts;

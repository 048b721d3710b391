//! Plans: what a script does is what the run does.

#[path = "plans/cluster.rs"]
mod cluster;
mod common;
#[path = "plans/fake.rs"]
mod fake;
#[path = "plans/scripts.rs"]
mod scripts;

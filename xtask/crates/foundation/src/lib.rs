//! What every command stands on, one way through: `ctx` (read-only probes) →
//! `plan` (steps as data) → `run` (executes) and `record` (remembers) → `ui`.

#![cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "what only commands that need Linux use")
)]

pub mod ctx;
pub mod failure;
pub mod files;
pub mod hash;
pub mod plan;
pub mod record;
pub mod run;
pub mod shell;
pub mod signals;
pub mod typed;
pub mod ui;
pub mod units;

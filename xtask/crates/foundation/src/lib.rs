//! The layers below every command, in the order of the data flow: `ctx`
//! (read-only probes), `plan` (steps as data), `run` (executes steps), `record`
//! (ledger and run records), `ui` (output).

#![cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "used only by commands that need Linux")
)]

pub mod ctx;
pub mod failure;
pub mod files;
pub mod hash;
pub mod plan;
pub mod random;
pub mod record;
pub mod run;
pub mod shell;
pub mod signals;
pub mod typed;
pub mod ui;
pub mod units;
pub mod wait;

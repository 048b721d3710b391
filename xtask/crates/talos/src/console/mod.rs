//! Reads a node's console: its boots, how far each got, and how it ended.
//!
//! `<node>.log` contains the launcher's lines, QEMU's messages, the firmware and the
//! guest's serial console, appended across boots (docs/talos-facts.md#console). Input
//! is bytes in chunks of any size, output is [`Boot`]s. Real consoles contain carriage
//! returns, ANSI escapes, a kernel banner after the firmware's unfinished line, and a
//! launcher line after the guest's.
//!
//! Must not: open files or watch them. [`last_boot`] reads through a closure.

mod boot;
mod clock;
mod death;
mod death_patterns;
mod last;
mod line;
mod marker;
mod merge;
mod oops;
mod phases;
mod talos_line;
mod tracker;

pub use boot::{Boot, BootState, End, Launch, Phase, PhaseState, SequenceFailure};
pub use death::{Death, DeathKind};
pub use last::last_boot;
pub use line::{Lines, MAX_LINE, clean, kernel_time};
pub use merge::{Console, Merged, MergedLine, merge};
pub use oops::Oops;
pub use tracker::{BootTracker, MAX_BOOTS};

#[cfg(test)]
mod tests;

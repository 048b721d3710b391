//! What Talos is, per version line.
//!
//! One type, [`TalosVersion`], answers every question whose answer differs
//! between Talos 1.9 and 1.15-dev; the other modules read what a Talos cluster
//! leaves on a host: its names and addresses, its state folder, its processes
//! and its consoles.
//!
//! The crate is pure. It spawns nothing, opens no file and no socket, and knows
//! nothing of the command line: callers pass text and bytes in, and get values
//! or typed errors that say what is wrong and where.

pub mod console;
mod duration;
pub mod names;
pub mod network;
pub mod process;
pub mod state;
pub mod version;
pub mod yaml;

pub use duration::duration;
pub use version::TalosVersion;

//! Facts about Talos per version line, and readers of the traces of a cluster.
//!
//! [`TalosVersion`] has every fact that differs between the known lines as a method;
//! the other modules read what a Talos cluster leaves on a host: its names and
//! addresses, its state folder, its processes and its consoles.
//!
//! The crate is pure. It starts no process, opens no file and no socket, and knows
//! nothing about the command line: callers pass text and bytes, and get values or typed
//! errors with a place.

pub mod console;
mod duration;
pub mod initramfs;
pub mod module_failure;
pub mod names;
pub mod network;
pub mod process;
pub mod selinux;
pub mod state;
pub mod version;
pub mod yaml;

pub use duration::duration;
pub use version::TalosVersion;

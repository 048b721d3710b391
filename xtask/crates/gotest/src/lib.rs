//! Go's tests: what there is, what it needs, and how it went.
//!
//! Pure: bytes come in, values and text go out; no file, no network, no
//! process, no knowledge of the command line.

mod duration;
pub mod events;

pub use duration::duration;

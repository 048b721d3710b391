//! `go tool pprof` and ours, asked the same about the same profiles: every option, every
//! form. What Go does not have is compared with `--top`.

pub(crate) mod inputs;
mod options;
mod parallel;
mod questions;
mod sums;

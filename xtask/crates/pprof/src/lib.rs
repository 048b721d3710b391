//! Profiles in profile.proto, as Go's `net/http/pprof` and many others write
//! them: decode, ask, merge, compare, write. The words and the numbers are
//! those of `go tool pprof`.
//!
//! Pure: bytes come in, values and text go out; no file, no network, no
//! process, no knowledge of the command line.
//!
//! Two roads lead into a profile. `Profile` reads samples in place each time
//! a question is asked and keeps little besides; `message::Profile` is the
//! whole of it as messages, for what must be rewritten.

mod bounds;
mod calls;
mod decode;
mod distinct;
mod error;
pub mod export;
pub mod flame;
mod frames;
mod graph;
mod ids;
mod inflate;
mod labelsets;
mod legacy;
mod merge;
pub mod message;
mod profile;
mod query;
pub mod report;
mod samples;
mod stacks;
mod stretch;
mod table;
mod tagframes;
mod tags;
pub mod unit;
mod view;
pub mod web;
mod wire;
mod write;

pub use error::{Error, Result};
pub use frames::Info;
pub use inflate::{Limits, inflate};
pub use merge::{BASE_LABEL, Base, Source, diff, merge};
pub use profile::{
    Function, Header, Label, Line, Location, Mapping, Profile, Sample, Text, ValueType,
};
pub use query::{Granularity, Query};
pub use report::{Row, Top};
pub use write::{compress, encode};

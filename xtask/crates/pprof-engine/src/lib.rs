//! Profiles in profile.proto, as Go's `net/http/pprof` and others write them:
//! reading, summing, merging, writing. This crate has the parts whose time
//! grows with the profile, and is optimised; the crate `pprof` has the forms of
//! the results, and compiles fast.
//!
//! Pure: bytes in, values out; no file, no network, no process.
//!
//! Samples are read in place for each query, or summed by stack while they
//! inflate; no structure is built that a query does not need.

mod bounds;
mod calls;
mod decode;
mod difference;
mod distinct;
mod error;
pub mod flame;
mod frames;
mod graph;
mod ids;
mod incoming;
mod inflate;
mod labelsets;
mod merge;
mod profile;
pub mod proto;
mod query;
mod samples;
mod shorten;
mod stacks;
mod stretch;
mod table;
mod tagframes;
mod tags;
pub mod unit;
mod view;
mod wire;
mod write;

pub use bounds::Budget;
pub use calls::{Edge, Edges};
pub use decode::FromText;
pub use difference::Difference;
pub use error::{Error, Result};
pub use frames::{Frames, Info, base};
pub use graph::{Calls, Graph, Weight, cutoff, weigh};
pub use inflate::{Limits, is_text};
pub use merge::{BASE_LABEL, Base, Source, diff, merge};
pub use profile::{
    Function, Header, Label, Line, Location, Mapping, Profile, Sample, Text, ValueType,
};
pub use query::{Granularity, Measure, Query};
pub use stacks::{Stacks, Weighing};
pub use tagframes::with as with_tag_frames;
pub use tags::{Shown, Units, number_units};
pub use view::{View, compile};
pub use write::{compress, compress_kept, encode};

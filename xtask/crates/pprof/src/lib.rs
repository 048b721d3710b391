//! Profiles in profile.proto, as Go's `net/http/pprof` and others write them,
//! in forms for people and other tools: reports, flame graphs, exports; also
//! Go's text forms, read as profiles. Terms and numbers are those of `go tool
//! pprof`.
//!
//! Reading, summing and merging are in the crate `pprof-engine`, which is
//! reexported here. They are two crates for the compiler: code that runs per
//! sample is optimised, code that runs per row of a report is not, because that
//! would only cost compile time.

pub mod export;
mod legacy;
pub mod report;
pub mod web;
mod zstd;

pub use pprof_engine::{
    BASE_LABEL, Base, Difference, Error, Function, Granularity, Header, Info, Label, Limits, Line,
    Location, Mapping, Profile, Query, Result, Sample, Source, Text, ValueType, compress,
    compress_kept, diff, encode, flame, merge, proto, unit,
};
pub use report::{Row, Top};

/// Reads a profile in any of the supported wrappings, or in one of Go's text forms.
///
/// # Errors
/// The problem and its place; for bytes of another kind, what they are.
pub fn decode(bytes: Vec<u8>) -> Result<Profile> {
    decode_within(bytes, Limits::default())
}

/// Like [`decode`], with other limits.
///
/// # Errors
/// Those of [`decode`].
pub fn decode_within(mut bytes: Vec<u8>, limits: Limits) -> Result<Profile> {
    if zstd::is_zstd(&bytes) {
        bytes = zstd::inflate(&bytes, limits)?;
    }
    Profile::read(bytes, limits, legacy::convert)
}

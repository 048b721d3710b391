//! Profiles in profile.proto, as Go's `net/http/pprof` and many others write
//! them, in the forms in which people read them: reports, flame graphs, other
//! tools' formats; and Go's text forms, read as profiles. The words and the
//! numbers are those of `go tool pprof`.
//!
//! Reading, summing and merging is the crate `pprof-engine`, all of which is
//! offered here too. The wall between them is there for the compiler: what
//! runs over every sample is optimised, and what runs over a report's rows is
//! not, since nobody would feel it but everybody would wait for it to compile.

pub mod export;
mod json;
mod legacy;
pub mod report;
pub mod web;
mod zstd;

pub use pprof_engine::{
    BASE_LABEL, Base, Difference, Error, Function, Granularity, Header, Info, Label, Limits, Line,
    Location, Mapping, Profile, Query, Result, Sample, Source, Text, ValueType, compress, diff,
    encode, flame, merge, proto, unit,
};
pub use report::{Row, Top};

/// Read a profile in whatever wrapping it comes, or one of Go's text forms.
///
/// # Errors
/// What is wrong and where; what it is if it is no profile.
pub fn decode(bytes: Vec<u8>) -> Result<Profile> {
    decode_within(bytes, Limits::default())
}

/// As `decode`, with limits of one's own.
///
/// # Errors
/// As `decode`.
pub fn decode_within(mut bytes: Vec<u8>, limits: Limits) -> Result<Profile> {
    if zstd::is_zstd(&bytes) {
        bytes = zstd::inflate(&bytes, limits)?;
    }
    Profile::read(bytes, limits, legacy::convert)
}

//! A profile for queries: tables are built once, samples are read in place from the
//! inflated bytes for each query. Memory is the inflated size and little more.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::ids::Ids;

/// Index in the string table; 0 is the empty string.
pub type Text = u32;

/// Stands for no mapping.
pub(crate) const NO_MAPPING: u32 = u32::MAX;

/// Start and length in `Profile::bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

/// The type and unit of a value, such as `inuse_space` in `bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ValueType {
    pub kind: Text,
    pub unit: Text,
}

/// A function as recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Function {
    pub id: u64,
    pub name: Text,
    pub system_name: Text,
    pub file: Text,
    pub start_line: i64,
}

/// A file mapped into the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mapping {
    pub id: u64,
    pub start: u64,
    pub limit: u64,
    pub offset: u64,
    pub file: Text,
    pub build_id: Text,
    /// Functions, filenames, line numbers, inlined frames are in the profile.
    pub has: [bool; 4],
}

/// One call: the address in a stack, with the calls inlined there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    pub id: u64,
    pub(crate) mapping: u32,
    pub address: u64,
    /// In `Profile::lines`, innermost first.
    pub(crate) lines: (u32, u32),
    pub folded: bool,
}

/// A place in the source; `function` is the place in the function table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    pub function: u32,
    pub line: i64,
    pub column: i64,
}

/// `str`, or else `num` in `unit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Label {
    pub key: Text,
    pub str: Text,
    pub num: i64,
    pub unit: Text,
}

/// The samples of a profile.
#[derive(Debug, Clone)]
pub(crate) enum Samples {
    /// As encoded: for each message the span of its length in `Profile::bytes`.
    Wire(Vec<Span>),
    /// As merged.
    Table(crate::table::Table),
}

/// The fields of a profile besides its tables.
#[derive(Debug, Clone, Default)]
pub struct Header {
    pub sample_types: Vec<ValueType>,
    pub period_type: ValueType,
    pub period: i64,
    pub time_nanos: i64,
    pub duration_nanos: i64,
    pub comments: Vec<Text>,
    pub default_sample_type: Text,
    pub doc_url: Text,
    pub drop_frames: Text,
    pub keep_frames: Text,
}

/// A profile, ready for queries.
#[derive(Debug, Clone)]
pub struct Profile {
    pub(crate) bytes: Vec<u8>,
    pub(crate) strings: Vec<Span>,
    pub header: Header,
    pub functions: Vec<Function>,
    pub mappings: Vec<Mapping>,
    pub locations: Vec<Location>,
    pub(crate) lines: Vec<Line>,
    pub(crate) location_ids: Ids,
    pub(crate) samples: Samples,
}

/// One sample; reused to save allocations.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// Indices in `Profile::locations`, leaf first.
    pub locations: Vec<u32>,
    pub values: Vec<i64>,
    pub labels: Vec<Label>,
}

impl Profile {
    /// Returns the approximate number of bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        let tables = size_of_val(&*self.strings)
            + size_of_val(&*self.functions)
            + size_of_val(&*self.mappings)
            + size_of_val(&*self.locations)
            + size_of_val(&*self.lines);
        let samples = match &self.samples {
            Samples::Wire(spans) => size_of_val(&**spans),
            Samples::Table(table) => table.memory(),
        };
        self.bytes.len() + tables + samples
    }

    pub fn text_bytes(&self, text: Text) -> &[u8] {
        let span = self.strings.get(text as usize);
        span.map_or(&[], |span| {
            &self.bytes[span.start as usize..span.start as usize + span.len as usize]
        })
    }

    /// Whether a string is not empty: a table may hold the empty string more than once.
    pub fn has_text(&self, text: Text) -> bool {
        !self.text_bytes(text).is_empty()
    }

    /// A string of the table, with invalid UTF-8 replaced.
    pub fn text(&self, text: Text) -> Cow<'_, str> {
        String::from_utf8_lossy(self.text_bytes(text))
    }

    /// A string in a table, of which each line is one row, whatever it holds.
    pub fn row(&self, text: Text) -> Cow<'_, str> {
        let text = self.text(text);
        if text.contains('\n') {
            return Cow::Owned(text.replace('\n', "\\n"));
        }
        text
    }

    /// The line at an index of a view.
    pub fn line(&self, place: u32) -> Line {
        self.lines[place as usize]
    }

    /// A location's lines, innermost first.
    pub fn lines(&self, location: &Location) -> &[Line] {
        &self.lines[location.lines.0 as usize..location.lines.1 as usize]
    }

    /// A location's mapping, if it has one.
    pub fn mapping(&self, location: &Location) -> Option<&Mapping> {
        self.mappings.get(location.mapping as usize)
    }

    pub(crate) fn check_text(&self, value: u64, offset: usize) -> Result<Text> {
        check_text(value, self.strings.len(), offset)
    }
}

/// # Errors
/// An index outside the string table.
pub(crate) fn check_text(value: u64, strings: usize, offset: usize) -> Result<Text> {
    // 0 is the empty string even without a table.
    if value != 0 && value >= strings as u64 {
        let what = format!("string {value} of a table of {strings}");
        return Err(Error::at(offset, what));
    }
    Ok(u32::try_from(value).unwrap_or(0))
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        // Inflated profiles stay below 4 GiB: see `Limits`.
        Self {
            start: u32::try_from(start).unwrap_or(u32::MAX),
            len: u32::try_from(end - start).unwrap_or(0),
        }
    }

    pub(crate) fn end(self) -> usize {
        self.start as usize + self.len as usize
    }
}

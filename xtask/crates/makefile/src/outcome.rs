//! What evaluation gives: what make would start, in its order.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Place};
use crate::explain::{Read, Step};

/// The work for some goals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Planned {
    pub items: Vec<Item>,
    /// Named by slots in the texts of later items.
    pub captures: Vec<Capture>,
    pub conditions: Vec<Condition>,
    /// Targets in the order in which make would look at them.
    pub chain: Vec<Step>,
    /// Variables that had a part in it.
    pub reads: Vec<Read>,
    /// What make would say on the way, such as a dropped circular dependency.
    pub notes: Vec<String>,
}

/// One thing to do, top to bottom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    Line(Line),
    /// Learn the value of `Planned::captures[slot]` now.
    Capture {
        slot: usize,
        condition: Option<usize>,
    },
    /// Here make would stop, unless `path` exists by then.
    Require {
        path: String,
        error: Error,
        condition: Option<usize>,
    },
}

/// A line for `/bin/sh -c`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// May have slots.
    pub text: String,
    /// `@`: make would not echo it.
    pub silent: bool,
    /// `-`: a failure is no failure.
    pub ignores_failure: bool,
    /// What make exports beyond its own environment; may have slots. Sorted.
    pub environment: Vec<(String, String)>,
    pub target: String,
    /// The recipe line.
    pub place: Place,
    /// How many makes deep; 0 for the first.
    pub level: usize,
    /// Only to be run if `Planned::conditions[condition]` holds.
    pub condition: Option<usize>,
}

/// A `$(shell …)` whose output is learnt while running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// May have slots of earlier captures.
    pub command: String,
    pub environment: Vec<(String, String)>,
    pub place: Place,
    /// Whose recipe asks; none while the file is read.
    pub target: Option<String>,
    /// Whether its value goes through a shell's word splitting before the line
    /// that uses it: then only a value without shell characters is safe.
    pub unquoted: bool,
}

/// When the recipe of a target runs. Decided at its first line, not before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// The target whose recipe called the make that this is in.
    pub within: Option<usize>,
    /// The file that the recipe makes; none when it always runs.
    pub target: Option<String>,
    pub prerequisites: Vec<Prerequisite>,
}

/// A file that a target must not be older than.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prerequisite {
    pub path: String,
    /// The condition of its own recipe, if it has one.
    pub made_by: Option<usize>,
    /// Always newer.
    pub phony: bool,
}

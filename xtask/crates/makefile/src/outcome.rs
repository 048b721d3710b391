//! The result of an evaluation: what make would start, in its order.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Place};
use crate::variables::Origin;

/// The work for some goals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Planned {
    pub items: Vec<Item>,
    /// Values that are known only while the plan runs; texts refer to them by slots.
    pub captures: Vec<Capture>,
    pub conditions: Vec<Condition>,
    /// With `--keep-going`, for each job the jobs that must have succeeded before it, all
    /// of which have lower numbers. A job is a recipe, or a part of one that starts or
    /// ends at a nested make.
    pub jobs: Vec<Vec<usize>>,
    /// Targets in the order in which make would consider them.
    pub chain: Vec<Step>,
    /// Variables that the lines depend on.
    pub reads: Vec<Read>,
    /// Messages that make would print, such as a dropped circular dependency.
    pub notes: Vec<String>,
}

/// One thing to do; a plan runs its items in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    Line(Line),
    /// Compute the value of `Planned::captures[slot]`.
    Capture {
        slot: usize,
        condition: Option<usize>,
        job: Option<usize>,
    },
    /// Fail with `error` unless `path` exists by then.
    Require {
        path: String,
        error: Error,
        condition: Option<usize>,
        job: Option<usize>,
    },
}

/// A line for a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// May contain slots.
    pub text: String,
    /// The shell with its arguments before the line: `/bin/sh -c`.
    pub shell: Vec<String>,
    /// Prefix `@`: make does not print it.
    pub silent: bool,
    /// Prefix `-`: a failure is ignored.
    pub ignores_failure: bool,
    /// Exported variables that differ from the environment of the first make, sorted
    /// by name. Values may contain slots.
    pub environment: Vec<(String, String)>,
    pub target: String,
    /// Place of the recipe line.
    pub place: Place,
    /// `MAKELEVEL`: 0 for the first make.
    pub level: usize,
    /// Index into `Planned::conditions`: the line runs only if it holds.
    pub condition: Option<usize>,
    /// Index into `Planned::jobs`: when the line fails, only what needs its job is not
    /// run. None: nothing after it is run.
    pub job: Option<usize>,
}

/// A `$(shell …)` whose output is known only while the plan runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// May contain slots of earlier captures.
    pub command: String,
    /// The shell with its arguments before the command.
    pub shell: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub place: Place,
    /// Target of the recipe; none while the file is read.
    pub target: Option<String>,
    pub passage: Passage,
}

/// Where a value goes before it reaches the line that uses it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Passage {
    /// Nowhere: it is text of the line.
    #[default]
    Direct,
    /// Through quotes on the command line of a nested make, which keep blanks.
    Quoted,
    /// Through the command line of a nested make without quotes, or through `MAKEFLAGS`.
    Words,
}

impl Passage {
    /// Whether the passage leaves the value as it is.
    pub fn keeps(self, value: &str) -> bool {
        match self {
            Self::Direct => true,
            Self::Quoted => !value.contains(['"', '\'', '$', '`', '\\', '\n']),
            Self::Words => {
                let is_plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
                value.chars().all(is_plain)
            }
        }
    }
}

/// A target that the evaluation updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// `MAKELEVEL` of the make that updates it.
    pub level: usize,
    pub target: String,
    /// The pattern, if the recipe is that of a pattern rule.
    pub pattern: Option<String>,
    /// Place of its recipe, else of its rule.
    pub place: Option<Place>,
}

/// A variable that some line depends on, directly or through others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    pub name: String,
    /// May contain slots.
    pub value: String,
    pub origin: Origin,
    /// `MAKELEVEL` of the make that read it.
    pub level: usize,
}

/// When the recipe of a target runs, decided at its first line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Condition of the recipe that called this make.
    pub within: Option<usize>,
    /// The file that the recipe makes; none when it always runs.
    pub target: Option<String>,
    /// Whether the target is known to be a file: it exists, or its name has a
    /// folder. A name alone that does not exist is a task in all but a declaration.
    #[serde(default)]
    pub is_file: bool,
    pub prerequisites: Vec<Prerequisite>,
}

/// A file that a target must not be older than.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prerequisite {
    pub path: String,
    /// The condition of its own recipe, if it has one.
    pub made_by: Option<usize>,
    /// Counts as newer than every file.
    pub phony: bool,
}

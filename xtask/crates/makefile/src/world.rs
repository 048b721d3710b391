//! The input of an evaluation: the call of make, and access to shells and files.

use std::collections::BTreeMap;

/// The evaluation's access to shells and files.
pub trait World {
    /// Returns the standard output of a `$(shell …)`.
    fn shell(&self, ask: &Ask<'_>) -> Reply;
    /// Whether a file or folder exists; `path` is written as in the Makefile.
    fn exists(&self, path: &str) -> bool;
    /// The files that fit a pattern of the shell, sorted; `pattern` is written as in the
    /// Makefile.
    fn glob(&self, pattern: &str) -> Vec<String>;
    /// The content of a file; `path` is written as in the Makefile.
    fn read(&self, path: &str) -> Option<Vec<u8>>;
}

/// A `$(shell …)`.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    pub command: &'a str,
    /// The program that runs the command, with its arguments before the command.
    pub shell: &'a [String],
    pub moment: Moment,
    /// The environment of the make itself: GNU make 4.3 does not export to `$(shell)`.
    pub environment: &'a BTreeMap<String, String>,
}

/// When make would run a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// While it reads the file, before anything of the plan.
    Reading,
    /// While a nested make reads the file: parts of the plan come before.
    ReadingLater,
    /// Before the first line of a recipe.
    Recipe,
    /// Never: the value is only reported.
    Report,
}

/// The answer to an [`Ask`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Text(String),
    /// The output is not known before the plan runs: the value becomes a slot, which the
    /// recipe shares with other calls of the same command.
    Later,
    /// Like `Later`, with a slot for this call alone.
    EachTime,
}

/// The arguments and surroundings of one call of make.
#[derive(Debug, Clone, Default)]
pub struct Invocation {
    /// Absolute path, the value of `$(CURDIR)`.
    pub directory: String,
    /// The whole environment that make would have been started with.
    pub environment: BTreeMap<String, String>,
    /// Goals and `NAME=VALUE`, in any order.
    pub arguments: Vec<String>,
    /// The value of `$(MAKE)` in lines that a shell runs.
    pub make_command: String,
}

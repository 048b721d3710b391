//! Go's tests: discovery, needs and results.
//!
//! Pure: sources come through [`Source`], events as bytes; values and text are
//! returned. No process, no network, no knowledge of the command line.

mod analyze;
mod ast;
mod constraint;
mod coverage;
mod discover;
mod enclosing;
pub mod events;
mod evidence;
mod file;
mod filter;
mod graph;
mod lex;
mod names;
mod need;
mod overrides;
mod parallel;
mod parse;
mod pattern;
mod program;
mod reach;
mod shards;
mod suites;
mod values;
mod workspace;

pub use constraint::Target;
pub use coverage::Coverage;
pub use discover::{Discovered, Options, discover};
pub use enclosing::{Enclosing, enclosing};
pub use filter::{Candidate, Filter, FilterError};
pub use names::Kind;
pub use need::{Need, Needed, Test};
pub use pattern::{Invalid, Pattern};
pub use reach::{affected, newest_source};
pub use shards::{Weight, split};
pub use suites::{NamedSuite, named_suites};
pub use workspace::{Entry, Folder, LARGEST_SOURCE, Module, Source, Unread, Workspace};

//! Go's tests without compiling: which there are in a checkout, and what each
//! needs of the host. Spawns nothing; files come through [`Source`].

mod analyze;
mod ast;
mod constraint;
mod discover;
mod duration;
pub mod events;
mod evidence;
mod file;
mod graph;
mod lex;
mod names;
mod need;
mod overrides;
mod parallel;
mod parse;
mod program;
mod values;
mod workspace;

/// Changes when the same sources are read differently.
pub const RULES: &str = "1";

pub use constraint::Target;
pub use discover::{Needed, Options, Test, discover};
pub use duration::duration;
pub use names::Kind;
pub use need::Need;
pub use workspace::{Entry, Folder, Module, Source, Workspace};

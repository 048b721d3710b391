//! GNU make as Talos, pkgs and extensions use it, evaluated without make.
//!
//! [`Makefile::parse`] reads the text; [`plan`] evaluates it for goals and
//! variables and returns, in make's order, the shell lines that make would
//! start, each with the variables that make would export to it. A recipe line
//! that only calls `$(MAKE)` becomes the lines of the make that it would have
//! started. Nothing is started here: `$(shell …)` and the existence of files
//! are asked of a [`World`].
//!
//! What is outside the subset is an [`Error`] that names file, line and
//! construct, raised only where it would have an effect. The reference is GNU
//! make 4.3; where it matters a comment names the function of its source.

mod assign;
mod budget;
mod call;
mod condition;
mod decide;
mod documented;
mod error;
mod expand;
mod explain;
mod export;
mod flags;
mod functions;
mod lines;
mod outcome;
mod parse;
mod prefix;
mod read;
mod rules;
mod slots;
mod statements;
mod stems;
mod syntax;
mod update;
mod variables;
mod words;

pub use budget::SHOWN_COMMAND;
pub use decide::{Changed, Decisions};
pub use documented::Documented;
pub use error::{Error, Place};
pub use explain::{Read, Step};
pub use outcome::{Capture, Condition, Item, Line, Planned, Prerequisite};
pub use parse::Makefile;
pub use read::{Ask, Invocation, Reply, World, plan, targets};
pub use slots::{Segment, contains as contains_slot, fill, segments};
pub use variables::Origin;
pub use words::split as split_words;

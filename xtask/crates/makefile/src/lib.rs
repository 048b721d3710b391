//! GNU make as Talos, pkgs and extensions use it, evaluated without make.
//!
//! [`Makefile::parse`] reads the text; [`plan`] evaluates it for goals and variables
//! and returns the shell lines that make would start, in its order, each with the
//! variables that make would export. A recipe line that only calls `$(MAKE)` becomes
//! the lines of that make. Nothing is started here: a [`World`] answers `$(shell …)`
//! and whether files exist.
//!
//! A construct outside of the subset is an [`Error`] that names file, line and
//! construct, reported only where it would have an effect. The reference is GNU make
//! 4.3; where it matters a comment names the function of its source.

mod assign;
mod condition;
mod decide;
mod documented;
mod error;
mod failures;
mod flags;
mod functions;
mod limits;
mod lines;
mod make;
mod outcome;
mod parse;
mod prefix;
mod rules;
mod slots;
mod stems;
mod syntax;
mod variables;
mod words;
mod world;

pub use decide::{Changed, Decisions};
pub use documented::Documented;
pub use error::{Error, Place};
pub use failures::Failures;
pub use limits::SHOWN_COMMAND;
pub use make::{plan, targets};
pub use outcome::{Capture, Condition, Item, Line, Passage, Planned, Prerequisite, Read, Step};
pub use parse::Makefile;
pub use prefix::is_plain_shell;
pub use slots::{Segment, contains as contains_slot, fill, marker as slot, segments};
pub use variables::Origin;
pub use words::split as split_words;
pub use world::{Ask, Invocation, Moment, Reply, World};

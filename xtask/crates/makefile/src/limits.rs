//! Limits of one evaluation. A Makefile of a few lines can require more memory and time
//! than any machine has: values that double, functions whose result is the product of
//! their arguments, rules of many targets with many prerequisites. `make::budget`
//! counts all of it before it is made.

/// Bytes of text that exist at one time: variables, rules, intermediate values and
/// the plan. All extensions at once take a fortieth of it.
pub(crate) const MAX_TEXT: usize = 64 << 20;
/// Steps: a step is a statement, a reference, a word of a function, or some bytes copied.
/// All extensions at once take 240,000.
pub(crate) const MAX_STEPS: usize = 2_000_000;
/// Distinct commands of `$(shell …)`: each starts a process. All extensions together
/// have two hundred.
pub(crate) const MAX_SHELLS: usize = 4096;
/// Length of a chain of prerequisites, in all makes together: each is a stack frame.
pub(crate) const MAX_CHAIN: usize = 200;
/// Bytes of one value. A command line of Linux has at most 2 MiB.
pub(crate) const MAX_VALUE: usize = 8 << 20;
/// Bytes that are copied in the time of one step.
pub(crate) const BYTES_PER_STEP: usize = 256;
/// Bytes of a map's entry or a vector's element besides its text.
pub(crate) const ENTRY: usize = 64;
/// Bytes of a step of the plan besides its text, until it is shown; JSON takes most.
pub(crate) const STEP: usize = 1024;
/// Characters of a command that are shown in place of its output in a plan.
pub const SHOWN_COMMAND: usize = 200;
/// References within references: real Makefiles have four.
pub(crate) const MAX_NESTING: usize = 100;
/// Makes that start each other: real Makefiles have three.
pub(crate) const MAX_MAKES: usize = 24;

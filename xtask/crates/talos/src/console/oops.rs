//! The first bug that a kernel reports of itself or of a module.
//!
//! Talos' kernels panic then; others go on without the process that was hit. Messages are those of Linux 6.1 and 6.18
//! for amd64 (testdata/console), and of the sources for arm64.

use std::fmt;

/// A bug of the kernel or of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oops {
    /// The first line, without its time stamp: `BUG: kernel NULL pointer dereference, address: 0000000000000000`.
    pub line: String,
    /// Function, offset in it, its size and its module: `hailo_probe+0x12/0x40 [hailo_pci]`.
    pub function: Option<String>,
    /// Lines that follow are not of its function.
    is_read: bool,
}

/// What the first line begins with. Later kernels write `Oops: ` before those of traps.
const BEGINNINGS: &[&str] = &[
    "BUG: ",
    "kernel BUG at ",
    "Oops: ",
    "general protection fault",
    "invalid opcode: ",
    "divide error: ",
    "stack segment: ",
    "double fault: ",
    "traps: PANIC: double fault",
    "Unable to handle kernel ",
    "Internal error: ",
];
/// A busy or slow machine, which goes on.
const LOCKUP: &str = "BUG: workqueue lockup";
/// What the address of the instruction follows, in the kernel.
const FUNCTION: &[&str] = &["RIP: 0010:", "pc : "];
/// Comes after the function, and without one for a bug that no instruction stands for.
const CALL_TRACE: &str = "call trace:";

impl Oops {
    /// Reads the next line of a boot into its first oops.
    pub(super) fn read(first: &mut Option<Self>, text: &[u8]) {
        match first {
            None => *first = Self::begin(text),
            Some(oops) if !oops.is_read => {
                oops.function = function(text);
                oops.is_read = oops.function.is_some() || is_call_trace(text);
            }
            Some(_) => {}
        }
    }

    fn begin(text: &[u8]) -> Option<Self> {
        let begins = |beginning: &str| text.starts_with(beginning.as_bytes());
        let is_oops = BEGINNINGS.iter().any(|beginning| begins(beginning));
        (is_oops && !begins(LOCKUP)).then(|| Self {
            line: short(text),
            function: None,
            is_read: false,
        })
    }
}

fn is_call_trace(text: &[u8]) -> bool {
    let beginning = text.get(..CALL_TRACE.len());
    beginning.is_some_and(|text| text.eq_ignore_ascii_case(CALL_TRACE.as_bytes()))
}

fn function(text: &[u8]) -> Option<String> {
    let rest = FUNCTION
        .iter()
        .find_map(|before| text.strip_prefix(before.as_bytes()))?;
    Some(short(rest))
}

fn short(text: &[u8]) -> String {
    String::from_utf8_lossy(text)
        .trim()
        .chars()
        .take(200)
        .collect()
}

/// As text: BUG: unable to handle page fault for address: 00000000deadbeef, in `f+0x1/0x2 [m]`.
impl fmt::Display for Oops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)?;
        match &self.function {
            Some(function) => write!(f, ", in `{function}`"),
            None => Ok(()),
        }
    }
}

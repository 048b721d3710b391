//! Audit records in every form in which logs show them, as a stream: memory does
//! not grow with the log.

mod boots;
mod denial;
mod fields;
mod header;
mod loss;
mod reader;

pub use denial::{ContextError, Denials, Group, Operation, Sample, Seen};
pub use loss::{Loss, LossKind};
pub use reader::{Reader, Summary};

/// Characters that are kept of a line.
const EXCERPT: usize = 1024;

/// A line as text, cut.
fn excerpt(line: &[u8]) -> String {
    let is_cut = line.len() > EXCERPT;
    let mut text = String::from_utf8_lossy(&line[..line.len().min(EXCERPT)])
        .trim_end()
        .to_owned();
    if is_cut {
        text.push('…');
    }
    text
}

//! Text forms of Go's handlers: `debug=1` of all profiles and `debug=2` of goroutines.
//! Text becomes a profile, so that all queries work on it. Numbers are those of `go
//! tool pprof` (`profile/legacy_profile.go` of google/pprof), which only reads
//! addresses; this reader also takes the names beside them.

mod build;
mod counts;
mod goroutines;

pub(crate) use goroutines::{CREATED_BY, STATE, WAIT};
use pprof_engine::{Error, Limits, Result, is_text};
use prost::Message;

/// The number of bytes that show whether it is text.
const HEAD: usize = 256;

/// Converts text to an encoded profile; none for other input.
pub(crate) fn convert(bytes: &[u8], limits: Limits) -> Option<Result<Vec<u8>>> {
    if !is_text(&bytes[..bytes.len().min(HEAD)]) {
        return None;
    }
    let text = Text(bytes);
    let (_, first) = text
        .lines()
        .find(|(_, line)| !line.is_empty() && !line.starts_with('#'))?;
    let built = if goroutines::begins(&first) {
        goroutines::read(text, limits)
    } else {
        counts::Form::detect(&first)?.and_then(|form| form.read(text, limits))
    };
    Some(built.map(|builder| builder.finish().encode_to_vec()))
}

/// Lines numbered from 1, with invalid UTF-8 replaced.
#[derive(Clone, Copy)]
struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    fn lines(self) -> impl Iterator<Item = (usize, std::borrow::Cow<'a, str>)> {
        let lines = self.0.split(|byte| *byte == b'\n');
        (1..).zip(lines.map(|line| String::from_utf8_lossy(line.trim_ascii_end())))
    }
}

fn wrong(line: usize, what: &str) -> Error {
    Error::Invalid(format!("line {line}: {what}"))
}

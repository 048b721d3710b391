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
    if let Some(what) = foreign(text, &first) {
        let excerpt = first.into_owned();
        return Some(Err(Error::NotAProfile { what, excerpt }));
    }
    let built = if goroutines::begins(&first) {
        goroutines::read(text, limits)
    } else {
        counts::Form::detect(&first)?.and_then(|form| form.read(text, limits))
    };
    Some(built.map(|builder| builder.finish().encode_to_vec()))
}

/// Forms of other runtimes, which have addresses without names: they need the program,
/// which `go tool pprof PROGRAM FILE` reads.
fn foreign(text: Text<'_>, first: &str) -> Option<&'static str> {
    let heads = [
        (
            "--- contentionz ",
            "a contention profile of C++ or Java (`go tool pprof PROGRAM FILE`)",
        ),
        (
            "--- heapz ",
            "a heap profile of Java (`go tool pprof PROGRAM FILE`)",
        ),
        (
            "--- threadz ",
            "a thread profile of C++ (`go tool pprof PROGRAM FILE`)",
        ),
        (
            "heap_v2/",
            "a heap profile of jemalloc (`jeprof PROGRAM FILE`)",
        ),
    ];
    let found = heads.iter().find(|(head, _)| first.starts_with(head));
    if let Some((_, what)) = found {
        return Some(what);
    }
    if !first.starts_with("heap profile:") {
        return None;
    }
    let is_growth = ["@ growth", "@ fragmentation"];
    if is_growth.iter().any(|kind| first.contains(kind)) {
        return Some("a growth profile of C++ (`go tool pprof PROGRAM FILE`)");
    }
    let libraries = text.lines().any(|(_, line)| line == "MAPPED_LIBRARIES:");
    libraries.then_some("a heap profile of C++ (`go tool pprof PROGRAM FILE`)")
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

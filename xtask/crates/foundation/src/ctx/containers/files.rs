//! Reads files of a running or stopped container: `docker cp` prints a tar
//! stream that `tar` lists or unpacks. Both must succeed within the time and
//! size limits. An unreadable file is an error and never "not found", because
//! the result decides what is deleted.

use std::time::Duration;

use super::LIMIT;
use crate::ctx::probe::{Probe, ProbeError};
use crate::failure::{Failure, Result};
use crate::typed;

/// A listing of 100,000 files has about 10 MB.
const LARGEST: usize = 64 << 20;
/// Many small files on a slow disk take long.
const LISTING: Duration = Duration::from_mins(2);

/// Returns all paths at and below `folder`, relative to its parent, as
/// `tar --list` prints them.
///
/// # Errors
/// If the folder does not exist, or any part of it cannot be read.
pub fn list(container: &str, folder: &str) -> Result<Vec<String>> {
    let list = copy(container, folder).pipe(["tar", "--list"]);
    let text = list.timeout(LISTING).exact_stdout();
    let text = text.map_err(|error| unreadable(container, folder, error))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Returns the text of a file.
///
/// # Errors
/// If the file does not exist or cannot be read.
pub fn read(container: &str, file: &str) -> Result<String> {
    let unpack = copy(container, file).pipe(["tar", "--extract", "--to-stdout"]);
    let text = unpack.timeout(LIMIT).exact_stdout();
    text.map_err(|error| unreadable(container, file, error))
}

fn copy(container: &str, path: &str) -> Probe {
    let from = format!("{container}:{path}");
    Probe::new(["docker", "cp", &from, "-"]).largest(LARGEST)
}

fn unreadable(container: &str, path: &str, error: ProbeError) -> Failure {
    Failure::host(format!("cannot read `{path}` of container `{container}`"))
        .cause(error)
        .hint(typed!("doctor"))
}

//! The checksums of a source: of a local copy, or of a download that is read once
//! and not kept.

use std::time::Duration;

use camino::Utf8Path;

use foundation::ctx::own_executable::own_executable;
use foundation::ctx::probe::{Probe, ProbeError};
use foundation::failure::{Because, Failure, Result};
use foundation::files;
use foundation::hash::Checksums;

/// Sources of drivers are some megabytes; a slow mirror may take its time.
const LIMIT: Duration = Duration::from_mins(10);

/// # Errors
/// If the copy cannot be read.
pub(super) fn of_file(file: &Utf8Path) -> Result<Checksums> {
    let unreadable = || format!("cannot read `{file}`");
    let open = files::open(file).because(unreadable)?;
    let open = open.ok_or_else(|| Failure::usage(format!("the file `{file}` does not exist")))?;
    Checksums::of(open).because(unreadable)
}

/// # Errors
/// If it cannot be downloaded.
pub(super) fn of_url(url: &str) -> Result<Checksums> {
    let own = own_executable()?;
    let fetch = [
        "curl",
        "--fail",
        "--silent",
        "--show-error",
        "--location",
        "--proto",
        "=http,https",
        "--connect-timeout",
        "20",
        "--",
        url,
    ];
    let fetched = Probe::new(fetch)
        .pipe([own.as_str(), "internal", "checksums"])
        .timeout(LIMIT)
        .exact_stdout();
    let text = fetched.map_err(|error| {
        let failure = Failure::host(format!("cannot download `{url}`"));
        let failure = match &error {
            ProbeError::Failed { said, .. } if !said.is_empty() => failure.cause(said),
            _ => failure.cause(&error),
        };
        failure
            .cause("its checksums become part of the Pkgfile")
            .hint("add `--source-file FILE`: the checksums of a copy on this machine")
    })?;
    serde_json::from_str(&text).because(|| "cannot read checksums".to_owned())
}

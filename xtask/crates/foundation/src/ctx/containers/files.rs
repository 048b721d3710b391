//! Reads files of a running or stopped container: `docker cp` prints a tar
//! stream that `tar` lists or unpacks. Both must succeed within the time and
//! size limits. An unreadable file is an error and never "not found", because
//! the result decides what is deleted.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use duct::{Expression, ReaderHandle, cmd};
use rustix::process::{Pid, Signal, kill_process_group};

use super::LIMIT;
use crate::ctx::cargo_run;
use crate::failure::{Failure, Result};
use crate::typed;

/// A listing of 100,000 files has about 10 MB.
const LARGEST: u64 = 64 << 20;
/// Many small files on a slow disk take long.
const LISTING: Duration = Duration::from_mins(2);

/// Returns all paths at and below `folder`, relative to its parent, as
/// `tar --list` prints them.
///
/// # Errors
/// If the folder does not exist, or any part of it cannot be read.
pub fn list(container: &str, folder: &str) -> Result<Vec<String>> {
    let text = piped(
        &copy(container, folder).pipe(cmd!("tar", "--list")),
        LISTING,
        LARGEST,
    )
    .map_err(|why| unreadable(container, folder, &why))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Returns the text of a file.
///
/// # Errors
/// If the file does not exist or cannot be read.
pub fn read(container: &str, file: &str) -> Result<String> {
    piped(
        &copy(container, file).pipe(cmd!("tar", "--extract", "--to-stdout")),
        LIMIT,
        LARGEST,
    )
    .map_err(|why| unreadable(container, file, &why))
}

fn copy(container: &str, path: &str) -> Expression {
    cmd!("docker", "cp", format!("{container}:{path}"), "-")
}

fn unreadable(container: &str, path: &str, why: &str) -> Failure {
    Failure::host(format!("cannot read `{path}` of container `{container}`"))
        .cause(why)
        .hint(typed!("doctor"))
}

/// Returns the output of a pipeline whose parts must all succeed.
fn piped(pipeline: &Expression, limit: Duration, largest: u64) -> Result<String, String> {
    // stderr goes to a file: two pipes that are read in turn would block each
    // other.
    let said = tempfile::tempfile().map_err(|error| error.to_string())?;
    let stderr = said.try_clone().map_err(|error| error.to_string())?;
    let reader = pipeline
        .stdin_null()
        .stderr_file(stderr)
        .before_spawn(|command| {
            cargo_run::hide_from(command);
            // So that its own children end with it.
            command.process_group(0);
            Ok(())
        })
        .reader()
        .map_err(|error| error.to_string())?;
    let reader = Arc::new(reader);
    let (sender, receiver) = channel();
    let reading = Arc::clone(&reader);
    // Detached: a grandchild may keep the pipe open after the pipeline was killed.
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = (&*reading).take(largest + 1).read_to_end(&mut bytes);
        let _ = sender.send(read.map(|_| bytes));
    });
    match receiver.recv_timeout(limit) {
        Ok(Ok(bytes)) if bytes.len() as u64 > largest => {
            end(&reader);
            Err(format!("it prints more than {} MiB", largest >> 20))
        }
        Ok(Ok(bytes)) => String::from_utf8(bytes).map_err(|error| error.to_string()),
        Ok(Err(error)) => Err(last_line(said).unwrap_or_else(|| error.to_string())),
        Err(_) => {
            end(&reader);
            Err(format!(
                "`docker cp` takes longer than {} s",
                limit.as_secs()
            ))
        }
    }
}

/// Kills all processes of the pipeline and their children.
fn end(reader: &ReaderHandle) {
    for pid in reader.pids() {
        if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
    let _ = reader.kill();
}

/// The first error message of the pipeline.
fn last_line(mut said: std::fs::File) -> Option<String> {
    use std::io::Seek;
    let mut bytes = Vec::new();
    said.rewind().ok()?;
    said.take(64 << 10).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    // `docker cp` fails first; `tar` then only reports its empty input.
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    Some(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Expression {
        cmd!("sh", "-c", script)
    }

    #[expect(clippy::needless_pass_by_value, reason = "shorter to call")]
    fn short(pipeline: Expression) -> Result<String, String> {
        piped(&pipeline, Duration::from_secs(20), 1 << 20)
    }

    #[test]
    fn both_sides_must_succeed() {
        let cat = || cmd!("cat");
        assert_eq!(short(sh("printf a").pipe(cat())).unwrap(), "a");
        let first = short(sh("printf a; echo no daemon >&2; exit 1").pipe(cat()));
        assert_eq!(first.unwrap_err(), "no daemon");
        let second = short(sh("printf a").pipe(sh("cat; exit 2")));
        assert!(second.unwrap_err().contains('2'));
        let missing = short(sh("printf a").pipe(cmd!("xtask-has-no-such-tool")));
        assert!(missing.is_err());
        let missing = short(cmd!("xtask-has-no-such-tool").pipe(cat()));
        assert!(missing.is_err());
    }

    #[test]
    fn too_much_and_too_long_are_errors() {
        let flood = short(sh("exec yes").pipe(cmd!("cat")));
        assert!(flood.unwrap_err().contains("more than 1 MiB"));
        // A remaining process keeps the pipe open.
        let held = sh("sleep 600 & echo a").pipe(cmd!("cat"));
        let held = piped(&held, Duration::from_millis(300), 1 << 20);
        assert!(held.unwrap_err().contains("longer than"));
        let hangs = piped(
            &sh("sleep 600").pipe(cmd!("cat")),
            Duration::from_millis(300),
            9,
        );
        assert!(hangs.unwrap_err().contains("longer than"));
        let torn = short(sh(r"printf '\377'").pipe(cmd!("cat")));
        assert!(torn.is_err());
    }
}

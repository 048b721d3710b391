//! Files of a container, as `docker cp` gives them out, running or stopped: a
//! tar stream that `tar` lists or unpacks. Both must succeed, in time and with
//! an output of a sane size. What could not be read is an error and never
//! "there is none": what is destroyed is decided by it.

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

/// A listing of a hundred thousand files has some ten megabytes.
const LARGEST: u64 = 64 << 20;
/// An engine that reads many small files from a slow disk takes its time.
const LISTING: Duration = Duration::from_mins(2);

/// Paths of everything at and below `folder`, which begin with its last part,
/// as `tar --list` prints them.
///
/// # Errors
/// When the folder does not exist, or any part of it cannot be read.
pub fn list(container: &str, folder: &str) -> Result<Vec<String>> {
    let text = piped(
        &copy(container, folder).pipe(cmd!("tar", "--list")),
        LISTING,
        LARGEST,
    )
    .map_err(|why| unreadable(container, folder, &why))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// The text of a file.
///
/// # Errors
/// When the file does not exist or cannot be read.
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

/// What a pipeline prints, if all of its parts succeed.
fn piped(pipeline: &Expression, limit: Duration, largest: u64) -> Result<String, String> {
    // In a file: two pipes that are read in turn would block each other.
    let said = tempfile::tempfile().map_err(|error| error.to_string())?;
    let stderr = said.try_clone().map_err(|error| error.to_string())?;
    let reader = pipeline
        .stdin_null()
        .stderr_file(stderr)
        .before_spawn(|command| {
            cargo_run::hide_from(command);
            // So that what it starts in turn ends with it.
            command.process_group(0);
            Ok(())
        })
        .reader()
        .map_err(|error| error.to_string())?;
    let reader = Arc::new(reader);
    let (sender, receiver) = channel();
    let reading = Arc::clone(&reader);
    // Detached: something may keep the pipe open after all that we started was killed.
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

/// All processes of the pipeline, and what they have started.
fn end(reader: &ReaderHandle) {
    for pid in reader.pids() {
        if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
    let _ = reader.kill();
}

/// Of what was said: why, as both tools have it.
fn last_line(mut said: std::fs::File) -> Option<String> {
    use std::io::Seek;
    let mut bytes = Vec::new();
    said.rewind().ok()?;
    said.take(64 << 10).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    // The first tool's own words: the second one only complains of what it was not given.
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
        // A process that is left over keeps the pipe open.
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

//! Locks by `flock`, which end with their holder; the existence of a lock file
//! means nothing.

use std::fs::File;
use std::io::{Read, Seek, Write};

use std::time::Duration;

use camino::Utf8Path;
use rustix::fs::{FlockOperation, OFlags};
use rustix::io::retry_on_intr;

use super::own;
use crate::failure::{Because, Exit, Failure, Result};
use crate::signals::Signals;
use crate::wait::{Wait, Waited};

const LONGEST_HOLDER: u64 = 1000;
/// `flock` has no deadline of its own.
const LOOK: Duration = Duration::from_millis(20);

/// Held until dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes `dir/NAME.lock`, or fails with its holder; does not wait.
///
/// # Errors
/// If another run holds it, or the folder cannot be written.
pub fn take(dir: &Utf8Path, name: &str, doing: &str) -> Result<Lock> {
    let path = dir.join(format!("{name}.lock"));
    let mut file = own::open(&path, OFlags::RDWR, 0o600)
        .because(|| format!("cannot open the lock `{path}`"))?;
    let taken =
        retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive));
    if let Err(error) = taken {
        if error != rustix::io::Errno::WOULDBLOCK {
            return Err(Failure::step(format!("cannot take the lock `{path}`")).cause(error));
        }
        let mut holder = String::new();
        // The holder is a line with a pid; other contents are ignored.
        let _ = (&file).take(LONGEST_HOLDER).read_to_string(&mut holder);
        return Err(
            Failure::new(Exit::HostNotReady, format!("another run is using `{name}`"))
                .cause(holder.trim())
                .hint("wait for it to end, or stop it with Ctrl-C"),
        );
    }
    // Only for the message of the next run, so errors are ignored.
    let _ = file.set_len(0).and_then(|()| file.rewind());
    let _ = writeln!(file, "{doing} (pid {})", std::process::id());
    Ok(Lock { _file: file })
}

/// Like `take`, but retries for a second: a child that a killed run was
/// starting holds its lock until its exec.
///
/// # Errors
/// Those of `take`, after one second.
pub fn take_soon(dir: &Utf8Path, name: &str, doing: &str) -> Result<Lock> {
    let wait = Wait::default().within(Duration::from_secs(1));
    take_after(wait, dir, name, doing)
}

/// Like `take`, but waits until the lock is free or the user asks to stop.
///
/// # Errors
/// Those of `take`.
pub fn take_when_free(dir: &Utf8Path, name: &str, doing: &str, signals: &Signals) -> Result<Lock> {
    take_after(Wait::default().or_signal(signals), dir, name, doing)
}

fn take_after(wait: Wait<'_>, dir: &Utf8Path, name: &str, doing: &str) -> Result<Lock> {
    let mut held = match take(dir, name, doing) {
        Err(failure) if failure.exit == Exit::HostNotReady => failure,
        other => return other,
    };
    let waited = wait.look_every(LOOK, || match take(dir, name, doing) {
        Err(failure) if failure.exit == Exit::HostNotReady => {
            held = failure;
            Ok(None)
        }
        other => other.map(Some),
    })?;
    match waited {
        Waited::Found(lock) => Ok(lock),
        Waited::TimedOut | Waited::Interrupted => Err(held),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let held = take(root, "cluster-a", "cluster up").unwrap();
        let failure = take(root, "cluster-a", "cluster destroy").unwrap_err();
        assert_eq!(failure.exit, Exit::HostNotReady);
        assert!(failure.to_string().contains("cluster up (pid"), "{failure}");
        take(root, "cluster-b", "cluster up").unwrap();
        drop(held);
        take(root, "cluster-a", "cluster destroy").unwrap();
    }
}

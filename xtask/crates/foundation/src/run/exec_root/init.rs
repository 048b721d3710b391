//! PID 1 of a test's namespaces: makes the mount and network namespaces, starts
//! the test from the helper's copy, reaps, and keeps the deadline. When it ends,
//! the kernel kills what is left in the PID namespace.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind, mount_change, mount_remount,
};
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, wait};
use rustix::thread::UnshareFlags;
use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;

use super::helper::{answer, read_line, receive, socket};
use super::{Answer, Request, loopback};
use crate::ctx::abilities::PATH_OF_ROOT;
use crate::ctx::processes::Process;
use crate::failure::{Because, Exit, Failure, Result};
use crate::run::child::Ask;
use crate::run::core::until;
use crate::run::{exit_code, spawn};
use crate::signals::{Caught, STOPPING};
use crate::wait::runtime;

/// How long a test has to end after it was asked to; a dump of many goroutines
/// takes a while.
const GRACE: Duration = Duration::from_secs(5);
/// How many of the processes left behind are named.
const NAMED: usize = 20;

/// A request that the helper has checked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) request: Request,
    /// The helper's copy of the binary.
    pub(super) binary: Utf8PathBuf,
    /// HOME and TMPDIR.
    pub(super) scratch: Utf8PathBuf,
    /// The group of the test and of the files that it makes; root's if none.
    pub(super) group: Option<u32>,
}

/// Runs the test that standard input names.
///
/// # Errors
/// When standard input does not name a test; every other error is an answer.
pub fn serve() -> Result<u8> {
    let Some(start) = read_line::<Start>()? else {
        return Err(by_hand());
    };
    // No thread: it would stay in the namespaces that this process leaves.
    let runtime = runtime()?;
    let watched = {
        let _context = runtime.enter();
        Watched::new().because(|| "cannot watch a test".to_owned())
    };
    let begun = watched.and_then(|watched| {
        namespaces(&start.request)?;
        Ok((watched, test(&start)?))
    });
    match begun {
        Ok((watched, test)) => {
            answer(&Answer::Begun);
            let (code, timed_out) = runtime.block_on(watched.end_of(test, &start.request));
            let left = left_behind();
            if !left.is_empty() {
                answer(&Answer::Left(left));
            }
            answer(&Answer::Ended { code, timed_out });
            Ok(code)
        }
        Err(failure) => {
            answer(&Answer::refused(failure));
            Ok(Exit::HostNotReady.code())
        }
    }
}

fn by_hand() -> Failure {
    Failure::usage("only the helper of tests as root starts this")
}

fn namespaces(request: &Request) -> Result<()> {
    if std::process::id() != 1 {
        return Err(by_hand());
    }
    let mut which = UnshareFlags::NEWNS;
    if request.isolate {
        which |= UnshareFlags::NEWNET | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    }
    let make = || -> std::io::Result<()> {
        spawn::leave_namespaces(which)?;
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private)?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount("proc", "/proc", "proc", flags, None)?;
        if request.isolate {
            loopback::bring_up()?;
        }
        Ok(())
    };
    make().map_err(|error| {
        Failure::host("cannot make namespaces for a test")
            .cause(error)
            .hint(
                "in a container: run it with --privileged, or leave these tests out: --sudo never",
            )
    })
}

/// Allows execution of the copy even if /tmp is mounted `noexec`: the owner could
/// run the original as well.
fn allow_execution(folder: &Utf8Path) {
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    if mount_bind(folder.as_str(), folder.as_str()).is_ok() {
        let _ = mount_remount(folder.as_str(), flags, c"");
    }
}

fn test(start: &Start) -> Result<Pid> {
    let request = &start.request;
    if let Some(folder) = start.binary.parent() {
        allow_execution(folder);
    }
    let mut command = spawn::command(start.binary.as_str());
    if let Some(group) = start.group {
        command.gid(group);
    }
    command
        .arg0(request.binary.as_str())
        .args(&request.arguments)
        .env_clear()
        .envs(request.environment.iter().cloned())
        .envs([
            ("HOME", start.scratch.as_str()),
            ("TMPDIR", start.scratch.as_str()),
            ("PATH", PATH_OF_ROOT),
            ("PWD", request.folder.as_str()),
            ("USER", "root"),
            ("LOGNAME", "root"),
        ])
        .current_dir(&request.folder)
        .stdin(Stdio::null());
    let child = spawn::spawn(&mut command).map_err(|error| {
        let what = Failure::host("cannot start the test binary").cause(&error);
        match error.kind() {
            ErrorKind::PermissionDenied => what.hint("mount | grep noexec"),
            _ => what,
        }
    })?;
    Ok(Pid::from_child(&child))
}

/// The sources of requests to stop, and of the end of the test.
struct Watched {
    /// Requests of the helper.
    asks: AsyncFd<OwnedFd>,
    /// Signals: the end of a child, and requests to stop.
    caught: Caught,
}

impl Watched {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            asks: socket(std::io::stdin())?,
            caught: Caught::new(&[&STOPPING[..], &[Signal::CHILD]].concat())?,
        })
    }

    /// Waits until the test itself has ended. Returns its exit code, and whether it
    /// was for the deadline.
    async fn end_of(mut self, test: Pid, request: &Request) -> (u8, bool) {
        let deadline = Instant::now().checked_add(Duration::from_secs(request.deadline));
        let (mut is_stopping, mut kill_at) = (false, None);
        let (mut timed_out, mut is_asked) = (false, true);
        loop {
            if let Some(code) = reaped(test) {
                return (code, timed_out);
            }
            let asks = tokio::select! {
                biased;
                signal = self.caught.next() => match signal {
                    Signal::CHILD => Vec::new(),
                    _ => vec![Ask::Terminate],
                },
                bytes = receive(&self.asks), if is_asked => if let Some(bytes) = bytes {
                    bytes.into_iter().filter_map(Ask::read).collect()
                } else {
                    // The helper has ended: the kernel is about to kill this
                    // process as well.
                    is_asked = false;
                    vec![Ask::Terminate]
                },
                () = until(deadline), if !is_stopping => {
                    timed_out = true;
                    vec![Ask::Dump]
                }
                () = until(kill_at) => vec![Ask::Kill],
            };
            for ask in asks {
                let signal = if is_stopping {
                    Signal::KILL
                } else {
                    ask.signal()
                };
                let _ = kill_process_group(test, signal);
                kill_at = (!is_stopping).then(|| Instant::now() + GRACE);
                is_stopping = true;
            }
        }
    }
}

/// Reaps all children that have ended, as an init must. Returns the exit code of
/// the test if it is among them.
fn reaped(test: Pid) -> Option<u8> {
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == test {
            return Some(exit_code::of(ExitStatus::from_raw(status.as_raw())));
        }
    }
    None
}

/// The names of the processes that are left; the kernel kills them with this one.
fn left_behind() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let alive = pids
        .filter(|pid| *pid != 1)
        .filter(|pid| Process::probe(*pid).is_some_and(|process| process.is_alive()));
    alive
        .take(NAMED)
        .map(|pid| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            name.unwrap_or_default().trim().to_owned()
        })
        .collect()
}

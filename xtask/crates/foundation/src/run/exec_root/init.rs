//! PID 1 of a test's namespaces: makes mounts and network its own, starts the
//! test from the helper's copy, reaps, keeps the deadline. When it ends the
//! kernel ends all that is left.

use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind, mount_change, mount_remount,
};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process_group, wait};
use rustix::thread::UnshareFlags;
use serde::{Deserialize, Serialize};

use super::helper::{answer, read_line};
use super::{Answer, Ask, Request, loopback};
use crate::ctx::processes::Process;
use crate::failure::{Exit, Failure, Result};
use crate::run::child::FOR_EVER;
use crate::run::{Signals, spawn};

/// Where a test as root finds programs: nowhere that a user can write.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long a test that was asked to end has for it; a dump of many goroutines
/// takes a while.
const GRACE: Duration = Duration::from_secs(5);
/// At most how long a wake-up is overlooked.
const LOOK: Duration = Duration::from_millis(200);
/// Of processes that were left, so many are named.
const NAMED: usize = 20;

/// What the helper has found good.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) request: Request,
    /// The copy of the request's.
    pub(super) binary: Utf8PathBuf,
    /// HOME and TMPDIR.
    pub(super) scratch: Utf8PathBuf,
    /// Of the test, and so of what it makes; root's where there is none.
    pub(super) group: Option<u32>,
}

/// Run the test that standard input names.
///
/// # Errors
/// None but when it names none; all else is answered.
pub fn serve(signals: &'static Signals) -> Result<u8> {
    let _attention = signals.attend();
    let Some(start) = read_line::<Start>()? else {
        return Err(by_hand());
    };
    match namespaces(&start.request).and_then(|()| test(&start)) {
        Ok(test) => {
            answer(&Answer::Begun);
            let (code, timed_out) = watch(test, &start.request, signals);
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
    Failure::usage("this is started by our own helper only")
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

/// Where /tmp is mounted without execution, the copy can be run all the same:
/// the owner's own binary, which lay somewhere else, could be run, too.
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
            ("PATH", PATH),
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

/// How strongly a test has been asked to end.
struct Stopping {
    since: Instant,
    killed: bool,
}

/// Until the test itself has ended. Returns its exit code, and whether it was
/// for the deadline.
fn watch(test: Pid, request: &Request, signals: &Signals) -> (u8, bool) {
    let end = Instant::now() + Duration::from_secs(request.deadline).min(FOR_EVER);
    let mut stopping: Option<Stopping> = None;
    let (mut timed_out, mut seen) = (false, 0);
    loop {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid == test {
                return (code(status), timed_out);
            }
        }
        let mut ask = read_asked();
        if signals.count() > seen {
            seen = signals.count();
            ask = ask.or(Some(Ask::Terminate));
        }
        if stopping.is_none() && Instant::now() > end {
            timed_out = true;
            ask = Some(Ask::Dump);
        }
        if let Some(ask) = ask {
            let signal = match ask {
                _ if stopping.is_some() => Signal::KILL,
                Ask::Interrupt => Signal::INT,
                Ask::Terminate => Signal::TERM,
                Ask::Dump => Signal::QUIT,
            };
            let _ = kill_process_group(test, signal);
            stopping.get_or_insert(Stopping {
                since: Instant::now(),
                killed: false,
            });
        }
        if let Some(stopping) = &mut stopping
            && !stopping.killed
            && stopping.since.elapsed() > GRACE
        {
            stopping.killed = true;
            let _ = kill_process_group(test, Signal::KILL);
        }
        let wake = signals.fd();
        let stdin = std::io::stdin();
        let mut fds = [
            PollFd::new(&wake, PollFlags::IN),
            PollFd::new(&stdin, PollFlags::IN),
        ];
        let _ = poll(&mut fds, Timespec::try_from(LOOK).ok().as_ref());
        signals.drain();
    }
}

/// What the helper asks for. Its end is seen as our own: we are killed then.
fn read_asked() -> Option<Ask> {
    let stdin = std::io::stdin();
    let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
    let now = Timespec::try_from(Duration::ZERO).ok();
    if !matches!(poll(&mut fds, now.as_ref()), Ok(1..)) {
        return None;
    }
    let mut byte = [0];
    match rustix::io::read(&stdin, &mut byte) {
        Ok(1) => Ask::read(byte[0]),
        _ => Some(Ask::Terminate),
    }
}

fn code(status: WaitStatus) -> u8 {
    let code = status
        .exit_status()
        .or_else(|| Some(128 + status.terminating_signal()?));
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX)
}

/// Who is still there; the kernel ends them with us.
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

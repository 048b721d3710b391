//! The one module with `unsafe`: what a child does between fork and exec, where
//! only async-signal-safe calls are allowed, and the two calls that the
//! libraries call unsafe for callers with other types than ours.
#![expect(unsafe_code, reason = "the one small reviewed module")]
#![expect(
    clippy::disallowed_methods,
    reason = "`run` is the room that starts processes"
)]

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::unix::AsyncFd;

use crate::ctx::cargo_run;

/// Whether this process is the `xtask` binary, which can start itself anew; a
/// test's is not.
static IS_XTASK: AtomicBool = AtomicBool::new(false);

/// Said by `main`, once.
pub fn we_are_xtask() {
    IS_XTASK.store(true, Ordering::Relaxed);
}

/// Our own executable, also after a build has replaced its file.
pub(super) fn own_executable() -> std::io::Result<std::path::PathBuf> {
    let path = std::env::current_exe()?;
    if cfg!(target_os = "linux") && !path.exists() {
        return Ok(format!("/proc/{}/exe", std::process::id()).into());
    }
    Ok(path)
}

/// Start `command` in a process group of its own; it is killed when the
/// thread that calls this ends, so call it from the main thread only.
///
/// # Errors
/// The system's.
pub(super) fn spawn(command: &mut Command) -> std::io::Result<Child> {
    command.process_group(0);
    die_with_parent(command);
    command.spawn()
}

/// Start `command` in a process group of its own. It has a lifeline from us, and
/// tidies up before it ends when that closes.
///
/// # Errors
/// The system's.
pub(super) fn spawn_on_lifeline(command: &mut Command) -> std::io::Result<Child> {
    command.process_group(0);
    command.spawn()
}

/// Start `command` in our process group, for the terminal's sake; it too is
/// killed when the thread that calls this ends.
///
/// # Errors
/// The system's.
pub(super) fn spawn_here(command: &mut Command) -> std::io::Result<Child> {
    die_with_parent(command);
    command.spawn()
}

/// The parent-death signal reaches `child` alone. This process is one of its
/// group and ends them all when the pipe from us closes, however we ended; the
/// end of the group is its end too. None where it cannot be had: it is a second
/// net.
pub(super) fn warden(child: &Child) -> Option<Child> {
    if !IS_XTASK.load(Ordering::Relaxed) {
        return None;
    }
    let group = i32::try_from(child.id()).ok()?;
    let mut command = Command::new(own_executable().ok()?);
    command.args(["internal", "warden"]).process_group(group);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().ok()
}

/// A command as `run` may make one.
pub(super) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    cargo_run::hide_from(&mut command);
    command
}

#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) {
    use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
    let parent = getpid();
    let before_exec = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have ended before the line above took effect. None is
        // a parent outside of our PID namespace: an orphan would have its init.
        match getppid() {
            Some(other) if other != parent => Err(std::io::Error::other("the parent is gone")),
            _ => Ok(()),
        }
    };
    // SAFETY: prctl and getppid are single system calls, which are
    // async-signal-safe; the error branch is taken only in a child that is to
    // end, whose allocation can at worst hang a process that KILL then ends.
    unsafe { command.pre_exec(before_exec) };
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_command: &mut Command) {}

/// Leave namespaces for new ones. Of the PID namespace only children become
/// part.
///
/// # Errors
/// The system's.
#[cfg(target_os = "linux")]
pub(super) fn leave_namespaces(which: rustix::thread::UnshareFlags) -> std::io::Result<()> {
    if which.contains(rustix::thread::UnshareFlags::FILES) {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: what is unsafe of it is the descriptor table, which stays shared.
    unsafe { rustix::thread::unshare_unsafe(which) }?;
    Ok(())
}

/// `fd`, to be awaited in the current runtime.
///
/// # Errors
/// When it cannot be polled, as a plain file.
pub(super) fn awaitable(fd: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor stays open, and the same, until it is dropped.
    Ok(unsafe { AsyncFd::register(fd) }?)
}

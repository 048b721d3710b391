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

use crate::ctx::own_executable::own_executable;
use crate::ctx::{cargo_run, dirs};

/// Whether this process is the `xtask` binary, which can start itself again; a
/// test binary cannot.
static IS_XTASK: AtomicBool = AtomicBool::new(false);

/// Called by `main`, once.
pub fn we_are_xtask() {
    IS_XTASK.store(true, Ordering::Relaxed);
}

/// Starts `command` in its own process group. It is killed when the calling
/// thread ends, so call this from the main thread only.
///
/// # Errors
/// I/O errors.
pub(super) fn spawn(command: &mut Command) -> std::io::Result<Child> {
    command.process_group(0);
    die_with_parent(command);
    command.spawn()
}

/// Starts a helper in its own process group. It cleans up and ends when its
/// lifeline, a pipe or socket from this process, closes.
///
/// # Errors
/// I/O errors.
pub(super) fn spawn_on_lifeline(command: &mut Command) -> std::io::Result<Child> {
    command.process_group(0);
    command.spawn()
}

/// Starts `command` in the current process group, so that it may use the
/// terminal. It is killed when the calling thread ends.
///
/// # Errors
/// I/O errors.
pub(super) fn spawn_here(command: &mut Command) -> std::io::Result<Child> {
    die_with_parent(command);
    command.spawn()
}

/// Starts a process in the group of `child` that kills the whole group when this
/// process ends, however it ends: the parent-death signal reaches only `child`.
/// It ends with the group. None if it cannot be started, since it is only a
/// second safety net.
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

/// A command that does not pass on the environment of `cargo run`, and knows the home directory.
pub(super) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    cargo_run::hide_from(&mut command);
    dirs::pass_home(&mut command);
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

/// Moves this process to new namespaces. Only its children enter a new PID
/// namespace.
///
/// # Errors
/// I/O errors.
#[cfg(target_os = "linux")]
pub(super) fn leave_namespaces(which: rustix::thread::UnshareFlags) -> std::io::Result<()> {
    if which.contains(rustix::thread::UnshareFlags::FILES) {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: only unsharing the descriptor table is unsafe, and it stays shared.
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

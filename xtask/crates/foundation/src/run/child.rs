//! A child process from its start until it is reaped. Its process group is
//! killed before the child is reaped: until then the group's number cannot
//! belong to another group.

use std::os::fd::OwnedFd;
use std::process::{self, Command, ExitStatus};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::unix::AsyncFd;

use super::spawn;

/// How often a system without pidfds is asked whether a child has ended.
const LOOK: Duration = Duration::from_millis(20);

/// A request to a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    Interrupt,
    /// Print all goroutines and end.
    Dump,
    Terminate,
    Kill,
}

impl Ask {
    /// As a helper reads it.
    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Interrupt => b'i',
            Self::Dump => b'q',
            Self::Terminate => b't',
            Self::Kill => b'k',
        }
    }

    /// The request that `byte` stands for.
    pub(super) fn read(byte: u8) -> Option<Self> {
        [Self::Interrupt, Self::Dump, Self::Terminate, Self::Kill]
            .into_iter()
            .find(|ask| ask.byte() == byte)
    }

    pub(super) fn signal(self) -> Signal {
        match self {
            Self::Interrupt => Signal::INT,
            Self::Dump => Signal::QUIT,
            Self::Terminate => Signal::TERM,
            Self::Kill => Signal::KILL,
        }
    }
}

/// The way on which a child is asked to stop.
pub(super) trait Reach {
    /// Whether the child's standard output answers this process.
    const ANSWERS: bool = false;

    fn ask(&mut self, group: Pid, ask: Ask);

    /// Ready when [`Self::exchange`] has something to do.
    fn poll_ready(&self, _context: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    /// Sends and receives what can be without waiting.
    fn exchange(&mut self) {}

    /// Ends what the child has left, or the child itself if it still runs.
    fn close(&mut self, group: Pid);
}

/// Reached by signals to its process group.
#[derive(Debug)]
pub(super) struct Group;

impl Reach for Group {
    fn ask(&mut self, group: Pid, ask: Ask) {
        let _ = kill_process_group(group, ask.signal());
        // A suspended process could not even end.
        let _ = kill_process_group(group, Signal::CONT);
    }

    fn close(&mut self, group: Pid) {
        self.ask(group, Ask::Kill);
    }
}

/// The state of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Running,
    /// Suspended by this signal.
    Suspended(i32),
    Ended,
}

/// A running child. Dropping it ends the child.
#[derive(Debug)]
pub(super) struct Child<R: Reach> {
    pub(super) reach: R,
    process: process::Child,
    end: End,
    /// Ends the whole group if this process is killed.
    warden: Option<process::Child>,
    reaped: bool,
}

impl Child<Group> {
    /// Starts `command` in a process group of its own, which ends with this
    /// process. Call it from the main thread, in the context of a runtime.
    ///
    /// # Errors
    /// I/O errors.
    pub(super) fn start(command: &mut Command) -> std::io::Result<Self> {
        let process = spawn::spawn(command)?;
        let warden = spawn::warden(&process);
        Self::new(process, Group, warden)
    }
}

impl<R: Reach> Child<R> {
    /// A helper that this process may not signal: `reach` is how it learns that
    /// it is to end.
    ///
    /// # Errors
    /// I/O errors.
    pub(super) fn helper(process: process::Child, reach: R) -> std::io::Result<Self> {
        Self::new(process, reach, None)
    }

    fn new(
        process: process::Child,
        reach: R,
        warden: Option<process::Child>,
    ) -> std::io::Result<Self> {
        let pid = Pid::from_child(&process);
        // From here on dropping it ends the child.
        let mut child = Self {
            reach,
            process,
            end: End { pid, pidfd: None },
            warden,
            reaped: false,
        };
        child.end = End::of(pid)?;
        Ok(child)
    }

    pub(super) fn pid(&self) -> Pid {
        self.end.pid
    }

    /// Its standard output and error, where they are pipes.
    pub(super) fn take_outputs(&mut self) -> [Option<OwnedFd>; 2] {
        let (out, err) = (self.process.stdout.take(), self.process.stderr.take());
        [out.map(Into::into), err.map(Into::into)]
    }

    /// Waits until it has ended.
    pub(super) async fn ended(&self) {
        self.end.wait().await;
    }

    pub(super) fn look(&self) -> State {
        look(self.end.pid, WaitIdOptions::STOPPED)
    }

    pub(super) fn ask(&mut self, ask: Ask) {
        self.reach.ask(self.end.pid, ask);
    }

    /// Closes its [`Reach`], and waits for the child.
    ///
    /// # Errors
    /// I/O errors.
    pub(super) fn reap(&mut self) -> std::io::Result<ExitStatus> {
        self.reaped = true;
        self.reach.close(self.end.pid);
        let status = self.process.wait();
        if let Some(mut warden) = self.warden.take() {
            let _ = warden.wait();
        }
        status
    }
}

impl<R: Reach> Drop for Child<R> {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = self.reap();
        }
    }
}

/// The end of a child, which can be awaited and does not reap it.
#[derive(Debug)]
pub(super) struct End {
    pid: Pid,
    pidfd: Option<AsyncFd<OwnedFd>>,
}

impl End {
    /// # Errors
    /// I/O errors.
    pub(super) fn of(pid: Pid) -> std::io::Result<Self> {
        #[cfg(target_os = "linux")]
        let pidfd = {
            let fd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?;
            Some(spawn::awaitable(fd)?)
        };
        #[cfg(not(target_os = "linux"))]
        let pidfd = None;
        Ok(Self { pid, pidfd })
    }

    pub(super) async fn wait(&self) {
        while look(self.pid, WaitIdOptions::empty()) != State::Ended {
            match &self.pidfd {
                Some(pidfd) => drop(pidfd.readable().await),
                None => tokio::time::sleep(LOOK).await,
            }
        }
    }
}

fn look(pid: Pid, also: WaitIdOptions) -> State {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT | also;
    match waitid(WaitId::Pid(pid), options) {
        Ok(None) | Err(Errno::INTR) => State::Running,
        Ok(Some(status)) if status.stopped() => {
            State::Suspended(status.stopping_signal().unwrap_or(0))
        }
        Ok(Some(_)) | Err(_) => State::Ended,
    }
}

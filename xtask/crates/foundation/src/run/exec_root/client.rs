//! The caller's side of a test as root.

use std::collections::VecDeque;
use std::io::{IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{ExitStatus, Stdio};
use std::task::{Context, Poll};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, Shutdown, recvmsg, shutdown,
};
use rustix::process::{Pid, Signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::outputs::{self, Output};
use super::{Answer, Line, Request};
use crate::ctx::own_executable::own_executable;
use crate::failure::{Because, Exit, Failure, Result};
use crate::run::child::{Ask, Child, Reach};
use crate::run::core::{self, Follow, Limits, Pipes, Stream};
use crate::run::{exit_code, spawn};
use crate::signals::{Caught, Signals};
use crate::ui::Ui;
use crate::wait::runtime;

/// Children must not inherit what is received.
#[cfg(target_os = "linux")]
const RECEIVE: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(not(target_os = "linux"))]
const RECEIVE: RecvFlags = RecvFlags::empty();

/// Starts the helper, through sudo for a caller who is not root; its standard
/// output and error are the test's. Dropping it ends the test and all processes
/// that the test has started.
///
/// # Errors
/// When it cannot be started.
pub(in crate::run) fn start(request: &Request, out: Stdio, err: Stdio) -> Result<Child<Channel>> {
    let cannot = || "cannot ask for a test as root".to_owned();
    let own = own_executable()?;
    let (socket, theirs) = UnixStream::pair().because(cannot)?;
    let request = resolved(request);
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = spawn::command(own.as_str());
        // A caller who became root by sudo works as root, on root's files.
        command.env_remove("SUDO_UID").env_remove("SUDO_GID");
        command
    } else {
        let mut command = spawn::command("sudo");
        command.args(["-n", "--", own.as_str()]);
        command
    };
    command
        .args(["internal", "root-exec"])
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(out)
        .stderr(err);
    let process = spawn::spawn_on_lifeline(&mut command).map_err(|error| {
        Failure::host("cannot start the helper of tests as root")
            .cause(error)
            .hint("install sudo, or run as root")
    })?;
    let mut line = serde_json::to_vec(&request).because(cannot)?;
    line.push(b'\n');
    // A helper that has ended already is noticed when it is waited for.
    let _ = (&socket).write_all(&line);
    socket.set_nonblocking(true).because(cannot)?;
    let channel = Channel {
        socket: spawn::awaitable(socket.into()).because(cannot)?,
        is_open: true,
        pending: Vec::new(),
        outputs: outputs::files(&request.arguments, &request.folder),
        received: VecDeque::new(),
        told: Told::default(),
    };
    Child::helper(process, channel).because(cannot)
}

/// The socket to a helper.
#[derive(Debug)]
pub(in crate::run) struct Channel {
    socket: AsyncFd<OwnedFd>,
    is_open: bool,
    pending: Vec<u8>,
    /// The files that the test was asked to write.
    outputs: Vec<Output>,
    received: VecDeque<OwnedFd>,
    told: Told,
}

/// What a helper has answered so far.
#[derive(Debug, Default)]
struct Told {
    begun: bool,
    left: Vec<String>,
    /// The exit code, and whether the deadline was over.
    ended: Option<(u8, bool)>,
    /// The first failure that makes the result unusable.
    broken: Option<Failure>,
}

/// What became of a test as root.
#[derive(Debug)]
pub(in crate::run) struct Outcome {
    /// The exit code, and whether the deadline was over.
    pub(in crate::run) ended: Option<(u8, bool)>,
    /// Commands of processes that were left behind.
    pub(in crate::run) left: Vec<String>,
    /// Why the result says nothing about the test.
    pub(in crate::run) broken: Option<Failure>,
}

impl Channel {
    /// What the helper, which has ended with `status`, has answered in all.
    pub(in crate::run) fn outcome(&mut self, status: ExitStatus) -> Outcome {
        let told = std::mem::take(&mut self.told);
        let silent = || {
            if told.begun {
                Failure::step(format!("the helper of a test as root ended with {status}"))
            } else {
                Failure::host(format!("sudo refused a test as root ({status})")).hint("sudo -v")
            }
        };
        Outcome {
            ended: told.ended,
            left: told.left,
            broken: told.broken.or_else(|| told.ended.is_none().then(silent)),
        }
    }

    /// Returns whether there was something.
    fn receive(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(&mut buffer)];
        // Not by `try_io`, which reads nothing until the runtime has noticed the
        // answer: the last one and the helper's end may come before that.
        let message = match recvmsg(&self.socket, &mut slices, &mut control, RECEIVE) {
            Ok(message) => message,
            Err(Errno::AGAIN) => {
                self.is_read();
                return false;
            }
            Err(_) => {
                self.is_open = false;
                return false;
            }
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.received.extend(descriptors);
            }
        }
        self.pending.extend_from_slice(&buffer[..message.bytes]);
        self.is_open = message.bytes > 0;
        self.is_open
    }

    /// Tells the runtime to wait for the next answer.
    fn is_read(&self) {
        let _ = self.socket.try_io(Interest::READABLE, |_| {
            Err::<(), _>(std::io::ErrorKind::WouldBlock.into())
        });
    }

    fn hear(&mut self, answer: Answer) {
        match answer {
            Answer::Begun => self.told.begun = true,
            Answer::Refused { what, hint } => {
                self.told.broken = Some(Answer::refusal(&what, hint.as_deref()));
            }
            Answer::Left(names) => self.told.left = names,
            Answer::Ended { code, timed_out } => self.told.ended = Some((code, timed_out)),
        }
    }

    /// Writes a file of the test to where it belongs.
    fn deliver(&mut self, index: usize) {
        let Some(output) = self.outputs.get(index) else {
            return;
        };
        let delivered = match self.received.pop_front() {
            Some(file) => output.deliver(file),
            None => Err(output.lost()),
        };
        if let Err(failure) = delivered {
            self.told.broken.get_or_insert(failure);
        }
    }
}

impl Reach for Channel {
    fn ask(&mut self, _: Pid, ask: Ask) {
        let _ = rustix::io::write(self.socket.get_ref(), &[ask.byte()]);
    }

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_open {
            self.socket.poll_read_ready(context).map(|_| ())
        } else {
            Poll::Pending
        }
    }

    fn exchange(&mut self) {
        while self.receive() {}
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            match serde_json::from_slice(&line) {
                Ok(Line::Answer(answer)) => self.hear(answer),
                Ok(Line::Output { output }) => self.deliver(output),
                Err(_) => {}
            }
        }
    }

    /// The helper sees the end of the socket; it tidies up before it ends.
    fn close(&mut self, _: Pid) {
        let _ = shutdown(self.socket.get_ref(), Shutdown::Both);
    }
}

/// Returns the request with paths without links, as the helper requires.
fn resolved(request: &Request) -> Request {
    let mut request = request.clone();
    if let Ok(folder) = request.folder.canonicalize_utf8() {
        request.folder = folder;
    }
    request.arguments = outputs::resolved(&request.arguments, &request.folder);
    request
}

/// The test prints to the streams of this process.
struct Inherited;

impl Follow for Inherited {
    fn output(&mut self, _: Stream, _: &[u8]) {}
}

/// Runs one test binary to its end, with the streams of this process. Returns
/// its exit code.
///
/// # Errors
/// When it was refused, or could not be run.
pub fn run(request: &Request, ui: &Ui, signals: &Signals) -> Result<u8> {
    let _attention = signals.attend();
    let (outcome, status) = runtime()?.block_on(async {
        // `go test` sends it when its own clock has run out.
        let dump =
            Caught::new(&[Signal::QUIT]).because(|| "cannot install signal handlers".to_owned())?;
        let mut child = start(request, Stdio::inherit(), Stdio::inherit())?;
        let limits = Limits {
            dump: Some(dump),
            ..Limits::new(signals.subscribe())
        };
        let (status, _) = core::follow(&mut child, Pipes::default(), limits, &mut Inherited)
            .await
            .because(|| "cannot wait for a test as root".to_owned())?;
        Ok::<_, Failure>((child.reach.outcome(status), status))
    })?;
    if !outcome.left.is_empty() {
        ui.note(&left(&outcome.left));
    }
    match (outcome.broken, outcome.ended) {
        (_, Some((_, true))) => Err(Failure::new(
            Exit::Deadline,
            format!("the test was stopped after {} s", request.deadline),
        )),
        (Some(failure), _) => Err(failure),
        (None, ended) => Ok(ended.map_or_else(|| exit_code::of(status), |(code, _)| code)),
    }
}

/// The note about processes that a test has left behind.
pub fn left(names: &[String]) -> String {
    format!(
        "the test left {} process(es) behind, which were killed: {}",
        names.len(),
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_answer_counts_before_the_runtime_has_noticed_it() {
        let (ours, mut helper) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        // Nothing is awaited here, so the runtime notices nothing.
        let ended = runtime().unwrap().block_on(async {
            let mut channel = Channel {
                socket: spawn::awaitable(ours.into()).unwrap(),
                is_open: true,
                pending: Vec::new(),
                outputs: Vec::new(),
                received: VecDeque::new(),
                told: Told::default(),
            };
            channel.exchange();
            let ended = Answer::Ended {
                code: 3,
                timed_out: false,
            };
            let mut line = serde_json::to_vec(&Line::Answer(ended)).unwrap();
            line.push(b'\n');
            helper.write_all(&line).unwrap();
            channel.exchange();
            channel.told.ended
        });
        assert_eq!(ended, Some((3, false)));
    }
}

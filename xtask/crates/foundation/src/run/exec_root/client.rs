//! The caller's side of a test as root.

use std::collections::VecDeque;
use std::io::{IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::outputs::{self, Output};
use super::{Answer, Ask, Line, Request};
use crate::failure::{Because, Exit, Failure, Result};
use crate::run::{Signals, spawn, watched};
use crate::ui::Ui;

/// A wake-up may come between the look and the wait.
const LOOK: Duration = Duration::from_millis(200);

/// What else starts here is not to inherit what is received.
#[cfg(target_os = "linux")]
const RECEIVE: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(not(target_os = "linux"))]
const RECEIVE: RecvFlags = RecvFlags::empty();

/// A helper at work. Dropping it ends the test and all that it has started.
#[derive(Debug)]
pub struct RootTest {
    child: Child,
    channel: UnixStream,
    pending: Vec<u8>,
    answers: VecDeque<Answer>,
    /// What the test was asked to write, and what came of it.
    outputs: Vec<Output>,
    received: VecDeque<OwnedFd>,
    undelivered: Option<Failure>,
}

impl RootTest {
    /// Start the helper, through sudo for a caller who is not root; its
    /// standard output and error are the test's.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(request: &Request, out: Stdio, err: Stdio) -> Result<Self> {
        let cannot = || "cannot ask for a test as root".to_owned();
        let own =
            spawn::own_executable().because(|| "cannot find our own executable".to_owned())?;
        let (channel, theirs) = UnixStream::pair().because(cannot)?;
        let own = own.to_string_lossy();
        let request = resolved(request);
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = spawn::command(&own);
            // Whoever became root by sudo has root's rights and root's files.
            command.env_remove("SUDO_UID").env_remove("SUDO_GID");
            command
        } else {
            let mut command = spawn::command("sudo");
            command.args(["-n", "--", &own]);
            command
        };
        command
            .args(["internal", "root-exec"])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(out)
            .stderr(err);
        let child = spawn::spawn_on_lifeline(&mut command).map_err(|error| {
            Failure::host("cannot start the helper of tests as root")
                .cause(error)
                .hint("install sudo, or run as root")
        })?;
        let mut line = serde_json::to_vec(&request).because(cannot)?;
        line.push(b'\n');
        // One that is gone already is seen when it is waited for.
        let _ = (&channel).write_all(&line);
        channel.set_nonblocking(true).because(cannot)?;
        Ok(Self {
            child,
            channel,
            pending: Vec::new(),
            answers: VecDeque::new(),
            outputs: outputs::files(&request.arguments, &request.folder),
            received: VecDeque::new(),
            undelivered: None,
        })
    }

    fn ask(&self, ask: Ask) {
        let _ = (&self.channel).write(&[ask.byte()]);
    }

    /// SIGINT to the test, SIGKILL when asked again.
    pub fn interrupt(&self) {
        self.ask(Ask::Interrupt);
    }

    /// SIGQUIT: Go prints all goroutines and ends.
    pub fn dump(&self) {
        self.ask(Ask::Dump);
    }

    /// Readable when there are answers.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }

    /// What it has answered since the last time. Files that it hands over are
    /// written to where they belong.
    pub fn answers(&mut self) -> Vec<Answer> {
        while self.receive() {}
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            match serde_json::from_slice(&line) {
                Ok(Line::Answer(answer)) => self.answers.push_back(answer),
                Ok(Line::Output { output }) => self.deliver(output),
                Err(_) => {}
            }
        }
        self.answers.drain(..).collect()
    }

    /// Returns whether there was something.
    fn receive(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let Ok(message) = recvmsg(&self.channel, &mut slices, &mut control, RECEIVE) else {
            return false;
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.received.extend(descriptors);
            }
        }
        self.pending.extend_from_slice(&buffer[..message.bytes]);
        message.bytes > 0
    }

    fn deliver(&mut self, index: usize) {
        let Some(output) = self.outputs.get(index) else {
            return;
        };
        let delivered = match self.received.pop_front() {
            Some(file) => output.deliver(file),
            None => Err(output.lost()),
        };
        if let Err(failure) = delivered {
            self.undelivered.get_or_insert(failure);
        }
    }

    /// Whether the files that flags name are where they belong, once the helper
    /// has ended and its last answers were read.
    ///
    /// # Errors
    /// The first that could not be written.
    pub fn delivered(&mut self) -> Result<()> {
        self.undelivered.take().map_or(Ok(()), Err)
    }

    /// # Errors
    /// The system's.
    pub fn try_wait(&mut self) -> std::io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }
}

impl Drop for RootTest {
    /// The helper sees the end of the channel; it tidies up before it ends.
    fn drop(&mut self) {
        let _ = self.channel.shutdown(std::net::Shutdown::Both);
        let _ = self.child.wait();
    }
}

/// With paths as the helper takes them: by no link.
fn resolved(request: &Request) -> Request {
    let mut request = request.clone();
    if let Ok(folder) = request.folder.canonicalize_utf8() {
        request.folder = folder;
    }
    request.arguments = outputs::resolved(&request.arguments, &request.folder);
    request
}

/// Run one test binary to its end, with our own streams. Returns its exit code.
///
/// # Errors
/// When it was refused, or could not be run.
pub fn run(request: &Request, ui: &Ui, signals: &Signals) -> Result<u8> {
    let _attention = signals.attend();
    let dump = Arc::new(AtomicBool::new(false));
    // `go test` sends it when its own clock has run out.
    signal_hook::flag::register(signal_hook::consts::SIGQUIT, Arc::clone(&dump))
        .because(|| "cannot install signal handlers".to_owned())?;
    let mut test = RootTest::start(request, Stdio::inherit(), Stdio::inherit())?;
    let (mut seen, mut begun, mut ended) = (0, false, None);
    let status = loop {
        let over = test
            .try_wait()
            .because(|| "cannot wait for a test as root".to_owned())?;
        for answer in test.answers() {
            match answer {
                Answer::Begun => begun = true,
                Answer::Refused { what, hint } => {
                    return Err(Answer::refusal(&what, hint.as_deref()));
                }
                Answer::Left(names) => ui.note(&left(&names)),
                Answer::Ended { code, timed_out } => ended = Some((code, timed_out)),
            }
        }
        if let Some(status) = over {
            break status;
        }
        if signals.count() > seen {
            seen = signals.count();
            test.interrupt();
        }
        if dump.swap(false, Ordering::SeqCst) {
            test.dump();
        }
        watched::wait_for_news(signals, LOOK);
    };
    match ended {
        Some((_, true)) => Err(Failure::new(
            Exit::Deadline,
            format!("the test was stopped after {} s", request.deadline),
        )),
        Some((code, false)) => test.delivered().map(|()| code),
        None if begun => Err(Failure::step(format!(
            "the helper of a test as root ended with {status}"
        ))),
        None => {
            Err(Failure::host(format!("sudo refused a test as root ({status})")).hint("sudo -v"))
        }
    }
}

/// For people.
pub fn left(names: &[String]) -> String {
    format!(
        "the test left {} process(es) behind, which were killed: {}",
        names.len(),
        names.join(", ")
    )
}

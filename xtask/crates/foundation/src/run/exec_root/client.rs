//! The caller's side of a test as root.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Answer, Ask, Request};
use crate::failure::{Because, Exit, Failure, Result};
use crate::run::{Signals, spawn, watched};
use crate::ui::Ui;

/// A wake-up may come between the look and the wait.
const LOOK: Duration = Duration::from_millis(200);

/// A helper at work. Dropping it ends the test and all that it has started.
#[derive(Debug)]
pub struct RootTest {
    child: Child,
    channel: UnixStream,
    pending: Vec<u8>,
    answers: VecDeque<Answer>,
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
        let mut command = if request.uid == 0 {
            spawn::command(&own)
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
        let mut line = serde_json::to_vec(request).because(cannot)?;
        line.push(b'\n');
        // One that is gone already is seen when it is waited for.
        let _ = (&channel).write_all(&line);
        channel.set_nonblocking(true).because(cannot)?;
        Ok(Self {
            child,
            channel,
            pending: Vec::new(),
            answers: VecDeque::new(),
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

    /// What it has answered since the last time.
    pub fn answers(&mut self) -> Vec<Answer> {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = (&self.channel).read(&mut buffer) {
            self.pending.extend_from_slice(&buffer[..read]);
        }
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            self.answers.extend(serde_json::from_slice(&line).ok());
        }
        self.answers.drain(..).collect()
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
                    let mut failure = Failure::host(what);
                    failure.hint = hint;
                    return Err(failure);
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
        Some((code, false)) => Ok(code),
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

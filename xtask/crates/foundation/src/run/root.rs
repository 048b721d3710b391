//! Runs one step as root: a helper under sudo reads the step as JSON from its
//! standard input. A set-uid exec clears the parent-death signal, and a user
//! cannot signal root's processes, so the same pipe asks the helper to stop, and
//! the helper also stops when the pipe closes, however this process ended. The
//! helper reports its start, and its failure, on its standard output.

use std::collections::VecDeque;
use std::io::{BufRead, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::io::retry_on_intr;
use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::child::{Ask, Child, Reach};
use super::core::Grace;
use super::pipe::never_wait;
use super::step::{self, Ended, Shown, StepContext, in_log, stopped, supervise};
use super::{KILL_AT, perform, spawn};
use crate::ctx::dirs;
use crate::ctx::host::Host;
use crate::ctx::own_executable::own_executable;
use crate::ctx::probe::Probe;
use crate::failure::{Because, Exit, Failure, Result};
use crate::plan::{Action, Step};
use crate::signals::{Caught, STOPPING, Signals};
use crate::typed::by_caller;
use crate::ui;
use crate::ui::Ui;
use crate::wait::runtime;

/// The first line of the helper's answer.
const BEGUN: &str = "begun";
/// sudo may have to ask a server for its rules.
const SUDOS_LIMIT: Duration = Duration::from_mins(1);
/// In bytes. Larger than any step, which may contain a file.
const LONGEST: u64 = 64 << 20;
/// Shorter than the usual lifetime of sudo's cached credentials.
const REFRESH: Duration = Duration::from_mins(1);

/// The helper's deadline comes first: only the helper can make tests print their
/// goroutines.
const LATER: Duration = Duration::from_mins(1);

/// Makes sure that sudo runs the helper for steps. If sudo needs a password, asks
/// now and in the foreground: a later prompt would be invisible.
///
/// # Errors
/// Exit code 3 when there is no sudo or it refuses.
pub fn become_root(ui: &Ui) -> Result<()> {
    may_start("root-step", ui)
}

/// Like [`become_root`], for the helper of tests.
///
/// # Errors
/// The same.
pub fn become_root_for_tests(ui: &Ui) -> Result<()> {
    may_start("root-exec", ui)
}

/// Returns what sudo prints when it does not start the helper of tests without a password.
///
/// # Errors
/// When the path of this program is unknown.
pub fn refusal_of_root_for_tests() -> Result<Option<String>> {
    let said = try_to_start("root-exec")?.err();
    Ok(said.map(|said| said.lines().next().unwrap_or("no reason").to_owned()))
}

fn may_start(helper: &str, ui: &Ui) -> Result<()> {
    if Host::which("sudo").is_none() {
        return Err(
            Failure::host("steps need root, and `sudo` is not installed")
                .hint("run as root, or install sudo"),
        );
    }
    let Err(said) = try_to_start(helper)? else {
        return Ok(());
    };
    if !ui.is_interactive() {
        return Err(Failure::host(
            "steps need root, and `sudo` does not allow it without a password",
        )
        .cause(said)
        .hint("run it on a terminal, or type `sudo -v` first"));
    }
    ui.note("some steps need root: asking sudo now");
    match step::interactive(&["sudo".to_owned(), "-v".to_owned()])? {
        0 => {}
        _ => return Err(Failure::host("sudo refused").hint("sudo -v")),
    }
    try_to_start(helper)?.map_err(|said| {
        Failure::host("sudo does not allow steps as root")
            .cause(said)
            .hint("sudo -l")
    })
}

/// Starts the helper without a request, since a narrow sudoers rule allows only
/// this command. The inner error is the output of sudo.
fn try_to_start(helper: &str) -> Result<Result<(), String>> {
    let own = own_executable()?;
    let words = ["sudo", "-n", "--", own.as_str(), "internal", helper];
    Ok(match Probe::new(words).timeout(SUDOS_LIMIT).run() {
        Ok(output) if output.success => Ok(()),
        Ok(output) => Err(output.stderr.trim().to_owned()),
        Err(error) => Err(error.to_string()),
    })
}

/// Refreshes sudo's credentials during long steps.
pub(super) struct Refresh {
    _end: mpsc::Sender<()>,
}

impl Refresh {
    /// Starts to refresh; the result ends it when it is dropped.
    pub(super) fn start() -> Self {
        let (end, ended) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            while ended.recv_timeout(REFRESH) == Err(mpsc::RecvTimeoutError::Timeout) {
                let _ = Probe::new(["sudo", "-n", "-v"]).run();
            }
        });
        Self { _end: end }
    }
}

/// The caller's side: send the step to the helper and supervise it.
pub(super) fn run_step(step: &Step, mut context: StepContext<'_>) -> Result<()> {
    if step.runs_tests() {
        context.deadline = context.deadline.saturating_add(LATER);
    }
    let log = context.log.clone();
    let own = own_executable()?;
    let mut request = serde_json::to_vec(&as_request(step))
        .because(|| "cannot hand a step to root".to_owned())?;
    request.push(b'\n');
    let mut command = spawn::command("sudo");
    command
        .args(["-n", "--"])
        .arg(own)
        .args(["internal", "root-step"]);
    command.stdin(Stdio::piped());
    let start = |command: &mut Command| {
        let cannot = || "cannot reach the helper for root".to_owned();
        let mut process = spawn::spawn_on_lifeline(command)
            .map_err(|error| step::cannot_start("sudo", &error))?;
        let lifeline = Lifeline::new(process.stdin.take(), request).because(cannot)?;
        Child::helper(process, lifeline).because(cannot)
    };
    let mut ended = supervise(&mut command, None, "sudo", context, start)?;
    match ended.stopped.take() {
        Some(failure) => Err(stopped(failure, &step.why, ended.tail, log.as_deref())),
        None => understand(ended, &step.why).map_err(|failure| in_log(failure, log.as_deref())),
    }
}

/// The standard input of a helper: the request, then one byte for each time it
/// is asked to stop. Its end says that this process is gone.
struct Lifeline {
    pipe: Option<AsyncFd<OwnedFd>>,
    pending: VecDeque<u8>,
}

impl Lifeline {
    fn new(stdin: Option<ChildStdin>, request: Vec<u8>) -> std::io::Result<Self> {
        let open = |stdin: ChildStdin| -> std::io::Result<_> {
            let pipe = OwnedFd::from(stdin);
            never_wait(&pipe)?;
            spawn::awaitable(pipe)
        };
        Ok(Self {
            pipe: stdin.map(open).transpose()?,
            pending: request.into(),
        })
    }
}

impl Reach for Lifeline {
    const ANSWERS: bool = true;

    /// A user cannot signal the helper, which is as patient with its child as
    /// this process is with the helper.
    fn ask(&mut self, _: Pid, ask: Ask) {
        if ask != Ask::Terminate {
            self.pending.push_back(b'\n');
            self.exchange();
        }
    }

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        match &self.pipe {
            Some(pipe) if !self.pending.is_empty() => pipe.poll_write_ready(context).map(|_| ()),
            _ => Poll::Pending,
        }
    }

    fn exchange(&mut self) {
        let Some(pipe) = &self.pipe else { return };
        while !self.pending.is_empty() {
            let (chunk, _) = self.pending.as_slices();
            let written = pipe.try_io(Interest::WRITABLE, |pipe| {
                Ok(retry_on_intr(|| rustix::io::write(pipe, chunk))?)
            });
            match written {
                Ok(written) => drop(self.pending.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // The helper has ended, which is seen elsewhere.
                Err(_) => return self.pending.clear(),
            }
        }
    }

    fn close(&mut self, _: Pid) {
        self.pipe = None;
    }
}

fn understand(ended: Ended, why: &str) -> Result<()> {
    let answer = String::from_utf8_lossy(&ended.answer);
    let mut lines = answer.lines();
    if lines.next() != Some(BEGUN) {
        let mut failure = Failure::host(format!("sudo refused step \"{why}\" ({})", ended.status))
            .hint("sudo -v");
        failure.excerpt = ended.tail;
        return Err(failure);
    }
    if ended.status.success() {
        return Ok(());
    }
    if let Some(Ok(told)) = lines.next().map(serde_json::from_str::<Told>) {
        return Err(told.into());
    }
    let mut failure = Failure::step(format!(
        "step \"{why}\" failed: its root helper ended with {}",
        ended.status
    ));
    failure.excerpt = ended.tail;
    Err(failure)
}

/// sudo resets the environment: the child gets HOME, PATH and the listed
/// variables. This process keeps the deadline, except that of tests: only the
/// helper can make them print their goroutines.
fn as_request(step: &Step) -> Step {
    let mut step = step.clone();
    if !step.runs_tests() {
        step.deadline = None;
    }
    let env = match &mut step.action {
        Action::Run(run) => Some(&mut run.env),
        Action::Launch(launch) => Some(&mut launch.env),
        _ => None,
    };
    if let Some(env) = env {
        for name in ["HOME", "PATH"] {
            let set = std::env::var(name).ok();
            let value = set.or_else(|| dirs::home().filter(|_| name == "HOME").map(String::from));
            if let Some(mut value) = value
                && !env.iter().any(|(set, _)| set == name)
            {
                // ip, iptables and the like are outside a plain user's PATH.
                if name == "PATH" {
                    value.push_str(":/usr/local/sbin:/usr/sbin:/sbin");
                }
                env.push((name.to_owned(), value));
            }
        }
    }
    step
}

/// A failure as the helper sends it.
#[derive(Serialize, Deserialize)]
struct Told {
    exit: u8,
    /// The code is that of a child of the helper.
    child: bool,
    what: String,
    causes: Vec<String>,
    excerpt: Vec<String>,
    hint: Option<String>,
}

impl From<Failure> for Told {
    fn from(failure: Failure) -> Self {
        Self {
            exit: failure.exit.code(),
            child: matches!(failure.exit, Exit::Child(_)),
            what: failure.what,
            causes: failure.causes,
            excerpt: failure.excerpt,
            hint: failure.hint,
        }
    }
}

impl From<Told> for Failure {
    fn from(told: Told) -> Self {
        let known = [
            Exit::Checks,
            Exit::Usage,
            Exit::HostNotReady,
            Exit::Step,
            Exit::NodeDied,
            Exit::Deadline,
            Exit::Interrupted,
        ];
        let mut known = known.into_iter().filter(|_| !told.child);
        let exit = known.find(|exit| exit.code() == told.exit);
        let mut failure = Failure::new(exit.unwrap_or(Exit::Child(told.exit)), told.what);
        failure.causes = told.causes.iter().map(|cause| by_caller(cause)).collect();
        failure.excerpt = told.excerpt;
        failure.hint = told.hint.as_deref().map(by_caller);
        failure
    }
}

/// The helper's side, as root: read one step from standard input and perform it;
/// stop when asked to or when the input closes. A failure goes to standard
/// output, for the caller to show. Without a step it succeeds, which tests
/// whether sudo allows the helper. Returns the exit code.
///
/// # Errors
/// When the input is not a step.
pub fn serve_root_step(ui: &Ui, signals: &'static Signals) -> Result<u8> {
    let attention = signals.attend();
    let mut line = String::new();
    let mut input = std::io::stdin().lock();
    let read = (&mut input).take(LONGEST).read_line(&mut line);
    if read.because(|| "no step on standard input".to_owned())? == 0 {
        return Ok(0);
    }
    let step: Step = serde_json::from_str(&line).because(|| "not a step".to_owned())?;
    let boot_id = Host::probe().boot_id;
    drop(input);
    answer(BEGUN);
    // Detached: it ends when the caller closes the pipe.
    std::thread::spawn(move || follow_lifeline(signals));
    let context = StepContext {
        output_is_ours: false,
        reader: None,
        log: None,
        deadline: step.deadline.map_or(Duration::MAX, Duration::from_secs),
        observer: None,
        shown: Shown::All,
        signals,
        runtime: &runtime()?,
        ui,
        grace: Grace::default(),
        only_listed: true,
        kill_at: KILL_AT,
    };
    let result = perform(&step, &boot_id, context);
    drop(attention);
    let Err(failure) = result else { return Ok(0) };
    let code = failure.exit.code();
    answer(&serde_json::to_string(&Told::from(failure)).unwrap_or_default());
    Ok(code)
}

/// Errors are ignored: the caller may have exited.
fn answer(line: &str) {
    ui::print(&format!("{}\n", ui::text::json(line)));
}

/// Each byte is a Ctrl-C of the user; the end of the input means that the caller
/// has exited.
fn follow_lifeline(signals: &Signals) {
    let mut byte = [0];
    while matches!(std::io::stdin().lock().read(&mut byte), Ok(1)) {
        signals.raise();
    }
    if signals.count() == 0 {
        signals.raise();
    }
}

/// The warden of its own process group: kills the group when the pipe from the
/// caller closes. See `spawn::warden`.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn serve_warden() -> Result<u8> {
    // A signal to the group must not end the warden first.
    let runtime = runtime()?;
    let _context = runtime.enter();
    let _caught = Caught::new(&STOPPING).because(|| "cannot install signal handlers".to_owned())?;
    let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
    let _ = rustix::process::kill_current_process_group(rustix::process::Signal::KILL);
    Ok(0)
}

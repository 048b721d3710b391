//! Root for one step: the step as JSON to a helper under sudo, whose standard
//! input then is our lifeline. A set-uid exec clears the parent-death signal
//! and a user cannot signal root's processes, so the helper is asked to stop
//! through that pipe, and stops by itself when the pipe closes, however we
//! ended. It answers on its standard output: that it has begun, and the failure
//! where there is one.

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
use super::core::{self, Grace};
use super::pipe::never_wait;
use super::step::{self, Ended, How, in_log, stopped, supervise};
use super::{KILL_AT, perform, spawn};
use crate::ctx::host::Host;
use crate::ctx::probe;
use crate::failure::{Because, Exit, Failure, Result};
use crate::plan::{Action, Step};
use crate::signals::{Caught, STOPPING, Signals};
use crate::typed::by_caller;
use crate::ui;
use crate::ui::Ui;

/// The helper's first word.
const BEGUN: &str = "begun";
/// It may ask a server who may do what.
const SUDOS_LIMIT: Duration = Duration::from_mins(1);
/// Longer than any step; a file's contents may be in it.
const LONGEST: u64 = 64 << 20;
/// Shorter than any lifetime that sudo's cached credentials usually have.
const REFRESH: Duration = Duration::from_mins(1);

/// For goroutines to be printed by the helper's clock before ours runs out.
const LATER: Duration = Duration::from_mins(1);

/// See to it that sudo runs our helper of steps as root. Where it wants the
/// password, ask now, in the foreground, so that no later step stops at a prompt
/// that nobody sees.
///
/// # Errors
/// Exit code 3 when there is no sudo or it refuses.
pub fn become_root(ui: &Ui) -> Result<()> {
    may_start("root-step", ui)
}

/// As [`become_root`], of the helper of tests.
///
/// # Errors
/// As there.
pub fn become_root_for_tests(ui: &Ui) -> Result<()> {
    may_start("root-exec", ui)
}

fn may_start(helper: &str, ui: &Ui) -> Result<()> {
    if Host::which("sudo").is_none() {
        return Err(Failure::host("steps need root, and there is no `sudo`")
            .hint("run as root, or install sudo"));
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

/// By starting it with nothing to do, the one command that a narrow sudoers rule
/// must allow. The inner error is what sudo says.
fn try_to_start(helper: &str) -> Result<Result<(), String>> {
    let own = spawn::own_executable().because(|| "cannot find our own executable".to_owned())?;
    let own = own.to_string_lossy();
    let words = ["sudo", "-n", "--", &*own, "internal", helper];
    Ok(match probe::run(&words, None, SUDOS_LIMIT) {
        Some(output) if output.success => Ok(()),
        Some(output) => Err(output.stderr.trim().to_owned()),
        None => Err("no answer from sudo".to_owned()),
    })
}

/// Keeps sudo's credentials from going stale while steps take long.
pub(super) struct Refresh {
    _end: mpsc::Sender<()>,
}

impl Refresh {
    /// Until dropped.
    pub(super) fn start() -> Self {
        let (end, ended) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            while ended.recv_timeout(REFRESH) == Err(mpsc::RecvTimeoutError::Timeout) {
                probe::stdout(&["sudo", "-n", "-v"], None);
            }
        });
        Self { _end: end }
    }
}

/// Our side: hand the step over and supervise the helper.
pub(super) fn run_step(step: &Step, mut how: How<'_>) -> Result<()> {
    if step.runs_tests() {
        how.deadline = how.deadline.saturating_add(LATER);
    }
    let log = how.log.clone();
    let own = spawn::own_executable().because(|| "cannot find our own executable".to_owned())?;
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
    let mut ended = supervise(&mut command, "sudo", how, start)?;
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

/// sudo forgets the environment: the child gets HOME, PATH and what is listed.
/// The deadline is ours to keep, but that of tests: we cannot make them print
/// their goroutines.
fn as_request(step: &Step) -> Step {
    let mut step = step.clone();
    if !step.runs_tests() {
        step.deadline = None;
    }
    if let Action::Run(run) = &mut step.action {
        for name in ["HOME", "PATH"] {
            if let Ok(mut value) = std::env::var(name)
                && !run.env.iter().any(|(set, _)| set == name)
            {
                // ip, iptables and the like are outside a plain user's PATH.
                if name == "PATH" {
                    value.push_str(":/usr/local/sbin:/usr/sbin:/sbin");
                }
                run.env.push((name.to_owned(), value));
            }
        }
    }
    step
}

/// A failure on its way from the helper.
#[derive(Serialize, Deserialize)]
struct Told {
    exit: u8,
    /// The code is that of a child.
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

/// The helper's side, as root: read one step, do it, stop when told to or when
/// the lifeline closes. Returns the exit code; what went wrong is said on
/// standard output, for the other side to show. Without a step there is nothing
/// to do: so whether sudo would let us can be tried.
///
/// # Errors
/// When there is no step to be done.
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
    // Detached: it ends with the pipe, which our caller holds open for as long
    // as we live.
    std::thread::spawn(move || follow_lifeline(signals));
    let how = How {
        output_is_ours: false,
        quiet: false,
        reader: None,
        tests: false,
        log: None,
        deadline: step.deadline.map_or(Duration::MAX, Duration::from_secs),
        observer: None,
        signals,
        runtime: &core::runtime()?,
        ui,
        grace: Grace::default(),
        only_listed: true,
        kill_at: KILL_AT,
    };
    let result = perform(&step, &boot_id, how);
    drop(attention);
    let Err(failure) = result else { return Ok(0) };
    let code = failure.exit.code();
    answer(&serde_json::to_string(&Told::from(failure)).unwrap_or_default());
    Ok(code)
}

/// Nobody reads when our caller is gone: then it is for nobody.
fn answer(line: &str) {
    ui::print(&format!("{}\n", ui::text::json(line)));
}

/// One byte for each Ctrl-C of the user; its end says that our caller is gone.
fn follow_lifeline(signals: &Signals) {
    let mut byte = [0];
    while matches!(std::io::stdin().lock().read(&mut byte), Ok(1)) {
        signals.raise();
    }
    if signals.count() == 0 {
        signals.raise();
    }
}

/// The warden of a process group, as one of it: ends the group when the pipe
/// from our caller closes. See `spawn::warden`.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn serve_warden() -> Result<u8> {
    // What is sent to the group must not end the warden before the others.
    let runtime = core::runtime()?;
    let _context = runtime.enter();
    let _caught = Caught::new(&STOPPING).because(|| "cannot install signal handlers".to_owned())?;
    let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
    let _ = rustix::process::kill_current_process_group(rustix::process::Signal::KILL);
    Ok(0)
}

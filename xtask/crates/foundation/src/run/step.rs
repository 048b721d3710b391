//! A step that runs a command: how its child is started, and what the child's
//! end means.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::runtime::Runtime;

use super::child::{Ask, Child, Reach};
use super::core::{self, Grace, Limits, Pipes, Stopped};
use super::tee::Tee;
use super::waits::WaitFilter;
use super::{Observer, Reader, excerpt, exit_code, interrupted, spawn, terminal};
use crate::ctx::host::Host;
use crate::failure::{Because, Exit, Failure, Result};
use crate::plan::{Action, Run, Step};
use crate::signals::Signals;
use crate::typed;
use crate::ui::Ui;

/// What of a step's output goes to the terminal; the log gets all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    All,
    /// One line for each wait of `talosctl cluster create`.
    Waits,
    Nothing,
}

impl Shown {
    pub(super) fn of(step: &Step) -> Self {
        match &step.action {
            _ if step.part.is_some() => Self::Nothing,
            Action::Run(run) if run.quiet => Self::Nothing,
            Action::Run(run) if run.condense_waits => Self::Waits,
            _ => Self::All,
        }
    }
}

/// What a step is run with.
pub(super) struct StepContext<'a> {
    pub(super) log: Option<Utf8PathBuf>,
    pub(super) deadline: Duration,
    pub(super) observer: Option<&'a mut Observer>,
    pub(super) signals: &'a Signals,
    pub(super) runtime: &'a Runtime,
    pub(super) ui: &'a Ui,
    pub(super) grace: Grace,
    /// The child gets only the listed environment.
    pub(super) only_listed: bool,
    /// The number of Ctrl-C at which the child is killed at once.
    pub(super) kill_at: usize,
    /// Recipes may write to this process's standard output, and draw on its
    /// terminal.
    pub(super) output_is_ours: bool,
    pub(super) shown: Shown,
    /// Gets the output in place of the terminal.
    pub(super) reader: Option<&'a mut dyn Reader>,
}

/// Run the command of a step until it ends or is made to end.
pub(super) fn run(run: &Run, why: &str, mut context: StepContext<'_>) -> Result<()> {
    let log = context.log.clone();
    context.output_is_ours &= run.recipe;
    let Some((program, rest)) = run.argv.split_first() else {
        return Err(Failure::step(format!("step \"{why}\" has no command")));
    };
    let mut command = spawn::command(program);
    let marked = |word: &String| {
        let marks = run.tests && word == "-test.v";
        if marks {
            "-test.v=test2json".to_owned()
        } else {
            word.clone()
        }
    };
    command.args(rest.iter().map(marked)).stdin(Stdio::null());
    if context.only_listed {
        command.env_clear();
    }
    command.envs(run.env.iter().map(|(name, value)| (name, value)));
    if let Some(cwd) = &run.cwd {
        // The system's error would read as if the program were missing.
        if !cwd.is_dir() {
            return Err(Failure::step(format!(
                "step \"{why}\" failed: there is no folder `{cwd}`"
            )));
        }
        command.current_dir(cwd);
    }
    if run.recipe && wants_terminal(run) && context.ui.is_interactive() {
        command.stdin(Stdio::inherit());
        return in_foreground(&mut command, run, why, &context);
    }
    let start = |command: &mut Command| {
        Child::start(command).map_err(|error| cannot_start(program, &error))
    };
    let ended = supervise(&mut command, Some(run), program, context, start)?;
    let is_fine = |status: ExitStatus| {
        status
            .code()
            .is_some_and(|code| code == 0 || run.also_ok.contains(&code))
    };
    match ended.stopped {
        Some(failure) => Err(stopped(failure, why, ended.tail, log.as_deref())),
        None if is_fine(ended.status) || run.may_fail => Ok(()),
        None if run.tests => {
            let exit = Exit::Child(exit_code::of(ended.status));
            let ended = format!("the tests ended with {}", ended.status);
            Err(in_log(Failure::new(exit, ended), log.as_deref()))
        }
        None => Err(ended_badly(
            why,
            program,
            ended.status,
            ended.tail,
            log.as_deref(),
        )),
    }
}

/// Whether it is `docker run -it`, which fails without a terminal.
fn wants_terminal(run: &Run) -> bool {
    let Some(line) = run.argv.last().filter(|line| line.contains("docker ")) else {
        return false;
    };
    let has = |words: &[&str]| line.split_whitespace().any(|word| words.contains(&word));
    has(&["-it", "-ti"]) || (has(&["-i", "--interactive"]) && has(&["-t", "--tty"]))
}

/// Runs with the terminal, as a shell does: the child owns it until it ends, and
/// its output is not logged.
fn in_foreground(
    command: &mut Command,
    run: &Run,
    why: &str,
    context: &StepContext<'_>,
) -> Result<()> {
    let program = run.argv.first().map_or("", String::as_str);
    let status = spawn::spawn_here(command)
        .map_err(|error| cannot_start(program, &error))?
        .wait()
        .because(|| format!("cannot wait for `{program}`"))?;
    if context.signals.count() > 0 {
        return Err(interrupted());
    }
    if status.success() || run.may_fail {
        return Ok(());
    }
    if context.signals.explain_failure() {
        return Err(interrupted());
    }
    Err(ended_badly(why, program, status, Vec::new(), None))
}

/// The failure of a child that was made to end, with its last lines and log.
pub(super) fn stopped(
    mut failure: Failure,
    why: &str,
    tail: Vec<String>,
    log: Option<&Utf8Path>,
) -> Failure {
    if failure.exit == Exit::Interrupted || failure.exit == Exit::NodeDied {
        return failure;
    }
    failure.what = format!("step \"{why}\" failed: {}", failure.what);
    if failure.excerpt.is_empty() {
        failure = excerpt::of(failure, tail);
    }
    in_log(failure, log)
}

pub(super) fn in_log(failure: Failure, log: Option<&Utf8Path>) -> Failure {
    match log {
        Some(log) => failure.cause(format!("its whole output is in {log}")),
        None => failure,
    }
}

fn ended_badly(
    why: &str,
    program: &str,
    status: ExitStatus,
    tail: Vec<String>,
    log: Option<&Utf8Path>,
) -> Failure {
    let name = program.rsplit('/').next().unwrap_or(program);
    let mut failure = Failure::step(format!(
        "step \"{why}\" failed: `{name}` ended with {status}"
    ));
    failure = excerpt::of(failure, tail);
    in_log(failure, log)
}

/// How a supervised child came to its end.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// The last lines of its output.
    pub(super) tail: Vec<String>,
    /// The answer of a helper.
    pub(super) answer: Vec<u8>,
    /// The failure, when it was made to end.
    pub(super) stopped: Option<Failure>,
}

/// Starts a child with `start` and follows it to its end. `command` is what
/// `start` runs; its outputs are set here.
pub(super) fn supervise<R: Reach>(
    command: &mut Command,
    run: Option<&Run>,
    name: &str,
    context: StepContext<'_>,
    start: impl FnOnce(&mut Command) -> Result<Child<R>>,
) -> Result<Ended> {
    let is_test = run.is_some_and(|run| run.tests);
    let mut tee = Tee::open(context.log.as_deref(), context.ui)?;
    tee.output_is_ours = context.output_is_ours;
    tee.quiet = context.shown == Shown::Nothing;
    tee.filter = (context.shown == Shown::Waits).then(WaitFilter::default);
    tee.reader = context.reader;
    tee.observer = context.observer;
    tee.answer = R::ANSWERS.then(Vec::new);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let drawn = context.output_is_ours.then(terminal::like_ours).flatten();
    let mut drawn = drawn.map(|terminal| {
        command.stderr(Stdio::from(terminal.childs));
        terminal.ours
    });
    if is_test {
        drawn = Some(one_stream(command).because(|| "cannot make a pipe".to_owned())?);
    }
    let limits = Limits {
        deadline: context.deadline,
        at_deadline: if is_test { Ask::Dump } else { Ask::Interrupt },
        grace: context.grace,
        kill_at: context.kill_at,
        ..Limits::new(context.signals.subscribe())
    };
    context.runtime.block_on(async {
        let mut child = start(command)?;
        // Close our copy of the child's end, or the pipe would never close.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let [out, err] = child.take_outputs();
        let pipes = Pipes::new([out, drawn.or(err)])
            .because(|| "cannot read a child's output".to_owned())?;
        let (status, stopped) = core::follow(&mut child, pipes, limits, &mut tee)
            .await
            .because(|| format!("cannot wait for `{name}`"))?;
        let (tail, answer) = tee.into_parts();
        Ok(Ended {
            status,
            tail,
            answer,
            stopped: stopped.map(|stopped| match stopped {
                Stopped::Interrupted => interrupted(),
                Stopped::Deadline => {
                    let limit = context.deadline.as_secs();
                    Failure::new(Exit::Deadline, format!("not done after {limit} s"))
                }
                Stopped::Failed(failure) => failure,
            }),
        })
    })
}

/// One pipe for both outputs, which keeps their order.
fn one_stream(command: &mut Command) -> std::io::Result<OwnedFd> {
    let (ours, theirs) = std::io::pipe()?;
    command.stdout(theirs.try_clone()?).stderr(theirs);
    Ok(ours.into())
}

pub(super) fn cannot_start(name: &str, error: &std::io::Error) -> Failure {
    let failure = Failure::host(format!("cannot start `{name}`"));
    let is_path = name.contains('/');
    match error.kind() {
        ErrorKind::NotFound if is_path && std::path::Path::new(name).exists() => {
            failure.cause(error).cause(
                "the file exists, but the interpreter in its first line, or its loader, does not",
            )
        }
        // A folder on PATH that may not be searched is also "permission denied".
        ErrorKind::NotFound | ErrorKind::PermissionDenied
            if !is_path && Host::which(name).is_none() =>
        {
            failure
                .cause("there is no such program on PATH")
                .hint(typed!("doctor"))
        }
        ErrorKind::NotFound => failure.cause(error).hint(typed!("doctor")),
        _ => failure.cause(error),
    }
}

/// Runs `argv` in the foreground with inherited streams. Returns the child's exit
/// code, 128 + N for a signal, as a shell does.
///
/// # Errors
/// When it cannot be started.
pub fn interactive(argv: &[String]) -> Result<u8> {
    let (program, rest) = argv
        .split_first()
        .ok_or_else(|| Failure::usage("no command"))?;
    let mut command = spawn::command(program);
    let status = spawn::spawn_here(command.args(rest))
        .and_then(|mut child| child.wait())
        .map_err(|error| cannot_start(program, &error))?;
    Ok(exit_code::of(status))
}

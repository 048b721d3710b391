//! Runs short read-only commands, bounded in time and output. Never for a
//! command that changes something.

use std::fmt;
use std::io::{ErrorKind, PipeReader, Read};
use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use duct::Handle;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use super::{cargo_run, git};

/// Probes of this host that take longer hang.
pub const LIMIT: Duration = Duration::from_secs(10);

/// The output and the result of a probe.
#[derive(Debug, Clone)]
pub struct Output {
    pub success: bool,
    pub stdout: String,
    pub stderr: String,
}

/// Why a probe failed. No variant means "not found".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeError {
    /// The program is not installed.
    NotFound { program: String },
    /// The program exists but cannot be started.
    NotStarted { program: String, why: String },
    /// It ran longer than this and was killed.
    TimedOut { program: String, limit: Duration },
    /// It printed more than the limit and was killed.
    OutputCut { program: String },
    /// It failed; `said` is the last line of its stderr.
    Failed { program: String, said: String },
}

impl std::error::Error for ProbeError {}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { program } => write!(f, "`{program}` is not installed"),
            Self::NotStarted { program, why } => write!(f, "`{program}` cannot be started: {why}"),
            Self::TimedOut { program, limit } => {
                write!(f, "`{program}` did not answer within {limit:?}")
            }
            Self::OutputCut { program } => {
                write!(f, "`{program}` printed more than {} MiB", LARGEST >> 20)
            }
            Self::Failed { program, said } if said.is_empty() => write!(f, "`{program}` failed"),
            Self::Failed { program, said } => write!(f, "`{program}` failed: {said}"),
        }
    }
}

/// Maximum output of a probe, in bytes.
const LARGEST: usize = 16 << 20;
/// How long the pipes are read after its end. They contain all of its output by
/// then; a grandchild may keep them open as long as it runs.
const GRACE: Duration = Duration::from_millis(100);

/// Runs `argv` and returns its output, whether it succeeded or not.
///
/// # Errors
/// If it cannot be started, takes longer than `limit`, or prints too much.
pub fn ask(argv: &[&str], cwd: Option<&Utf8Path>, limit: Duration) -> Result<Output, ProbeError> {
    ask_in(argv, &[], cwd, limit)
}

/// Like [`ask`], with additional environment variables.
///
/// # Errors
/// Those of [`ask`].
pub fn ask_in(
    argv: &[&str],
    environment: &[(String, String)],
    cwd: Option<&Utf8Path>,
    limit: Duration,
) -> Result<Output, ProbeError> {
    ask_from(argv, environment, cwd, None, limit)
}

/// Like [`ask`], with a standard input that the caller writes to and closes.
///
/// # Errors
/// Those of [`ask`].
pub(super) fn ask_fed(argv: &[&str], input: PipeReader) -> Result<Output, ProbeError> {
    ask_from(argv, &[], None, Some(input), LIMIT)
}

fn ask_from(
    argv: &[&str],
    environment: &[(String, String)],
    cwd: Option<&Utf8Path>,
    input: Option<PipeReader>,
    limit: Duration,
) -> Result<Output, ProbeError> {
    let name = argv.first().copied().unwrap_or_default();
    let started = Running::start(argv, environment, cwd, input);
    let running = started.map_err(|error| not_started(name, cwd, &error))?;
    match running.answer(limit) {
        Ok(output) => Ok(output),
        Err(Cut::Time) => Err(ProbeError::TimedOut {
            program: name.to_owned(),
            limit,
        }),
        Err(Cut::Output) => Err(ProbeError::OutputCut {
            program: name.to_owned(),
        }),
    }
}

/// Returns the trimmed standard output of a probe that must succeed.
///
/// # Errors
/// Those of [`ask`], and [`ProbeError::Failed`].
pub fn answer(argv: &[&str], cwd: Option<&Utf8Path>) -> Result<String, ProbeError> {
    let output = ask(argv, cwd, LIMIT)?;
    if output.success {
        return Ok(output.stdout.trim().to_owned());
    }
    let lines = output.stderr.lines().rev().map(str::trim);
    Err(ProbeError::Failed {
        program: argv.first().copied().unwrap_or_default().to_owned(),
        said: lines
            .filter(|line| !line.is_empty())
            .take(1)
            .collect::<String>(),
    })
}

/// Like [`ask`], without the reason of a failure.
pub fn run(argv: &[&str], cwd: Option<&Utf8Path>, limit: Duration) -> Option<Output> {
    ask(argv, cwd, limit).ok()
}

/// Like [`run`], with additional environment variables.
pub fn run_in(
    argv: &[&str],
    environment: &[(String, String)],
    cwd: Option<&Utf8Path>,
    limit: Duration,
) -> Option<Output> {
    ask_in(argv, environment, cwd, limit).ok()
}

/// Like [`answer`], without the reason of a failure.
pub fn stdout(argv: &[&str], cwd: Option<&Utf8Path>) -> Option<String> {
    answer(argv, cwd).ok()
}

/// Returns the full commit id of a working tree, with `-dirty` if files were
/// changed; `None` outside git.
pub fn commit(tree: &Utf8Path) -> Option<String> {
    let describe = [
        "git",
        "describe",
        "--always",
        "--dirty",
        "--abbrev=40",
        "--match=none",
    ];
    stdout(&describe, Some(tree))
}

fn not_started(program: &str, cwd: Option<&Utf8Path>, error: &std::io::Error) -> ProbeError {
    let program = program.to_owned();
    // The system returns the same error if the working directory does not
    // exist.
    let is_cwd = cwd.is_some_and(|cwd| !cwd.is_dir());
    if error.kind() == ErrorKind::NotFound && !is_cwd {
        return ProbeError::NotFound { program };
    }
    let why = match cwd {
        Some(cwd) if is_cwd => format!("`{cwd}` is not a folder"),
        _ => error.to_string(),
    };
    ProbeError::NotStarted { program, why }
}

/// Why the probe was killed.
enum Cut {
    Time,
    Output,
}

/// A running probe: its process group and its pipes.
struct Running {
    handle: Handle,
    stdout: Pipe,
    stderr: Pipe,
}

impl Running {
    fn start(
        argv: &[&str],
        environment: &[(String, String)],
        cwd: Option<&Utf8Path>,
        input: Option<PipeReader>,
    ) -> std::io::Result<Self> {
        let Some((program, arguments)) = argv.split_first() else {
            return Err(ErrorKind::NotFound.into());
        };
        let (stdout, to_stdout) = std::io::pipe()?;
        let (stderr, to_stderr) = std::io::pipe()?;
        let mut environment = environment.to_vec();
        if *program == "git" {
            let given = environment
                .iter()
                .find(|(name, _)| name == "GIT_CONFIG_COUNT");
            let count = match given {
                Some((_, count)) => Some(count.clone()),
                None => std::env::var("GIT_CONFIG_COUNT").ok(),
            };
            environment.extend(git::for_command(arguments, cwd, count.as_deref()));
        }
        let cwd = cwd.map(Utf8PathBuf::from);
        let command = duct::cmd(*program, arguments);
        let command = match input {
            Some(input) => command.stdin_file(input),
            None => command.stdin_null(),
        };
        let handle = command
            .stdout_file(to_stdout)
            .stderr_file(to_stderr)
            .unchecked()
            .before_spawn(move |command| {
                cargo_run::hide_from(command);
                command.envs(environment.iter().map(|(name, value)| (name, value)));
                if let Some(cwd) = &cwd {
                    command.current_dir(cwd);
                }
                // So that its own children end with it.
                command.process_group(0);
                Ok(())
            })
            .start()?;
        Ok(Self {
            handle,
            stdout: Pipe::new(stdout),
            stderr: Pipe::new(stderr),
        })
    }

    fn answer(mut self, limit: Duration) -> Result<Output, Cut> {
        let end = Instant::now() + limit;
        let mut ended: Option<(bool, Instant)> = None;
        let mut pause = Duration::from_micros(200);
        loop {
            wait(&self.stdout, &self.stderr, pause);
            pause = (pause * 2).min(Duration::from_millis(5));
            self.stdout.read();
            self.stderr.read();
            if self.stdout.is_cut() || self.stderr.is_cut() {
                return Err(self.kill(Cut::Output));
            }
            let now = Instant::now();
            if ended.is_none() {
                let status = self.handle.try_wait().ok().flatten();
                ended = status.map(|output| (output.status.success(), now));
            }
            match ended {
                Some((success, at)) if self.is_read() || now > at + GRACE => {
                    return Ok(Output {
                        success,
                        stdout: self.stdout.text(),
                        stderr: self.stderr.text(),
                    });
                }
                None if now > end => return Err(self.kill(Cut::Time)),
                _ => {}
            }
        }
    }

    /// No process can write to it any more.
    fn is_read(&self) -> bool {
        self.stdout.from.is_none() && self.stderr.from.is_none()
    }

    fn kill(&self, why: Cut) -> Cut {
        // It was not reaped, so its pid was not reused.
        if !matches!(self.handle.try_wait(), Ok(Some(_))) {
            let pid = self.handle.pids().first().copied().unwrap_or_default();
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                let _ = kill_process_group(pid, Signal::KILL);
            }
            let _ = self.handle.wait();
        }
        why
    }
}

/// The output on one of the two pipes.
struct Pipe {
    /// `None` after its end.
    from: Option<PipeReader>,
    bytes: Vec<u8>,
}

impl Pipe {
    fn new(from: PipeReader) -> Self {
        let _ = rustix::io::ioctl_fionbio(&from, true);
        Self {
            from: Some(from),
            bytes: Vec::new(),
        }
    }

    /// Reads what is in the pipe now.
    fn read(&mut self) {
        let mut chunk = [0; 1 << 14];
        while self.bytes.len() <= LARGEST
            && let Some(from) = &mut self.from
        {
            match from.read(&mut chunk) {
                Ok(0) => self.from = None,
                Ok(count) => self.bytes.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.from = None,
            }
        }
    }

    fn is_cut(&self) -> bool {
        self.bytes.len() > LARGEST
    }

    fn text(self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// Waits for output, at most this long.
fn wait(stdout: &Pipe, stderr: &Pipe, pause: Duration) {
    let open = [stdout, stderr].into_iter();
    let mut open: Vec<PollFd<'_>> = open
        .filter_map(|pipe| pipe.from.as_ref())
        .map(|from| PollFd::new(from, PollFlags::IN))
        .collect();
    let pause = Timespec::try_from(pause).ok();
    let _ = poll(&mut open, pause.as_ref());
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    fn sh(script: &str, limit: Duration) -> Result<Output, ProbeError> {
        ask(&["sh", "-c", script], None, limit)
    }

    #[test]
    fn an_answer_is_what_was_printed_and_how_it_ended() {
        let output = sh("echo out; echo err >&2; exit 3", LONG).unwrap();
        assert_eq!((output.stdout.as_str(), output.success), ("out\n", false));
        assert_eq!(output.stderr, "err\n");
        assert_eq!(answer(&["echo", "a b"], None).unwrap(), "a b");
        let failed = answer(&["sh", "-c", "echo why >&2; exit 1"], None).unwrap_err();
        assert_eq!(failed.to_string(), "`sh` failed: why");
    }

    #[test]
    fn why_there_is_no_answer_is_told_apart() {
        let none = ask(&["no-such-program"], None, LONG).unwrap_err();
        assert!(matches!(none, ProbeError::NotFound { .. }), "{none}");
        let none = ask(&["/dev/null"], None, LONG).unwrap_err();
        assert!(matches!(none, ProbeError::NotStarted { .. }), "{none}");
        let nowhere = Utf8Path::new("/no/such/folder");
        let none = ask(&["sh", "-c", ""], Some(nowhere), LONG).unwrap_err();
        assert!(none.to_string().contains("is not a folder"), "{none}");
        let none = sh("sleep 300 & wait", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(none, ProbeError::TimedOut { .. }), "{none}");
        let none = sh("exec cat /dev/zero", LONG).unwrap_err();
        assert!(matches!(none, ProbeError::OutputCut { .. }), "{none}");
    }

    /// The pipe stays open as long as this process runs.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_grandchild_that_keeps_the_pipe_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let script = "setsid sh -c 'echo $$ >new; mv new pid; exec sleep 300' & \
                      until [ -e pid ]; do sleep 0.01; done; echo said";
        let output = ask(&["sh", "-c", script], Some(dir), LONG).unwrap();
        let pid = std::fs::read_to_string(dir.join("pid")).unwrap();
        let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        kill_process_group(pid, Signal::KILL).expect("it is still running");
        assert!(output.success);
        assert_eq!(output.stdout, "said\n");
    }

    /// More than the capacity of a pipe.
    #[test]
    fn much_is_read_whole() {
        let output = sh(
            "head -c 3000000 /dev/zero; head -c 2000000 /dev/zero >&2",
            LONG,
        );
        let output = output.unwrap();
        assert_eq!(
            (output.stdout.len(), output.stderr.len()),
            (3_000_000, 2_000_000)
        );
    }
}

//! Runs short read-only commands, bounded in time and output. Never for a
//! command that changes something.

use std::fmt;
use std::io::{ErrorKind, PipeReader};
use std::os::unix::process::CommandExt;
use std::pin::pin;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use duct::Handle;
use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio::try_join;

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
    let started = start(argv, environment, cwd, input);
    let (handle, pipes) = started.map_err(|error| not_started(name, cwd, &error))?;
    match finish(&handle, pipes, limit) {
        Ok(output) => Ok(output),
        Err(Cut::System(error)) => Err(not_started(name, cwd, &error)),
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

/// Why there is no complete output.
enum Cut {
    Time,
    Output,
    System(std::io::Error),
}

impl From<std::io::Error> for Cut {
    fn from(error: std::io::Error) -> Self {
        Self::System(error)
    }
}

fn start(
    argv: &[&str],
    environment: &[(String, String)],
    cwd: Option<&Utf8Path>,
    input: Option<PipeReader>,
) -> std::io::Result<(Handle, [PipeReader; 2])> {
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
    Ok((handle, [stdout, stderr]))
}

/// Waits for the probe in this thread while another thread reads its output.
/// The other thread is needed because the caller may be in a tokio runtime,
/// which cannot start a second one.
fn finish(handle: &Handle, pipes: [PipeReader; 2], limit: Duration) -> Result<Output, Cut> {
    let pid = handle.pids().first().copied().unwrap_or_default();
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| std::io::Error::from(ErrorKind::NotFound))?;
    let (end, ended) = oneshot::channel();
    let read = std::thread::scope(|scope| {
        let reader = std::thread::Builder::new().spawn_scoped(scope, move || {
            let read = read_both(pipes, ended, limit);
            if read.is_err() {
                // It was not reaped, so its pid was not reused.
                let _ = kill_process_group(pid, Signal::KILL);
            }
            read
        });
        let reader = reader.inspect_err(|_| {
            let _ = kill_process_group(pid, Signal::KILL);
        });
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let _ = retry_on_intr(|| waitid(WaitId::Pid(pid), options));
        let _ = end.send(());
        let read = reader?.join();
        read.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    let output = handle.wait();
    let [stdout, stderr] = read?;
    Ok(Output {
        success: output?.status.success(),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    })
}

/// Reads both pipes until they are closed, or until [`GRACE`] after `ended`.
fn read_both(
    [stdout, stderr]: [PipeReader; 2],
    ended: oneshot::Receiver<()>,
    limit: Duration,
) -> Result<[Vec<u8>; 2], Cut> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    runtime.block_on(async {
        let stdout = Receiver::from_owned_fd(stdout.into())?;
        let stderr = Receiver::from_owned_fd(stderr.into())?;
        let both = async { try_join!(read(stdout, &mut out), read(stderr, &mut err)) };
        let mut both = pin!(both);
        let mut ended = pin!(ended);
        let running = async {
            tokio::select! {
                read = &mut both => {
                    read?;
                    let _ = ended.await;
                    Ok::<bool, Cut>(true)
                }
                _ = &mut ended => Ok(false),
            }
        };
        let is_read = timeout(limit, running).await.map_err(|_| Cut::Time)??;
        if !is_read && let Ok(read) = timeout(GRACE, both).await {
            read?;
        }
        Ok::<(), Cut>(())
    })?;
    Ok([out, err])
}

/// Appends what is read, so that nothing is lost when it is cancelled.
async fn read(from: Receiver, bytes: &mut Vec<u8>) -> Result<(), Cut> {
    // One byte more shows that it is too much.
    let most = LARGEST as u64 + 1;
    from.take(most).read_to_end(bytes).await?;
    if bytes.len() > LARGEST {
        return Err(Cut::Output);
    }
    Ok(())
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

//! Runs short read-only commands, bounded in time and output. Never for a
//! command that changes something.
//!
//! duct starts a command or a pipeline and reports its end; tokio reads both
//! outputs with a deadline.

use std::fmt;
use std::io::{ErrorKind, PipeReader};
use std::os::unix::process::CommandExt;
use std::pin::pin;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use duct::{Expression, Handle};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio::try_join;

use super::{cargo_run, dirs, git};

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
    /// It printed more than this many bytes and was killed.
    OutputCut { program: String, largest: usize },
    /// It printed bytes that are not UTF-8.
    NotText { program: String },
    /// It failed; `said` is the line of its stderr that says why.
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
            Self::OutputCut { program, largest } => {
                write!(f, "`{program}` printed more than {} MiB", largest >> 20)
            }
            Self::NotText { program } => write!(f, "`{program}` printed no UTF-8 text"),
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

/// A read-only command before it runs. By default it has no standard input, at
/// most [`LIMIT`] of time and 16 MiB of output.
#[derive(Debug)]
#[must_use]
pub struct Probe {
    argv: Vec<String>,
    /// The second command of a pipeline.
    piped_to: Option<Vec<String>>,
    environment: Vec<(String, String)>,
    cwd: Option<Utf8PathBuf>,
    stdin: Option<PipeReader>,
    timeout: Duration,
    largest: usize,
}

impl Probe {
    /// The program is searched in `PATH` unless it is a path.
    pub fn new(argv: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        Self {
            argv: owned(argv),
            piped_to: None,
            environment: Vec::new(),
            cwd: None,
            stdin: None,
            timeout: LIMIT,
            largest: LARGEST,
        }
    }

    /// Pipes its standard output to a second command. The result is a failure if
    /// either fails.
    pub fn pipe(mut self, argv: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.piped_to = Some(owned(argv));
        self
    }

    /// Adds environment variables.
    pub fn envs(mut self, variables: &[(String, String)]) -> Self {
        self.environment.extend_from_slice(variables);
        self
    }

    /// Sets the working directory.
    pub fn current_dir(mut self, dir: &Utf8Path) -> Self {
        self.cwd = Some(dir.to_owned());
        self
    }

    /// Sets a standard input that the caller writes to and closes.
    pub fn stdin(mut self, input: PipeReader) -> Self {
        self.stdin = Some(input);
        self
    }

    /// Kills it after this time.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Kills it when it prints more than this many bytes to one of its outputs.
    pub fn largest(mut self, bytes: usize) -> Self {
        self.largest = bytes;
        self
    }

    /// Returns its output, whether it succeeded or not.
    ///
    /// # Errors
    /// If it cannot be started, takes too long, or prints too much.
    pub fn run(&self) -> Result<Output, ProbeError> {
        let output = self.output()?;
        Ok(Output {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Returns its trimmed standard output; it must succeed.
    ///
    /// # Errors
    /// Those of [`Self::run`], and [`ProbeError::Failed`].
    pub fn stdout(&self) -> Result<String, ProbeError> {
        let output = self.success()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Returns its standard output unchanged; it must succeed and print UTF-8.
    ///
    /// # Errors
    /// Those of [`Self::stdout`], and [`ProbeError::NotText`].
    pub fn exact_stdout(&self) -> Result<String, ProbeError> {
        String::from_utf8(self.success()?.stdout).map_err(|_| ProbeError::NotText {
            program: self.program(),
        })
    }

    /// Returns the bytes of its standard output; it must succeed.
    ///
    /// # Errors
    /// Those of [`Self::stdout`].
    pub fn bytes(&self) -> Result<Vec<u8>, ProbeError> {
        Ok(self.success()?.stdout)
    }

    /// Returns the first `bytes` of its standard output, and ends it when it has printed more.
    ///
    /// # Errors
    /// Those of [`Self::stdout`].
    pub fn start_of_output(self, bytes: usize) -> Result<Vec<u8>, ProbeError> {
        let probe = self.pipe(["head", "-c", &bytes.to_string()]);
        let output = probe.output()?;
        // It ends with a broken pipe then.
        if output.stdout.len() == bytes {
            return Ok(output.stdout);
        }
        Ok(probe.succeeded(output)?.stdout)
    }

    fn success(&self) -> Result<std::process::Output, ProbeError> {
        let output = self.output()?;
        self.succeeded(output)
    }

    fn succeeded(&self, output: std::process::Output) -> Result<std::process::Output, ProbeError> {
        if output.status.success() {
            return Ok(output);
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        let mut lines = stderr
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty());
        // In a pipeline, the second command then only reports its empty input.
        let said = match self.piped_to {
            Some(_) => lines.next(),
            None => lines.next_back(),
        };
        Err(ProbeError::Failed {
            program: self.program(),
            said: said.unwrap_or_default().to_owned(),
        })
    }

    fn output(&self) -> Result<std::process::Output, ProbeError> {
        let program = self.program();
        let finished = self.start().map_err(Cut::System);
        let finished = finished.and_then(|(handle, pipes)| self.finish(&handle, pipes));
        finished.map_err(|cut| match cut {
            Cut::System(error) => not_started(program, self.cwd.as_deref(), &error),
            Cut::Time => ProbeError::TimedOut {
                program,
                limit: self.timeout,
            },
            Cut::Output => ProbeError::OutputCut {
                program,
                largest: self.largest,
            },
        })
    }

    /// The name for messages.
    fn program(&self) -> String {
        let names = [Some(&self.argv), self.piped_to.as_ref()];
        let names = names.into_iter().flatten().filter_map(|argv| argv.first());
        names.map(String::as_str).collect::<Vec<_>>().join(" | ")
    }

    fn start(&self) -> std::io::Result<(Handle, [PipeReader; 2])> {
        let (stdout, to_stdout) = std::io::pipe()?;
        let (stderr, to_stderr) = std::io::pipe()?;
        let environment = self.whole_environment();
        let cwd = self.cwd.clone();
        let command = expression(&self.argv)?;
        let command = match &self.stdin {
            Some(input) => command.stdin_file(input.try_clone()?),
            None => command.stdin_null(),
        };
        let command = match &self.piped_to {
            Some(argv) => command.pipe(expression(argv)?),
            None => command,
        };
        let handle = command
            .stdout_file(to_stdout)
            .stderr_file(to_stderr)
            .unchecked()
            .before_spawn(move |command| {
                cargo_run::hide_from(command);
                dirs::pass_home(command);
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

    /// git reads no settings of a repository that start programs.
    fn whole_environment(&self) -> Vec<(String, String)> {
        let mut environment = self.environment.clone();
        let [program, arguments @ ..] = &self.argv[..] else {
            return environment;
        };
        if program == "git" {
            let given = environment
                .iter()
                .find(|(name, _)| name == "GIT_CONFIG_COUNT");
            let count = match given {
                Some((_, count)) => Some(count.clone()),
                None => std::env::var("GIT_CONFIG_COUNT").ok(),
            };
            let off = git::for_command(arguments, self.cwd.as_deref(), count.as_deref());
            environment.extend(off);
        }
        environment
    }

    /// Waits for the probe in this thread while another thread reads its output.
    /// The other thread is needed because the caller may be in a tokio runtime,
    /// which cannot start a second one.
    fn finish(&self, handle: &Handle, pipes: [PipeReader; 2]) -> Result<std::process::Output, Cut> {
        let pids = handle.pids().into_iter();
        let pids: Vec<Pid> = pids
            .filter_map(|pid| Pid::from_raw(i32::try_from(pid).ok()?))
            .collect();
        // They were not reaped, so their pids were not reused.
        let kill = || {
            for pid in &pids {
                let _ = kill_process_group(*pid, Signal::KILL);
            }
        };
        let (end, ended) = oneshot::channel();
        let read = std::thread::scope(|scope| {
            let reader = std::thread::Builder::new().spawn_scoped(scope, || {
                read_both(pipes, ended, self.timeout, self.largest).inspect_err(|_| kill())
            });
            let reader = reader.inspect_err(|_| kill());
            for pid in &pids {
                let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
                let _ = retry_on_intr(|| waitid(WaitId::Pid(*pid), options));
            }
            let _ = end.send(());
            let read = reader?.join();
            read.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        let ended = handle.wait();
        let [stdout, stderr] = read?;
        Ok(std::process::Output {
            status: ended?.status,
            stdout,
            stderr,
        })
    }
}

fn owned(argv: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<String> {
    let words = argv.into_iter();
    words.map(|word| word.as_ref().to_owned()).collect()
}

fn expression(argv: &[String]) -> std::io::Result<Expression> {
    match argv.split_first() {
        Some((program, arguments)) => Ok(duct::cmd(program, arguments)),
        None => Err(ErrorKind::NotFound.into()),
    }
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
    Probe::new(describe).current_dir(tree).stdout().ok()
}

fn not_started(program: String, cwd: Option<&Utf8Path>, error: &std::io::Error) -> ProbeError {
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

/// Reads both pipes until they are closed, or until [`GRACE`] after `ended`.
fn read_both(
    [stdout, stderr]: [PipeReader; 2],
    ended: oneshot::Receiver<()>,
    limit: Duration,
    largest: usize,
) -> Result<[Vec<u8>; 2], Cut> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    runtime.block_on(async {
        let stdout = Receiver::from_owned_fd(stdout.into())?;
        let stderr = Receiver::from_owned_fd(stderr.into())?;
        let both = async {
            try_join!(
                read(stdout, &mut out, largest),
                read(stderr, &mut err, largest)
            )
        };
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
async fn read(from: Receiver, bytes: &mut Vec<u8>, largest: usize) -> Result<(), Cut> {
    // One byte more shows that it is too much.
    let most = largest as u64 + 1;
    from.take(most).read_to_end(bytes).await?;
    if bytes.len() > largest {
        return Err(Cut::Output);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    fn sh(script: &str, limit: Duration) -> Result<Output, ProbeError> {
        Probe::new(["sh", "-c", script]).timeout(limit).run()
    }

    #[test]
    fn an_answer_is_what_was_printed_and_how_it_ended() {
        let output = sh("echo out; echo err >&2; exit 3", LONG).unwrap();
        assert_eq!((output.stdout.as_str(), output.success), ("out\n", false));
        assert_eq!(output.stderr, "err\n");
        assert_eq!(Probe::new(["echo", "a b"]).stdout().unwrap(), "a b");
        let failed = Probe::new(["sh", "-c", "echo why >&2; exit 1"]);
        let failed = failed.stdout().unwrap_err();
        assert_eq!(failed.to_string(), "`sh` failed: why");
    }

    #[test]
    fn why_there_is_no_answer_is_told_apart() {
        let none = Probe::new(["no-such-program"]).run().unwrap_err();
        assert!(matches!(none, ProbeError::NotFound { .. }), "{none}");
        let none = Probe::new(["/dev/null"]).run().unwrap_err();
        assert!(matches!(none, ProbeError::NotStarted { .. }), "{none}");
        let nowhere = Utf8Path::new("/no/such/folder");
        let none = Probe::new(["sh", "-c", ""]).current_dir(nowhere);
        let none = none.run().unwrap_err();
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
        let output = Probe::new(["sh", "-c", script])
            .current_dir(dir)
            .timeout(LONG)
            .run()
            .unwrap();
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

    fn piped(first: &str, second: &str) -> Probe {
        Probe::new(["sh", "-c", first]).pipe(["sh", "-c", second])
    }

    #[test]
    fn both_sides_of_a_pipeline_must_succeed() {
        assert_eq!(piped("printf ' a'", "cat").exact_stdout().unwrap(), " a");
        let first = piped("printf a; echo no daemon >&2; exit 1", "cat; echo b >&2");
        let first = first.exact_stdout().unwrap_err();
        assert_eq!(first.to_string(), "`sh | sh` failed: no daemon");
        let second = piped("printf a", "cat; exit 2").exact_stdout();
        assert!(matches!(second, Err(ProbeError::Failed { .. })));
        for (first, second) in [
            ("sh", "xtask-has-no-such-tool"),
            ("xtask-has-no-such-tool", "cat"),
        ] {
            let missing = Probe::new([first]).pipe([second]).exact_stdout();
            assert!(matches!(missing, Err(ProbeError::NotFound { .. })));
        }
    }

    #[test]
    fn too_much_and_too_long_in_a_pipeline_are_errors() {
        let flood = piped("exec yes", "exec cat").largest(1 << 20);
        let flood = flood.exact_stdout().unwrap_err();
        assert!(flood.to_string().contains("more than 1 MiB"), "{flood}");
        // A remaining process keeps the pipe open.
        for hangs in ["sleep 600 & echo a", "sleep 600"] {
            let hangs = piped(hangs, "exec cat").timeout(Duration::from_millis(300));
            let hangs = hangs.exact_stdout().unwrap_err();
            assert!(matches!(hangs, ProbeError::TimedOut { .. }), "{hangs}");
        }
        let torn = piped(r"printf '\377'", "cat").exact_stdout().unwrap_err();
        assert!(matches!(torn, ProbeError::NotText { .. }), "{torn}");
    }
}

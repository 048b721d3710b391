//! Short read-only commands whose output is a fact. Bounded in time; never for
//! anything that changes the world.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use rustix::process::{Pid, Signal, kill_process_group};

use super::cargo_run;

/// What a probe printed and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    pub success: bool,
    pub stdout: String,
    pub stderr: String,
}

/// Run `argv`; `None` when it cannot be started or takes longer than `limit`.
pub fn run(argv: &[&str], cwd: Option<&Utf8Path>, limit: Duration) -> Option<Output> {
    run_in(argv, &[], cwd, limit)
}

/// As [`run`], with `environment` added to ours.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where probes start processes"
)]
pub fn run_in(
    argv: &[&str],
    environment: &[(String, String)],
    cwd: Option<&Utf8Path>,
    limit: Duration,
) -> Option<Output> {
    let (program, rest) = argv.split_first()?;
    let mut command = Command::new(program);
    cargo_run::hide_from(&mut command);
    command
        .args(rest)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // So that what it starts in turn ends with it.
        .process_group(0);
    if let Some(cwd) = cwd {
        command.current_dir(cwd);
    }
    let mut child = command.spawn().ok()?;
    let (stdout, stderr) = (child.stdout.take()?, child.stderr.take()?);
    let out = std::thread::spawn(move || read_bounded(stdout));
    let err = std::thread::spawn(move || read_bounded(stderr));
    let end = Instant::now() + limit;
    let mut pause = Duration::from_micros(200);
    let status = loop {
        match child.try_wait().ok()? {
            Some(status) => break status,
            None if Instant::now() > end => {
                let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
                let _ = child.wait();
                return None;
            }
            None => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(5));
            }
        }
    };
    Some(Output {
        success: status.success(),
        stdout: out.join().ok()?,
        stderr: err.join().ok()?,
    })
}

/// The trimmed standard output of a probe that succeeded.
pub fn stdout(argv: &[&str], cwd: Option<&Utf8Path>) -> Option<String> {
    let output = run(argv, cwd, Duration::from_secs(10))?;
    output.success.then(|| output.stdout.trim().to_owned())
}

/// The commit of a working tree, whole, with `-dirty` where files were changed;
/// none outside git.
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

/// At most 16 MiB: a probe that prints more is not one.
fn read_bounded(stream: impl Read) -> String {
    let mut bytes = Vec::new();
    let _ = stream.take(16 << 20).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

//! Starts a process of a cluster that outlives this one. Its files are opened in
//! the cluster's folder, which belongs to a user, without following links.

use std::fs::File;
use std::io::{Error, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Stdio};
use std::time::Duration;

use camino::Utf8Path;
use rustix::fs::{Mode, OFlags, openat};

use super::spawn;
use super::step::{StepContext, cannot_start};
use crate::ctx::cluster::console_tail;
use crate::ctx::owned_path::OwnedPath;
use crate::ctx::processes::Process;
use crate::failure::{Because, Failure, Result};
use crate::plan::{Launch, Owned};
use crate::wait::{Wait, Waited};

/// `setsid` needs no longer than this to become the program.
const DETACHED_WITHIN: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(2);
/// Lines of the log that a failure shows.
const EXCERPT: usize = 15;

const FILE: OFlags = OFlags::NOFOLLOW
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// Starts the process for the user `user`, and writes its pid file.
///
/// # Errors
/// When the folder is not that of a cluster of the user, and when the process
/// cannot be started or ends at once.
pub(super) fn launch(launch: &Launch, user: u32, context: &StepContext<'_>) -> Result<()> {
    let dir = &launch.state_dir;
    let folder = open_folder(dir, user).because(|| format!("cannot use `{dir}`"))?;
    let [log_path, pid_path] = launch.files();
    let open = |path: &Utf8Path, flags| {
        let name = path.file_name().unwrap_or_default();
        open_in(&folder, name, flags).because(|| format!("cannot open `{path}`"))
    };
    let log = open(&log_path, OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE)?;
    let input = match &launch.input {
        Some(_) => Stdio::from(open(&launch.input_path(), OFlags::RDONLY)?),
        None => Stdio::null(),
    };
    let mut pid_file = open(&pid_path, OFlags::WRONLY | OFlags::CREATE)?;
    let program = launch.argv.first().map_or("", String::as_str);
    let errors = log
        .try_clone()
        .because(|| format!("cannot use `{log_path}`"))?;
    let mut command = spawn::command("setsid");
    if context.only_listed {
        command.env_clear();
    }
    let mut child = command
        .args(&launch.argv)
        .envs(launch.env.iter().map(|(name, value)| (name, value)))
        .current_dir(&launch.cwd)
        .stdin(input)
        .stdout(log)
        .stderr(errors)
        .spawn()
        .map_err(|error| cannot_start(program, &error))?;
    pid_file
        .set_len(0)
        .and_then(|()| write!(pid_file, "{}", child.id()))
        .because(|| format!("cannot write `{pid_path}`"))?;
    until_detached(&mut child, program).map_err(|why| {
        Failure::step(format!("`{program}` did not start"))
            .cause(why)
            .excerpt(console_tail(&log_path, EXCERPT))
    })
}

fn open_folder(dir: &Utf8Path, user: u32) -> std::io::Result<OwnedFd> {
    let found = OwnedPath::open(dir, Owned::Cluster, user)?;
    let folder = found.and_then(|found| found.folder);
    folder.ok_or_else(|| std::io::ErrorKind::NotFound.into())
}

/// Opens a regular file with one name: another user's file may be linked into
/// the folder.
fn open_in(folder: &OwnedFd, name: &str, flags: OFlags) -> std::io::Result<File> {
    let mode = Mode::from_raw_mode(0o644);
    let file = File::from(openat(folder, name, flags | FILE, mode)?);
    let found = file.metadata()?;
    if !found.is_file() || found.nlink() > 1 {
        return Err(Error::other("it is not a file of its own"));
    }
    rustix::fs::fcntl_setfl(&file, flags & OFlags::APPEND)?;
    Ok(file)
}

/// Waits until the process has a session of its own and is the program: before that,
/// what ends this process's group would end it too, and nothing shows what it is.
fn until_detached(child: &mut Child, program: &str) -> std::io::Result<()> {
    let pid = i32::try_from(child.id()).map_err(Error::other)?;
    let wait = Wait::default().within(DETACHED_WITHIN);
    let waited = wait.look_every(LOOK, || {
        if let Some(status) = child.try_wait()? {
            return Err(Error::other(format!("it ended with {status}")));
        }
        let is_program = |process: &Process| {
            process.session == pid && process.argv.first().is_some_and(|word| word == program)
        };
        Ok(Process::probe(pid).filter(is_program).map(drop))
    })?;
    match waited {
        Waited::Found(()) => Ok(()),
        Waited::TimedOut | Waited::Interrupted => {
            Err(Error::other("it did not leave this session"))
        }
    }
}

//! Starts the processes of an air gap, which outlive this one: the observer of the
//! bridge, and talosctl's helper. Both are on the ledger as parts of the air gap.

#[cfg(target_os = "linux")]
mod observe;
#[cfg(target_os = "linux")]
mod readiness;

use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::time::Duration;

use camino::Utf8Path;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe::Receiver;
use tokio::time::timeout;

#[cfg(target_os = "linux")]
pub use observe::observe;

use super::spawn;
use crate::ctx::airgap::AirGap;
use crate::ctx::own_executable::own_executable;
use crate::ctx::own_files;
use crate::ctx::ports::{self, Protocol};
use crate::failure::{Because, Failure, Result};
use crate::files;
use crate::record::own;
use crate::wait::{Wait, Waited, runtime};

/// The line that the observer prints once it waits for the bridge or captures.
const READY: &str = "ready";
const START_WITHIN: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);
/// Lines of a log that a failure shows.
const EXCERPT: usize = 10;

/// What an observer is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observing {
    pub dir: camino::Utf8PathBuf,
    pub bridge: String,
    pub cidr: talos::network::Cidr,
    pub ports: Vec<u16>,
    /// Folders in which the nodes' consoles may be.
    pub consoles: Vec<camino::Utf8PathBuf>,
}

/// Starts the observer, with the arguments that run it, and returns once it is ready.
///
/// # Errors
/// When it cannot be started, or ends at once.
pub fn start_observer(dir: &Utf8Path, args: &[String]) -> Result<()> {
    if !AirGap::observers(dir).is_empty() {
        return Ok(());
    }
    let path = dir.join("observer.log");
    let log = own::create(&path, 0o600).because(|| format!("cannot write `{path}`"))?;
    let program = own_executable()?;
    let mut child = spawn::command(program.as_str())
        .args(args)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .because(|| format!("cannot start `{program}`"))?;
    let stdout = child.stdout.take().map(OwnedFd::from);
    let says = runtime()?.block_on(async { timeout(START_WITHIN, says_ready(stdout)).await });
    if matches!(says, Ok(Ok(true))) {
        return Ok(());
    }
    let _ = child.kill();
    let _ = child.wait();
    Err(Failure::step("the observer of the bridge does not start").excerpt(tail(&path)))
}

async fn says_ready(stdout: Option<OwnedFd>) -> std::io::Result<bool> {
    let Some(stdout) = stdout else {
        return Ok(false);
    };
    let mut line = String::new();
    let mut stdout = BufReader::new(Receiver::from_owned_fd(stdout)?);
    stdout.read_line(&mut line).await?;
    Ok(line.trim_end() == READY)
}

/// Starts talosctl's helper in the folder, where it writes its patch, and returns once it
/// listens on all ports. It reports neither a port in use nor a failure.
///
/// # Errors
/// When it cannot be started, ends, or does not listen.
pub fn start_helper(dir: &Utf8Path, ports: &[u16], argv: &[String]) -> Result<()> {
    let path = dir.join("helper.log");
    let log = own::create(&path, 0o600).because(|| format!("cannot write `{path}`"))?;
    let errors = log.try_clone().because(|| format!("cannot use `{path}`"))?;
    let mut child = spawn::command("setsid")
        .args(argv)
        .current_dir(dir)
        // Its log is read with its times.
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .because(|| "cannot start `setsid`".to_owned())?;
    let failure = match wait_for_ports(&mut child, ports) {
        Ok(()) => return Ok(()),
        Err(why) => Failure::step("talosctl's helper does not start")
            .cause(why)
            .excerpt(tail(&path)),
    };
    let _ = child.kill();
    let _ = child.wait();
    Err(failure)
}

fn wait_for_ports(child: &mut Child, ports: &[u16]) -> std::io::Result<()> {
    let pid = i32::try_from(child.id()).map_err(std::io::Error::other)?;
    let mut missing: Vec<u16> = ports.to_vec();
    let waited = Wait::default().within(START_WITHIN).look_every(LOOK, || {
        if let Some(status) = child.try_wait()? {
            return Err(std::io::Error::other(format!("it ended with {status}")));
        }
        let listeners = ports::listeners();
        missing.retain(|port| {
            let mut found = listeners
                .iter()
                .filter(|found| found.port == *port && found.protocol == Protocol::Tcp);
            !found.any(|found| ports::holder(found.inode).is_some_and(|holder| holder.pid == pid))
        });
        Ok(missing.is_empty().then_some(()))
    })?;
    match waited {
        Waited::Found(()) => Ok(()),
        Waited::TimedOut | Waited::Interrupted => Err(std::io::Error::other(format!(
            "it does not listen on port {}",
            missing.first().copied().unwrap_or_default()
        ))),
    }
}

fn tail(path: &Utf8Path) -> Vec<String> {
    let text = own_files::read(path, files::MEDIUM).ok().flatten();
    let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(EXCERPT);
    lines[from..]
        .iter()
        .map(|line| (*line).to_owned())
        .collect()
}

/// # Errors
/// Always: there are no clusters here.
#[cfg(not(target_os = "linux"))]
pub fn observe(observing: &Observing) -> Result<()> {
    Err(Failure::host(format!(
        "observing {} needs Linux",
        observing.bridge
    )))
}

//! The registry relay of a cluster: nodes reach the registries on this machine's
//! loopback through the cluster's gateway. This module starts the relay; `serve`
//! is the relay itself.

#[cfg(target_os = "linux")]
mod serve;

use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe::Receiver;
use tokio::time::timeout;

#[cfg(target_os = "linux")]
pub use serve::serve;

use super::spawn;
use crate::ctx::Ctx;
use crate::ctx::own_executable::own_executable;
use crate::ctx::own_files;
use crate::ctx::relay::{RelaySpec, RelayView};
use crate::failure::{Because, Failure, Result};
use crate::files;
use crate::record::own;
use crate::typed;
use crate::wait::runtime;

/// The line that the relay prints once it listens.
const READY: &str = "ready";
/// Ports are bound within milliseconds.
const START_WITHIN: Duration = Duration::from_secs(10);

/// Starts the relay and returns once it listens. It outlives this process, and is
/// on the ledger. Does nothing if the same relay runs already.
///
/// # Errors
/// When another relay of that cluster runs, or this one cannot listen.
pub fn start(ctx: &Ctx, relaying: &RelaySpec) -> Result<()> {
    let view = RelayView::probe(ctx, &relaying.state_dir);
    if view.served() == Some(relaying) {
        return Ok(());
    }
    if let Some(other) = view.running.first() {
        return Err(Failure::step(format!(
            "another relay of this cluster runs: pid {}, at {}",
            other.process.pid,
            other.relaying.describe()
        ))
        .hint(typed!(
            "cluster destroy --name {}",
            relaying.state_dir.file_name().unwrap_or_default()
        )));
    }
    let path = log(ctx, &relaying.state_dir);
    let folder = path.parent().unwrap_or(Utf8Path::new("."));
    let log = own::make_folder(folder)
        .and_then(|_| own::create(&path, 0o600))
        .because(|| format!("cannot write `{path}`"))?;
    let program = own_executable()?;
    let mut child = spawn::command(program.as_str())
        .args(relaying.args(true))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .because(|| format!("cannot start `{program}`"))?;
    let stdout = child.stdout.take().map(OwnedFd::from);
    let listens = runtime()?.block_on(async { timeout(START_WITHIN, says_ready(stdout)).await });
    let failure = match listens {
        Ok(Ok(true)) => return Ok(()),
        Ok(_) => refused(relaying, &path),
        Err(_) => {
            let _ = child.kill();
            refused(relaying, &path).cause(format!("it did not listen within {START_WITHIN:?}"))
        }
    };
    let _ = child.wait();
    Err(failure)
}

/// Whether the first line of the relay says that it listens.
async fn says_ready(stdout: Option<OwnedFd>) -> std::io::Result<bool> {
    let Some(stdout) = stdout else {
        return Ok(false);
    };
    let mut line = String::new();
    let mut stdout = BufReader::new(Receiver::from_owned_fd(stdout)?);
    stdout.read_line(&mut line).await?;
    Ok(line.trim_end() == READY)
}

fn refused(relaying: &RelaySpec, log: &Utf8Path) -> Failure {
    let text = own_files::read(log, files::MEDIUM).ok().flatten();
    let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
    Failure::step(format!(
        "the relay cannot listen at {}",
        relaying.describe()
    ))
    .excerpt(text.lines().map(str::to_owned))
    .hint(typed!("doctor"))
}

/// The log of that cluster's relay.
fn log(ctx: &Ctx, state_dir: &Utf8Path) -> Utf8PathBuf {
    let name = state_dir.file_name().unwrap_or("cluster");
    ctx.dirs.state.join(format!("relays/{name}.log"))
}

/// # Errors
/// Always: there are no clusters here.
#[cfg(not(target_os = "linux"))]
pub fn serve(relaying: &RelaySpec) -> Result<()> {
    Err(Failure::host(format!(
        "the relay at {} needs Linux",
        relaying.describe()
    )))
}

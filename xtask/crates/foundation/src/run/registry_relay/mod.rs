//! The relay of a cluster: its nodes reach the registries on this machine's
//! loopback by the cluster's gateway. Here it is started; `serve` is it.

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

use super::{core, spawn};
use crate::ctx::Ctx;
use crate::ctx::relay::{RelayView, Relaying};
use crate::failure::{Because, Failure, Result};
use crate::files;
use crate::record::own;
use crate::typed;

/// What the relay says once it listens.
const READY: &str = "ready";
/// It binds a handful of ports, or cannot.
const START_WITHIN: Duration = Duration::from_secs(10);

/// Start the relay and return once it listens. It outlives us: the ledger names
/// it. One that runs already and does the same is left alone.
///
/// # Errors
/// When another relay of that cluster runs, or this one cannot listen.
pub fn start(ctx: &Ctx, relaying: &Relaying) -> Result<()> {
    let view = RelayView::look(ctx, &relaying.state_dir);
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
    let program = spawn::own_executable()
        .ok()
        .and_then(|path| Utf8PathBuf::from_path_buf(path).ok())
        .ok_or_else(|| Failure::step("cannot find our own executable"))?;
    let mut child = spawn::command(program.as_str())
        .args(relaying.args(true))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .because(|| format!("cannot start `{program}`"))?;
    let stdout = child.stdout.take().map(OwnedFd::from);
    let listens =
        core::runtime()?.block_on(async { timeout(START_WITHIN, says_ready(stdout)).await });
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

/// Whether the first line of the relay, or its end, says that it listens.
async fn says_ready(stdout: Option<OwnedFd>) -> std::io::Result<bool> {
    let Some(stdout) = stdout else {
        return Ok(false);
    };
    let mut line = String::new();
    let mut stdout = BufReader::new(Receiver::from_owned_fd(stdout)?);
    stdout.read_line(&mut line).await?;
    Ok(line.trim_end() == READY)
}

fn refused(relaying: &Relaying, log: &Utf8Path) -> Failure {
    let said = own::read(log, files::MEDIUM).ok().flatten();
    let said = String::from_utf8_lossy(&said.unwrap_or_default()).into_owned();
    Failure::step(format!(
        "the relay cannot listen at {}",
        relaying.describe()
    ))
    .excerpt(said.lines().map(str::to_owned))
    .hint(typed!("doctor"))
}

/// Where the relay of that cluster says what went wrong.
fn log(ctx: &Ctx, state_dir: &Utf8Path) -> Utf8PathBuf {
    let name = state_dir.file_name().unwrap_or("cluster");
    ctx.dirs.state.join(format!("relays/{name}.log"))
}

/// # Errors
/// Always: there are no clusters here.
#[cfg(not(target_os = "linux"))]
pub fn serve(relaying: &Relaying) -> Result<()> {
    Err(Failure::host(format!(
        "the relay at {} needs Linux",
        relaying.describe()
    )))
}

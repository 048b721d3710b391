//! Finds the processes of a cluster. A pid file is only a hint: a process is
//! identified by its arguments and its standard output.

use std::net::IpAddr;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use talos::process::{Kind, identify};
use talos::state::{self, NodeFile, StateFile, classify};

use super::folder::Folder;
use crate::ctx::processes::Process;
use crate::files;

/// A pid file is written within this time after its process starts; clocks may
/// step.
const WRITTEN_WITHIN: Duration = Duration::from_secs(20);

/// A process that was identified as this cluster's.
#[derive(Debug, Clone)]
pub struct Member {
    pub process: Process,
    pub kind: Kind,
    pub node: Option<String>,
}

impl Member {
    /// For display: `qemu of talos-default-worker-1`.
    pub fn describe(&self) -> String {
        let role = match &self.kind {
            Kind::QemuLaunch { .. } => "qemu-launch",
            Kind::Qemu { .. } => "qemu",
            Kind::Helper { helper, .. } => helper.stem(),
            Kind::VirtiofsdWorker { .. } => "virtiofsd",
            Kind::Swtpm { .. } => "swtpm",
        };
        match &self.node {
            Some(node) => format!("{role} of {node}"),
            None => role.to_owned(),
        }
    }

    /// Sort key for termination: launchers first, because they stop their QEMU
    /// and its network, and a running launcher would restart a QEMU that ended.
    pub fn order(&self) -> u8 {
        match self.kind {
            Kind::QemuLaunch { .. } => 0,
            Kind::Qemu { .. } => 1,
            _ => 2,
        }
    }
}

/// Whether a process belongs to the cluster in `state_dir`, for a caller that
/// may read its standard output.
pub(crate) fn is_of(process: &Process, state_dir: &Utf8Path) -> bool {
    let stdout = process.stdout_path();
    process.shares(state_dir) != Some(false)
        && identify(&process.argv, stdout.as_ref().map(|path| path.as_str()))
            .is_some_and(|known| known.is_of(state_dir.as_str()))
}

/// Finds the cluster's processes in the process table.
pub(super) fn find(table: &[Process], folder: &Folder, gateway: Option<IpAddr>) -> Vec<Member> {
    let state_dir = &folder.dir;
    let mut members: Vec<Member> = Vec::new();
    let mut nameless: Vec<&Process> = Vec::new();
    for process in table {
        let Some(known) = identify(&process.argv, None) else {
            continue;
        };
        let stdout = process.stdout_path();
        let known =
            identify(&process.argv, stdout.as_ref().map(|path| path.as_str())).unwrap_or(known);
        if process.shares(state_dir) == Some(false) {
            continue;
        }
        let ours = known.is_of(state_dir.as_str())
            || (known.state_dir.is_none()
                && stdout.is_none()
                && serves(&known.kind, gateway)
                && named_by_pid_file(folder, process).is_some());
        if ours {
            let node = known.node().map(str::to_owned);
            members.push(Member {
                process: process.clone(),
                kind: known.kind,
                node,
            });
        } else if matches!(known.kind, Kind::QemuLaunch { node: None }) {
            nameless.push(process);
        }
    }
    // Without root a launcher's standard output cannot be read: identify it by
    // its QEMU child or by its pid file.
    for process in nameless {
        let child = members
            .iter()
            .find(|member| member.process.parent == process.pid);
        let node = child
            .and_then(|member| member.node.clone())
            .or_else(|| named_by_pid_file(folder, process)?.node);
        if let Some(node) = node {
            let kind = Kind::QemuLaunch {
                node: Some(node.clone()),
            };
            members.push(Member {
                process: process.clone(),
                kind,
                node: Some(node),
            });
        }
    }
    members.sort_by_key(Member::order);
    members
}

/// Without its standard output, a helper is identified by its address and its
/// pid file together: either alone may belong to another cluster in its own
/// network namespace.
fn serves(kind: &Kind, gateway: Option<IpAddr>) -> bool {
    match kind {
        Kind::Helper {
            address: Some(address),
            ..
        } => gateway.is_some_and(|gateway| address.split(':').next() == Some(&gateway.to_string())),
        _ => false,
    }
}

fn pid_files(folder: &Folder) -> Vec<(Utf8PathBuf, Option<String>)> {
    let mut files: Vec<(Utf8PathBuf, Option<String>)> = folder
        .files
        .iter()
        .filter_map(|name| {
            let node = match classify(name)? {
                StateFile::Node {
                    node,
                    file: NodeFile::Pid,
                } => Some(node),
                StateFile::HelperPid(_) => None,
                _ => return None,
            };
            Some((folder.dir.join(name), node))
        })
        .collect();
    files.sort();
    files
}

/// Returns `None` if the file cannot be read or has no pid.
fn read_pid(path: &Utf8Path) -> Option<i32> {
    let text = files::read_text(path, files::SMALL).ok()??;
    i32::try_from(state::parse_pid(&text).ok()?).ok()
}

/// The owner of a pid file.
struct PidFile {
    /// `None` for a helper.
    node: Option<String>,
}

/// Finds the pid file that names the process. talosctl writes it right after
/// the start, so a file that is older or much younger than the process refers
/// to an earlier process with the same pid.
fn named_by_pid_file(folder: &Folder, process: &Process) -> Option<PidFile> {
    let own = rustix::process::geteuid().as_raw();
    // A process of another user does not belong to this cluster, whatever the pid
    // file contains.
    process.owner().filter(|owner| [0, own].contains(owner))?;
    pid_files(folder).into_iter().find_map(|(path, node)| {
        if read_pid(&path) != Some(process.pid) {
            return None;
        }
        let written = std::fs::metadata(&path).ok()?.modified().ok()?;
        let started = process.started()?;
        let apart = written
            .duration_since(started)
            .unwrap_or_else(|earlier| earlier.duration());
        (apart < WRITTEN_WITHIN).then_some(PidFile { node })
    })
}

/// Returns pid files that do not name a process of this cluster: talosctl would
/// send SIGTERM to that pid as root (T2).
pub(super) fn stale_pid_files(folder: &Folder, members: &[Member]) -> Vec<Utf8PathBuf> {
    pid_files(folder)
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| {
            let pid = read_pid(path);
            !members.iter().any(|member| Some(member.process.pid) == pid)
        })
        .collect()
}

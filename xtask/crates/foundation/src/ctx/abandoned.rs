//! Network namespaces that a killed `talosctl cluster create` left behind. It
//! creates a temporary one to bring the bridge up
//! (`pkg/provision/providers/vm/network_linux.go`). If it is killed at that
//! point, only the time tells which cluster the namespace belongs to: the ledger
//! records when the create began.

use std::os::unix::fs::MetadataExt;
use std::time::{Duration, UNIX_EPOCH};

use camino::Utf8Path;
use talos::names::is_cni_netns;
use talos::process::{Kind, identify};

use super::processes::{self, Process};
use super::{as_root, bridge};
use crate::failure::{Failure, Result};

/// Returns the names of `cnitest-` namespaces that were created after `since_ms`,
/// hold no process and are attached to no bridge. Empty while any cluster on this
/// host is being created, because that one may be about to use them.
pub fn namespaces(since_ms: u64) -> Vec<String> {
    // An unreadable folder is reported by `leftovers::find`.
    let Ok(entries) = Utf8Path::new("/run/netns").read_dir_utf8() else {
        return Vec::new();
    };
    let Ok(table) = processes::try_scan() else {
        return Vec::new();
    };
    let since = UNIX_EPOCH + Duration::from_millis(since_ms);
    let candidates: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| is_cni_netns(entry.file_name()))
        .filter(|entry| {
            // The namespace's inode is as old as the namespace.
            std::fs::metadata(entry.path()).is_ok_and(|metadata| {
                let made =
                    UNIX_EPOCH + Duration::from_secs(u64::try_from(metadata.ctime()).unwrap_or(0));
                made + Duration::from_secs(1) >= since
            })
        })
        .map(|entry| entry.file_name().to_owned())
        .collect();
    if candidates.is_empty() || is_any_cluster_being_made(&table) {
        return Vec::new();
    }
    let Ok(on_bridges) = bridge::namespaces_elsewhere(|_| false) else {
        return Vec::new();
    };
    candidates
        .into_iter()
        .filter(|name| is_unused(name, &on_bridges))
        .collect()
}

/// A killed launcher can leave a namespace whose veth is not attached to a
/// bridge.
fn is_unused(name: &str, on_bridges: &[String]) -> bool {
    has_no_process(name) && !on_bridges.iter().any(|other| other == name)
}

/// An error counts as used.
pub(super) fn has_no_process(name: &str) -> bool {
    processes_in(name).is_ok_and(|processes| processes.is_empty())
}

/// Returns the pids in a network namespace; only root can list them.
///
/// # Errors
/// If `ip netns pids` fails.
pub(super) fn processes_in(name: &str) -> Result<Vec<i32>> {
    let failed = |why: &str| {
        Failure::host(format!(
            "cannot list the processes in network namespace {name}"
        ))
        .cause(why)
        .hint("sudo -v")
    };
    let pids = match as_root::answer(&["ip", "netns", "pids", name]) {
        Ok(pids) => pids,
        // It may have been removed since.
        Err(_) if !Utf8Path::new("/run/netns").join(name).exists() => return Ok(Vec::new()),
        Err(error) => return Err(failed(&error.to_string())),
    };
    let pids = pids.lines().map(str::trim);
    pids.map(|pid| pid.parse().map_err(|_| failed(pid)))
        .collect()
}

fn is_any_cluster_being_made(table: &[Process]) -> bool {
    table.iter().any(|process| {
        let creates = process
            .argv
            .windows(2)
            .any(|pair| pair == ["cluster", "create"]);
        let launches = matches!(
            identify(&process.argv, None).map(|known| known.kind),
            Some(Kind::QemuLaunch { .. })
        );
        let has_child = || table.iter().any(|other| other.parent == process.pid);
        (creates && process.comm.starts_with("talosctl")) || (launches && !has_child())
    })
}

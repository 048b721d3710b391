//! Network namespaces that a killed `talosctl cluster create` left. It makes one
//! of its own to bring the bridge up for the first time
//! (`pkg/provision/providers/vm/network_linux.go`); killed there, nothing on the
//! host says whose it is but the time: our ledger knows when we began.

use std::os::unix::fs::MetadataExt;
use std::time::{Duration, UNIX_EPOCH};

use camino::Utf8Path;
use talos::names::is_cni_netns;
use talos::process::{Kind, identify};

use super::processes::{self, Process};
use super::{as_root, bridge};
use crate::failure::{Failure, Result};

/// Names of `cnitest-` namespaces that came into being after `since_ms`, hold
/// no process, are on no bridge, and that nobody can be about to use. None while any
/// cluster on this host is being made.
pub fn namespaces(since_ms: u64) -> Vec<String> {
    // Where it cannot be read, `leftovers::look` says so.
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
            // A namespace's inode is made with it and lives as long.
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

/// A launcher that was killed leaves one with a veth that is on no bridge yet, or
/// on none any more.
fn is_unused(name: &str, on_bridges: &[String]) -> bool {
    has_no_process(name) && !on_bridges.iter().any(|other| other == name)
}

/// Anything but a clear "none" counts as used.
pub(super) fn has_no_process(name: &str) -> bool {
    processes_in(name).is_ok_and(|processes| processes.is_empty())
}

/// The processes in a network namespace, which only root sees.
///
/// # Errors
/// When `ip netns pids` does not answer.
pub(super) fn processes_in(name: &str) -> Result<Vec<i32>> {
    let failed = |why: &str| {
        Failure::host(format!(
            "cannot tell which processes are in network namespace {name}"
        ))
        .cause(why)
        .hint("sudo -v")
    };
    let pids = match as_root::answer(&["ip", "netns", "pids", name]) {
        Ok(pids) => pids,
        // It may have gone since.
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

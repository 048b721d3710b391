//! Network namespaces that a killed `talosctl cluster create` left. It makes one
//! of its own to bring the bridge up for the first time
//! (`pkg/provision/providers/vm/network_linux.go`); killed there, nothing on the
//! host says whose it is but the time: our ledger knows when we began.

use std::os::unix::fs::MetadataExt;
use std::time::{Duration, UNIX_EPOCH};

use camino::Utf8Path;
use talos::names::is_cni_netns;
use talos::process::{Kind, identify};

use super::probe;
use super::processes::{self, Process};
use crate::failure::{Failure, Result};

/// Names of `cnitest-` namespaces that came into being after `since_ms`, hold
/// neither a process nor an interface, and that nobody can be about to use. None
/// while any cluster on this host is being made.
pub fn namespaces(since_ms: u64, root: &[&str]) -> Vec<String> {
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
    candidates
        .into_iter()
        .filter(|name| is_unused(name, root))
        .collect()
}

fn is_unused(name: &str, root: &[&str]) -> bool {
    let argv = [root, &["ip", "-netns", name, "-oneline", "link"]].concat();
    has_no_process(name, root)
        && probe::stdout(&argv, None)
            .is_some_and(|links| links.lines().all(|link| link.starts_with("1: lo:")))
}

/// Anything but a clear "none" counts as used.
pub(super) fn has_no_process(name: &str, root: &[&str]) -> bool {
    processes_in(name, root).is_ok_and(|processes| processes.is_empty())
}

/// The processes in a network namespace, which only root sees.
///
/// # Errors
/// When `ip netns pids` does not answer.
pub(super) fn processes_in(name: &str, root: &[&str]) -> Result<Vec<i32>> {
    let argv = [root, &["ip", "netns", "pids", name]].concat();
    let failed = |why: &str| {
        Failure::host(format!(
            "cannot tell which processes are in network namespace {name}"
        ))
        .cause(format!("`{}`: {why}", argv.join(" ")))
        .hint("sudo -v")
    };
    let output = probe::run(&argv, None, probe::LIMIT)
        .ok_or_else(|| failed("it cannot be started, or takes too long"))?;
    if !output.success {
        // It may have gone since.
        let is_gone = !Utf8Path::new("/run/netns").join(name).exists();
        let said = output.stderr.trim().lines().last().unwrap_or_default();
        return if is_gone {
            Ok(Vec::new())
        } else {
            Err(failed(said))
        };
    }
    let lines = output.stdout.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty())
        .map(|line| line.parse().map_err(|_| failed(line)))
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

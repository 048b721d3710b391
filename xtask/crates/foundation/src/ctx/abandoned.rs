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

/// Names of `cnitest-` namespaces that came into being after `since_ms`, hold no
/// process, and that nobody can be about to use. None while any cluster on this
/// host is being made.
pub fn namespaces(since_ms: u64, root: &[&str]) -> Vec<String> {
    let Ok(entries) = Utf8Path::new("/run/netns").read_dir_utf8() else {
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
    if candidates.is_empty() || is_any_cluster_being_made(&processes::scan()) {
        return Vec::new();
    }
    candidates
        .into_iter()
        .filter(|name| is_empty(name, root))
        .collect()
}

/// `ip netns pids` prints one line per process; anything but a clear "none"
/// counts as used.
fn is_empty(name: &str, root: &[&str]) -> bool {
    let argv: Vec<&str> = root
        .iter()
        .copied()
        .chain(["ip", "netns", "pids", name])
        .collect();
    probe::stdout(&argv, None).is_some_and(|pids| pids.is_empty())
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

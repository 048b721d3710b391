//! Kills and interrupts at ten moments of a creation with real nodes, and at five of the builds of their parts.

use std::collections::BTreeSet;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use super::{INVENTORY, Lab, ok, status};
use crate::common::within;

/// Moments by what is there, until Talos itself is far into its boot.
const MOMENTS: [&str; 10] = [
    "test -s ~/.local/state/talos-xtask/ledger.jsonl",
    "test -d ~/.talos/clusters/talos-default",
    "test -e ~/.talos/clusters/talos-default/lb.pid",
    "ls /run/netns | grep -q cnitest",
    "test -e ~/.talos/clusters/talos-default/state.yaml",
    "grep -qs 'Linux version' ~/.talos/clusters/talos-default/*-1.log",
    "grep -qs 'initialize sequence' ~/.talos/clusters/talos-default/*-1.log",
    "grep -qs 'boot sequence' ~/.talos/clusters/talos-default/*-1.log",
    "grep -qs 'phase startEverything' ~/.talos/clusters/talos-default/*-1.log",
    "grep -qs 'waiting for etcd to be healthy' ~/up.log",
];

#[test]
fn killed_at_ten_moments_nothing_is_left() {
    let Some(lab) = Lab::alone("killed_at_ten_moments_nothing_is_left") else {
        return;
    };
    ok(&lab, &["lab", "up", "--nodes", "real"]);
    let before = lab.sh(INVENTORY);
    let xtask = lab.binary();
    for moment in MOMENTS {
        // As Ctrl-C: a shell's background jobs ignore SIGINT.
        for signal in ["KILL", "TERM"] {
            let code = lab.sh(&format!(
                "{xtask} cluster >~/up.log 2>&1 & up=$!; \
                 for i in $(seq 60000); do ({moment}) 2>/dev/null && break; kill -0 $up || break; sleep 0.01; done; \
                 kill -{signal} $up; rc=0; wait $up 2>/dev/null || rc=$?; echo $rc"
            ));
            let expected = if signal == "KILL" { "137" } else { "130" };
            let log = || lab.sh("cat ~/up.log");
            assert_eq!(code.trim(), expected, "{signal} when `{moment}`: {}", log());
            lab.ok(&["cluster", "destroy", "--yes"]);
            assert_eq!(lab.sh(INVENTORY), before, "{signal} when `{moment}`");
            assert_eq!(status(&lab)["cluster"]["state"], "absent");
            eprintln!("{signal} when `{moment}`: nothing is left");
            lab.sh("rm -rf ~/.local/state/talos-xtask ~/up.log");
        }
    }
}

/// What is built from nothing in less than a minute; the rest is that of this user.
const BUILT: [&str; 3] = ["real-scripts", "node", "pulled-images"];

/// Names below the folder of the parts.
fn parts(cache: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(cache.join("talos-xtask/parts")).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn is_built(names: &BTreeSet<String>, part: &str) -> bool {
    names.iter().any(|name| {
        name.strip_prefix(part)
            .is_some_and(|rest| rest.starts_with('-'))
    })
}

#[test]
fn a_part_whose_build_was_killed_is_built_again() {
    let Some(lab) = Lab::alone("a_part_whose_build_was_killed_is_built_again") else {
        return;
    };
    // Now what the parts are called is known.
    ok(&lab, &["lab", "up", "--nodes", "real"]);
    let all: serde_json::Value =
        serde_json::from_slice(&lab.xtask(&["lab", "status", "--json"]).stdout).unwrap();
    ok(&lab, &["lab", "down"]);
    let cache = tempfile::Builder::new()
        .prefix("xc-")
        .tempdir_in("/tmp")
        .unwrap();
    let folder = cache.path().join("talos-xtask/parts");
    std::fs::create_dir_all(&folder).unwrap();
    for part in all["parts"].as_array().unwrap() {
        let dir = Path::new(part["dir"].as_str().unwrap());
        if !BUILT.contains(&part["name"].as_str().unwrap()) {
            std::os::unix::fs::symlink(dir, folder.join(dir.file_name().unwrap())).unwrap();
        }
    }
    let start = || {
        let mut command = lab.command(&["lab", "up", "--nodes", "real", "-q"]);
        command.env("XDG_CACHE_HOME", cache.path()).process_group(0);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let end = |child: &mut Child, signal: Signal| {
        let group = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        kill_process_group(group, signal).unwrap();
        child.wait().unwrap()
    };
    // Each build is stopped with its staging folder there, and `node` also while it packs.
    let moments = [
        (".new-real-scripts", ""),
        (".new-node", ""),
        (".new-node", "root"),
        (".new-node", "rootfs.sqsh"),
        (".new-pulled-images", ""),
    ];
    for (staging, inside) in moments {
        for signal in [Signal::KILL, Signal::INT] {
            let mut child = start();
            let is_there = || folder.join(staging).join(inside).exists();
            let seen = within(Duration::from_mins(5), || {
                is_there() || child.try_wait().unwrap().is_some()
            });
            assert!(seen, "{staging}/{inside} never came");
            let ended = end(&mut child, signal);
            let part = staging.trim_start_matches(".new-");
            let names = parts(cache.path());
            // A build that was quicker than the signal is whole.
            if !is_built(&names, part) {
                assert!(!ended.success(), "{signal:?} at {staging}/{inside}");
                assert!(
                    ended.code() == Some(130) || ended.signal().is_some(),
                    "{ended:?}"
                );
            }
            let pattern = cache.path().to_str().unwrap();
            let nothing_runs = within(Duration::from_secs(20), || {
                !std::process::Command::new("pgrep")
                    .args(["-f", pattern])
                    .output()
                    .unwrap()
                    .status
                    .success()
            });
            assert!(
                nothing_runs,
                "{signal:?} at {staging}/{inside}: a process is left"
            );
            ok(&lab, &["lab", "down"]);
            eprintln!("{signal:?} at {staging}/{inside}: {names:?}");
            // The next moment begins with this part.
            for name in names.iter().filter(|name| name.starts_with(part)) {
                std::fs::remove_dir_all(folder.join(name)).unwrap();
            }
        }
    }
    let mut child = start();
    assert!(child.wait().unwrap().success());
    let names = parts(cache.path());
    assert!(BUILT.iter().all(|part| is_built(&names, part)), "{names:?}");
    assert!(
        !names.iter().any(|name| name.starts_with(".new-")),
        "{names:?}"
    );
    for part in all["parts"].as_array().unwrap() {
        let dir = Path::new(part["dir"].as_str().unwrap());
        let made = folder.join(dir.file_name().unwrap());
        assert_eq!(listed(&made), listed(dir), "{}", made.display());
    }
}

/// Files below a folder, with their sizes; archives differ by what they compress.
fn listed(dir: &Path) -> BTreeSet<String> {
    let pattern = format!("{}/**/*", glob::Pattern::escape(dir.to_str().unwrap()));
    let paths = glob::glob(&pattern).unwrap().map(Result::unwrap);
    paths
        .map(|path| path.strip_prefix(dir).unwrap().display().to_string())
        .collect()
}

//! The lab itself: started, entered, killed at any moment and taken down, with
//! nothing left. Real namespaces; each test has a lab of its own.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests make their own small worlds"
)]

mod common;
mod in_lab;

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{SOON, within};
use in_lab::Lab;
use serde_json::Value;

fn status(lab: &Lab) -> Value {
    let output = lab.xtask(&["lab", "status", "--json"]);
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn state(lab: &Lab) -> String {
    status(lab)["lab"]["state"].as_str().unwrap().to_owned()
}

fn dir(lab: &Lab) -> String {
    status(lab)["lab"]["dir"].as_str().unwrap().to_owned()
}

/// Outside of the lab; standard output after success.
fn ok(lab: &Lab, words: &[&str]) -> String {
    let output = lab.xtask(words);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{words:?}: {:?}\n{stderr}",
        output.status
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Outside of the lab; standard error after ending with `code`.
fn fails(lab: &Lab, code: i32, words: &[&str]) -> String {
    let output = lab.xtask(words);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{words:?}: {stderr}");
    stderr
}

/// What this lab could leave on the host: processes that name its folder, its
/// mounts and loop devices, and all links and rules, which no other process changes
/// while lab tests run.
fn left(dir: &str) -> Vec<String> {
    let commands = [
        "ps -eo stat=,args= | grep -v '^Z'",
        "cat /proc/mounts",
        "losetup -a",
        "find /run/netns -mindepth 1 2>/dev/null; ip -o link | grep -o 'talos[0-9a-f]*' | head -n 1",
    ];
    let mut found = Vec::new();
    for command in commands {
        let output = Command::new("sh").args(["-c", command]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let is_ours = |line: &&str| {
            line.contains(&format!("{dir}/"))
                || line.ends_with(dir)
                || line.contains(&format!("{dir} "))
        };
        found.extend(text.lines().filter(is_ours).map(str::to_owned));
    }
    if std::fs::symlink_metadata(dir).is_ok() {
        found.push(dir.to_owned());
    }
    found
}

/// A command inside that says when it runs, by a file.
fn inside(lab: &Lab, script: &str) -> Child {
    let started = format!("{}/started", dir(lab));
    let script = format!("{script}; : > {started}; sleep 300 >/dev/null & wait");
    let mut command = lab.command(&["lab", "shell", "--", "sh", "-c", &script]);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert!(within(SOON, || std::fs::metadata(&started).is_ok()));
    child
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-s", name, &pid])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn up_shell_down_and_nothing_is_left() {
    let Some(lab) = Lab::own("up_shell_down_and_nothing_is_left") else {
        return;
    };
    let dir = dir(&lab);
    assert_eq!(state(&lab), "absent");
    assert!(ok(&lab, &["lab", "down"]).contains("nothing to take down"));
    ok(&lab, &["lab", "up"]);
    let seen = status(&lab);
    assert_eq!(
        (&seen["schema"], &seen["lab"]["state"]),
        (&1.into(), &"running".into())
    );
    assert_eq!(seen["lab"]["talosctl"], "v1.12.0");
    assert!(
        seen["parts"]
            .as_array()
            .unwrap()
            .iter()
            .all(|part| part["state"] == "built")
    );
    assert!(ok(&lab, &["lab", "status"]).contains("not Talos"));

    // Alone: one link, which is loopback; a /run and a process table of its own.
    assert_eq!(
        lab.sh("ip -o link | wc -l; ip -o link | grep -c ' lo:.*UP'")
            .trim(),
        "1\n1"
    );
    assert_eq!(
        lab.sh("cat /proc/1/comm; findmnt -no FSTYPE /run").trim(),
        "sh\ntmpfs"
    );
    assert_eq!(
        lab.sh("echo $HOME; pwd").trim(),
        format!("{dir}\n{dir}/talos")
    );
    assert!(
        lab.sh("command -v qemu-system-x86_64")
            .contains("/path/qemu-system-x86_64")
    );
    assert!(lab.sh("talosctl version --client").contains("v1.12.0"));
    // And it reaps every process that ends.
    lab.sh("setsid sh -c 'sleep 0.05 & exit'; sleep 0.2; ! ps -eo stat= | grep -q Z");

    ok(&lab, &["lab", "up"]);
    assert_eq!(
        status(&lab)["lab"]["init_pid"],
        seen["lab"]["init_pid"],
        "the same lab"
    );
    let told = fails(&lab, 3, &["lab", "up", "--talosctl", "v1.11.0"]);
    assert!(
        told.contains("v1.12.0") && told.contains("lab down"),
        "{told}"
    );
    ok(&lab, &["lab", "down"]);
    assert_eq!(left(&dir), [""; 0]);
    ok(&lab, &["lab", "down"]);
}

#[test]
fn exit_codes_and_signals_pass_through() {
    let Some(lab) = Lab::own("exit_codes_and_signals_pass_through") else {
        return;
    };
    ok(&lab, &["lab", "up"]);
    for (script, code) in [("exit 7", 7), ("kill -9 $$", 137), ("true", 0)] {
        let output = lab.xtask(&["lab", "shell", "--", "sh", "-c", script]);
        assert_eq!(output.status.code(), Some(code), "{script}");
    }
    assert_eq!(
        lab.xtask(&["lab", "shell", "--", "/no/such"]).status.code(),
        Some(3)
    );

    for name in ["TERM", "INT"] {
        let child = inside(&lab, &format!("trap 'echo {name} seen; exit 9' {name}"));
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(9), "{name}");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim(),
            format!("{name} seen")
        );
        lab.sh("rm -f ~/started; kill $(pgrep -x sleep | tail -n +2) 2>/dev/null; true");
    }

    // Killed outright, it takes what runs inside with it.
    let mut child = inside(&lab, "echo killme > ~/mark");
    signal(&child, "KILL");
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    let gone = || !lab.sh("ps -eo args=").contains("killme > ");
    assert!(within(SOON, gone), "{}", lab.sh("ps -eo args="));
}

#[test]
fn a_lab_killed_while_starting_is_taken_down() {
    let Some(lab) = Lab::own("a_lab_killed_while_starting_is_taken_down") else {
        return;
    };
    ok(&lab, &["lab", "up"]);
    ok(&lab, &["lab", "down"]);
    let dir = dir(&lab);
    for (name, milliseconds) in (0..10).flat_map(|n| [("KILL", n * 12), ("INT", n * 12)]) {
        let mut child = lab
            .command(&["lab", "up", "-q"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The moment is the test; there is nothing to wait for.
        std::thread::sleep(Duration::from_millis(milliseconds));
        signal(&child, name);
        let ended = child.wait().unwrap();
        if name == "INT" && ended.code() != Some(0) && ended.signal().is_none() {
            assert_eq!(ended.code(), Some(130));
            // One that came too late found a whole lab, which stays; never half of one.
            if state(&lab) != "running" {
                assert_eq!(left(&dir), [""; 0], "undone after {milliseconds} ms");
            }
        }
        ok(&lab, &["lab", "down"]);
        assert_eq!(left(&dir), [""; 0], "{name} after {milliseconds} ms");
    }
}

#[test]
fn a_dead_lab_is_replaced_and_two_starts_make_one() {
    let Some(lab) = Lab::own("a_dead_lab_is_replaced_and_two_starts_make_one") else {
        return;
    };
    ok(&lab, &["lab", "up"]);
    let init = status(&lab)["lab"]["init_pid"].to_string();
    assert!(
        Command::new("kill")
            .args(["-9", &init])
            .status()
            .unwrap()
            .success()
    );
    assert!(within(SOON, || state(&lab) == "stale"));
    let start = || {
        lab.command(&["lab", "up", "-q"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let both = [start(), start()];
    for mut child in both {
        assert!(child.wait().unwrap().success());
    }
    let dir = dir(&lab);
    let inits = left(&dir)
        .iter()
        .filter(|line| line.contains("init/init"))
        .count();
    assert_eq!(inits, 2, "one unshare and one init: {:?}", left(&dir));
}

#[test]
fn only_our_loop_devices_are_detached() {
    let name = "only_our_loop_devices_are_detached";
    let Some(lab) = Lab::own(name) else {
        return;
    };
    ok(&lab, &["lab", "up"]);
    let bystander = tempfile::NamedTempFile::new().unwrap();
    bystander.as_file().set_len(1 << 20).unwrap();
    let attach = |file: &str| {
        Command::new("losetup")
            .args(["--find", "--show", file])
            .output()
            .unwrap()
    };
    let theirs = attach(bystander.path().to_str().unwrap());
    if !theirs.status.success() {
        common::skip(name, "no loop devices here");
        return;
    }
    lab.sh("truncate -s 1M ~/disk && losetup --find ~/disk");
    let dir = dir(&lab);
    assert!(left(&dir).iter().any(|line| line.contains("/disk")));
    ok(&lab, &["lab", "down"]);
    assert_eq!(left(&dir), [""; 0]);
    let theirs = String::from_utf8_lossy(&theirs.stdout).trim().to_owned();
    assert!(
        Command::new("losetup")
            .args(["-d", &theirs])
            .status()
            .unwrap()
            .success(),
        "it lived on"
    );
}

#[test]
fn a_folder_that_is_not_a_lab_stays_untouched() {
    let Some(lab) = Lab::own("a_folder_that_is_not_a_lab_stays_untouched") else {
        return;
    };
    let dir = dir(&lab);
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(format!("{dir}/thesis.txt"), "years of work").unwrap();
    for words in [&["lab", "up"][..], &["lab", "down"], &["--lab", "cluster"]] {
        assert!(fails(&lab, 3, words).contains("not a lab"));
    }
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_dry_run_starts_nothing_and_nonsense_is_refused() {
    let Some(lab) = Lab::own("a_dry_run_starts_nothing_and_nonsense_is_refused") else {
        return;
    };
    let dir = dir(&lab);
    let output = lab.xtask(&["--lab", "cluster", "up", "--dry-run"]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("init/start"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("needs the lab"));
    assert_eq!(left(&dir), [""; 0]);
    assert!(fails(&lab, 2, &["--lab", "lab", "up"]).contains("drop `--lab`"));
    assert!(fails(&lab, 2, &["lab", "up", "--talosctl", "newest"]).contains("hint:"));
    ok(&lab, &["lab", "up"]);
    let refused = lab.fails(2, &["cluster", "up", "--controlplanes", "2", "--dry-run"]);
    assert!(!refused.is_empty());
    assert!(
        lab.sh(&format!(
            "{} --lab cluster 2>&1; true",
            env!("CARGO_BIN_EXE_xtask")
        ))
        .contains("already inside the lab")
    );
}

#[test]
fn taking_the_lab_down_takes_running_machines_down() {
    let Some(lab) = Lab::own("taking_the_lab_down_takes_running_machines_down") else {
        return;
    };
    let dir = dir(&lab);
    let words = ["cluster", "up", "--workers", "0", "-q", "--no-wait"];
    lab.ok(&words);
    assert!(lab.sh("pgrep -f qemu-system").lines().count() > 0);
    ok(&lab, &["lab", "down"]);
    assert_eq!(left(&dir), [""; 0]);
}

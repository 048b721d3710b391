//! Ctrl-C once and twice, SIGTERM, SIGHUP, and kill -9.
#![allow(
    clippy::disallowed_methods,
    reason = "tests start and signal their own processes"
)]

use std::process::Stdio;

use rustix::process::Signal;

use crate::common::{Home, is_alive, is_root, said, skip, within};
use crate::harness::{Harness, SOON, bash, cluster, ends, ledger, pid_in, plan};

#[test]
fn kill_9_takes_the_child_and_its_children_along() {
    let home = Home::new();
    let script = "sleep 300 & echo $! >~/grandchild; echo $$ >~/child; wait";
    let mut harness = Harness::of(&home, &plan([bash(script)]));
    let (child, grandchild) = (pid_in(&home, "child"), pid_in(&home, "grandchild"));
    // The warden starts beside the child.
    assert!(within(SOON, || warden_of(child).is_some()));
    harness.signal(Signal::KILL);
    harness.child.wait().unwrap();
    assert!(ends(child), "the child lives on");
    assert!(ends(grandchild), "the child's child lives on");
}

/// The process beside `child` in its group that has taken its place as warden.
fn warden_of(child: i32) -> Option<i32> {
    let warden = foundation::ctx::processes::scan()
        .into_iter()
        .find(|process| {
            process
                .argv
                .ends_with(&["internal".to_owned(), "warden".to_owned()])
                && group_of(process.pid) == Some(child)
        })?;
    Some(warden.pid)
}

fn group_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(2)?
        .parse()
        .ok()
}

#[test]
fn no_warden_stays_behind() {
    let home = Home::new();
    let harness = Harness::of(&home, &plan([bash("echo $$ >~/child; sleep 1")]));
    let child = pid_in(&home, "child");
    assert!(within(SOON, || warden_of(child).is_some()));
    let warden = warden_of(child).unwrap();
    assert_eq!(harness.end().code, Some(0));
    assert!(!is_alive(warden));
}

/// A step that has begun to make a cluster's folder and goes on with `script`.
fn making(home: &Home, script: &str) -> foundation::plan::Plan {
    let (made, state_dir) = cluster(home);
    let script = format!("mkdir -p {state_dir}; echo $$ >~/child; {script}");
    plan([bash(&script).makes(made)])
}

#[test]
fn a_first_signal_stops_the_step_undoes_it_and_is_exit_130() {
    if !is_root() {
        return skip("a_first_signal_stops_the_step", "its undo needs root");
    }
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let home = Home::new();
        let harness = Harness::of(&home, &making(&home, "sleep 300"));
        let child = pid_in(&home, "child");
        assert_eq!(ledger(&home), ["made"], "the ledger knows before");
        harness.signal(signal);
        let said = harness.end();
        assert_eq!(said.code, Some(130), "{signal:?}: {}", said.stderr);
        assert!(
            said.stderr.contains("error: interrupted"),
            "{}",
            said.stderr
        );
        assert!(!is_alive(child));
        assert!(!cluster(&home).1.exists());
        assert!(ledger(&home).is_empty());
    }
}

#[test]
fn a_second_ctrl_c_kills_at_once_and_says_what_may_be_left() {
    let home = Home::new();
    let harness = Harness::of(
        &home,
        &making(
            &home,
            "trap 'echo >~/asked' INT; trap 'echo >~/termed' TERM; echo >~/ready; \
             while :; do sleep 0.05; done",
        ),
    );
    let child = pid_in(&home, "child");
    assert!(within(SOON, || home.path("ready").exists()));
    harness.signal(Signal::INT);
    assert!(within(SOON, || home.path("asked").exists()));
    assert!(is_alive(child), "the first one leaves it time");
    harness.signal(Signal::INT);
    let said = harness.end();
    assert!(!home.path("termed").exists(), "its grace was waited for");
    assert_eq!(said.code, Some(130), "{}", said.stderr);
    assert!(!is_alive(child));
    let left = format!(
        "cluster `made` (its processes, its bridge {}",
        talos::names::bridge_name("made")
    );
    assert!(said.stderr.contains(&left), "{}", said.stderr);
    assert!(
        said.stderr
            .contains("hint: cargo xtask cluster destroy --name made"),
        "{}",
        said.stderr
    );
    assert_eq!(ledger(&home), ["made"]);
}

#[test]
fn an_interrupted_step_that_makes_nothing_just_ends() {
    let home = Home::new();
    let harness = Harness::of(
        &home,
        &plan([bash("echo $$ >~/child; sleep 300"), bash("touch ~/later")]),
    );
    let child = pid_in(&home, "child");
    harness.signal(Signal::INT);
    let said = harness.end();
    assert_eq!(said.code, Some(130), "{}", said.stderr);
    assert!(!is_alive(child) && !home.path("later").exists());
}

#[test]
fn ctrl_c_while_nothing_runs_ends_us_at_once() {
    let home = Home::new();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut command = home.xtask(&["internal", "run-plan"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It has its handlers and waits for a plan.
        let status = format!("/proc/{}/status", child.id());
        let sleeps = || {
            std::fs::read_to_string(&status)
                .unwrap()
                .contains("\nState:\tS")
        };
        assert!(within(SOON, sleeps));
        let stdin = child.stdin.take();
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        assert!(within(SOON, || child.try_wait().unwrap().is_some()));
        let said = said(&child.wait_with_output().unwrap());
        assert_eq!(said.code, Some(130), "{signal:?}: {}", said.stderr);
        drop(stdin);
    }
}

/// A run that was started as by `nohup`.
fn without_hang_up(home: &Home, script: &str) -> Harness {
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "trap '' HUP; exec \"$0\" internal run-plan"])
        .arg(home.xtask(&[]).get_program())
        .env("HOME", &home.root)
        .current_dir(&home.root);
    Harness::start(&mut command, &plan([bash(script)]))
}

#[test]
fn what_our_parent_ignores_we_ignore() {
    let home = Home::new();
    let script =
        "echo $$ >~/child; until [ -e ~/go ]; do echo >>~/rounds; sleep 0.05; done; touch ~/done";
    let mut harness = without_hang_up(&home, script);
    pid_in(&home, "child");
    harness.signal(Signal::HUP);
    let rounds = || std::fs::metadata(home.path("rounds")).map_or(0, |file| file.len());
    let before = rounds();
    assert!(within(SOON, || rounds() > before + 3), "it goes on");
    assert!(!harness.has_ended());
    home.write("go", "");
    let said = harness.end();
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(home.path("done").exists());
}

#[test]
fn where_hang_ups_are_ignored_other_signals_still_stop_the_run() {
    for signal in [Signal::INT, Signal::TERM] {
        let home = Home::new();
        let harness = without_hang_up(&home, "echo $$ >~/child; sleep 300");
        let child = pid_in(&home, "child");
        harness.signal(Signal::HUP);
        harness.signal(signal);
        let said = harness.end();
        assert_eq!(said.code, Some(130), "{signal:?}: {}", said.stderr);
        assert!(!is_alive(child));
    }
}

#[test]
fn a_relay_hands_signals_on_and_ends_as_its_child_does() {
    let home = Home::new();
    let relay = |script: &str| {
        let mut command = home.xtask(&["lab", "relay", "--", "bash", "-c", script]);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    assert_eq!(relay("exit 7").wait().unwrap().code(), Some(7));
    assert_eq!(relay("kill -KILL $$").wait().unwrap().code(), Some(137));
    for signal in [Signal::TERM, Signal::HUP] {
        let _ = std::fs::remove_file(home.path("pid"));
        let script = "trap 'exit 5' TERM HUP; echo $$ >~/pid; while :; do sleep 0.05; done";
        let mut child = relay(script);
        let pid = pid_in(&home, "pid");
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        assert!(
            within(SOON, || child.try_wait().unwrap().is_some()),
            "{signal:?}"
        );
        assert_eq!(child.wait().unwrap().code(), Some(5), "{signal:?}");
        assert!(!is_alive(pid));
    }
    let mut child = relay("echo $$ >~/pid2; sleep 300");
    let pid = pid_in(&home, "pid2");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(ends(pid));
}

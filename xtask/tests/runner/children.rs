//! Children that fail, hang, flood, fork away, and cannot be started.
#![allow(
    clippy::disallowed_methods,
    reason = "tests start and signal their own processes"
)]

use std::process::{Command, Stdio};
use std::time::Duration;

use foundation::plan::{Plan, Step, Watch};
use rustix::process::{Pid, Signal, kill_process};

use crate::common::{Home, is_alive, is_root, run as run_command, skip, within};
use crate::harness::{Harness, bash, cluster, ends, json, ledger, pid_in, plan, run};

#[test]
fn a_failing_step_is_exit_4_with_its_last_lines_and_its_log() {
    let home = Home::new();
    let said = run(
        &home,
        &plan([
            bash("seq 100; echo it broke >&2; exit 3"),
            bash("touch ~/later"),
        ]),
    );
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    let error = said.stderr.split("error: ").nth(1).unwrap();
    assert!(
        error.starts_with("step \"a step\" failed: `bash` ended with exit status: 3"),
        "{error}"
    );
    assert!(
        error.contains("  | it broke") && error.contains("  | 100") && !error.contains("  | 50"),
        "{error}"
    );
    let log = error
        .lines()
        .find_map(|line| line.split_once("its whole output is in "))
        .unwrap()
        .1;
    let text = std::fs::read_to_string(log).unwrap();
    assert!(
        text.starts_with("1\n2\n") && text.contains("it broke"),
        "{text}"
    );
    assert!(!home.path("later").exists());
}

#[test]
fn a_missing_program_is_exit_3_with_a_hint() {
    let home = Home::new();
    let said = run(&home, &plan([Step::run("a step", ["no-such-program"])]));
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stderr.contains("cannot start `no-such-program`"),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("hint: cargo xtask doctor"),
        "{}",
        said.stderr
    );
}

#[test]
fn a_step_that_hangs_is_exit_124() {
    let home = Home::new();
    let step = bash("echo $$ >~/pid; echo at work; sleep 300").deadline(1);
    let said = Harness::of(&home, &plan([step])).end();
    assert_eq!(said.code, Some(124), "{}", said.stderr);
    assert!(
        said.stderr.contains("not done after 1 s") && said.stderr.contains("| at work"),
        "{}",
        said.stderr
    );
    assert!(ends(pid_in(&home, "pid")));
}

#[test]
fn a_flood_is_logged_within_bounds_without_growing_us() {
    let home = Home::new();
    let script = "yes 'a line of a long output' | head -c 200000000; touch ~/flooded; sleep 300";
    let mut command = home.xtask(&["internal", "run-plan"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(
        &mut child.stdin.take().unwrap(),
        &json(&plan([bash(script)])),
    )
    .unwrap();
    assert!(within(Duration::from_secs(30), || home
        .path("flooded")
        .exists()));
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(kib < 64 << 10, "{kib} KiB in memory");
    let runs = home.state().join("runs");
    let run = runs
        .read_dir_utf8()
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .into_path();
    let length = std::fs::metadata(run.join("step-01.log")).unwrap().len();
    assert!(length > 60 << 20 && length < 65 << 20, "{length}");
}

#[test]
fn what_forks_away_does_not_hold_us_and_lives_only_in_its_own_session() {
    let home = Home::new();
    let script = "sleep 300 & echo $! >~/same; setsid sleep 300 & echo $! >~/own; sleep 0.1";
    let said = run(&home, &plan([bash(script)]));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(ends(pid_in(&home, "same")));
    let own = pid_in(&home, "own");
    assert!(is_alive(own));
    kill_process(Pid::from_raw(own).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn nobody_reading_our_stderr_is_no_reason_to_stop() {
    let home = Home::new();
    let steps = [bash("seq 100000; seq 100000 >&2"), bash("touch ~/done")];
    let mut command = home.xtask(&["internal", "run-plan"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &json(&plan(steps))).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(home.path("done").exists());
}

#[test]
fn a_node_that_dies_ends_the_step_with_exit_5_and_its_console() {
    if !is_root() {
        return skip("a_node_that_dies_ends_the_step", "its undo needs root");
    }
    let home = Home::new();
    let (made, state_dir) = cluster(&home);
    let console = state_dir.join("made-worker-1.log");
    let script = format!(
        "mkdir -p {state_dir}; echo 'qemu-system-x86_64: could not load kernel' >{console}; sleep 300"
    );
    let watch = Watch::ClusterNodes {
        name: "made".into(),
        state_dir: state_dir.clone(),
    };
    let said = Harness::of(&home, &plan([bash(&script).makes(made).watch(watch)])).end();
    assert_eq!(said.code, Some(5), "{}", said.stderr);
    assert!(
        said.stderr.contains("node `made-worker-1` died"),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr
            .contains("| qemu-system-x86_64: could not load kernel"),
        "{}",
        said.stderr
    );
    assert!(!state_dir.exists());
    assert!(ledger(&home).is_empty());
}

#[test]
fn a_plan_is_shown_and_not_run_where_that_is_asked_for() {
    let home = Home::new();
    let plan = plan([bash("touch ~/mark")]);
    for how in [
        &["--dry-run"][..],
        &["--format", "sh"],
        &["--format", "json"],
    ] {
        let mut command = home.xtask(&[&["internal", "run-plan"], how].concat());
        let said = crate::common::run_with(&mut command, &json(&plan));
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        assert!(said.stdout.contains("touch ~/mark"));
        if how.contains(&"json") {
            let again: Plan = serde_json::from_str(&said.stdout).unwrap();
            assert_eq!(again, plan);
        }
    }
    assert_eq!(home.tree(), Vec::<String>::new());
    let said = crate::common::run_with(
        &mut home.xtask(&["internal", "run-plan"]),
        b"{\"steps\": 3}",
    );
    assert_eq!(said.code, Some(2), "{}", said.stderr);
}

#[test]
fn a_process_is_stopped_only_while_it_is_that_one() {
    let home = Home::new();
    let mut child = Command::new("sleep").arg("300").spawn().unwrap();
    let process =
        foundation::ctx::processes::Process::probe(i32::try_from(child.id()).unwrap()).unwrap();
    let host = foundation::ctx::host::Host::probe();
    let mut identity = process.identity(&host, "a bystander");
    let stop = |process| {
        let action = foundation::plan::Action::Stop {
            process,
            grace_seconds: 5,
        };
        plan([Step::new("stop it", action)])
    };
    identity.start_ticks += 1;
    assert_eq!(run(&home, &stop(identity.clone())).code, Some(0));
    assert!(child.try_wait().unwrap().is_none());
    identity.start_ticks -= 1;
    assert_eq!(run(&home, &stop(identity)).code, Some(0));
    assert!(child.try_wait().unwrap().is_some());
    assert_eq!(
        run_command(&mut home.xtask(&["runs", "latest"])).code,
        Some(0)
    );
}

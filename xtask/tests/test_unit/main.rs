//! `test unit` on a small workspace of ours: how a package's tests end is
//! distinguished, nothing stale is run, nothing is hidden.
#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start and signal their own processes"
)]

mod as_root;
mod at_a_line;
mod cached;
#[path = "../common/mod.rs"]
mod common;
mod evidence;
mod go_flags;
mod no_false_green;
mod same_selection;
mod watched;

use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::Duration;

use common::go::Workspace;
use common::{Said, is_root, run, skip};
use no_false_green::go_test;
use serde_json::Value;

const SOON: Duration = Duration::from_mins(2);

trait Unit {
    fn command(&self, words: &[&str]) -> Command;
    fn json(&self, words: &[&str], env: &[(&str, &str)]) -> (Said, Value);
}

impl Unit for Workspace {
    fn command(&self, words: &[&str]) -> Command {
        self.xtask(&[&["test", "unit"], words].concat())
    }

    /// The report of a run as JSON.
    fn json(&self, words: &[&str], env: &[(&str, &str)]) -> (Said, Value) {
        let mut command = self.command(&[&["--json"], words].concat());
        let said = run(command.envs(env.iter().copied()));
        let report = serde_json::from_str(&said.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{}", said.stdout, said.stderr));
        (said, report)
    }
}

/// The report about one package, by the end of its name.
fn package<'a>(report: &'a Value, name: &str) -> &'a Value {
    let packages = report["packages"].as_array().unwrap();
    let end = format!("/{name}");
    packages
        .iter()
        .find(|package| package["package"].as_str().unwrap().ends_with(&end))
        .unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

fn state<'a>(package: &'a Value, test: &str) -> &'a str {
    let tests = package["tests"].as_array().unwrap();
    let test = tests.iter().find(|it| it["name"] == test);
    test.map_or("absent", |test| test["state"].as_str().unwrap())
}

#[test]
fn ends_are_told_apart() {
    let Some(workspace) = Workspace::new("ends_are_told_apart") else {
        return;
    };
    let (said, report) = workspace.json(&["--sudo", "never"], &[("DIES", "panic")]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    for (name, verdict) in [
        ("ok", "passed"),
        ("bad", "failed"),
        ("dies", "panicked"),
        ("garbled", "failed"),
        ("parallel", "failed"),
        ("sub/inner", "passed"),
        ("unbuilt", "build-failed"),
    ] {
        assert_eq!(package(&report, name)["verdict"], verdict, "{name}");
    }
    let bad = package(&report, "bad");
    assert_eq!(bad["failed"], serde_json::json!(["TestFails"]));
    assert_eq!(state(bad, "TestLooksLikeOthers"), "passed");
    assert_eq!(state(bad, "TestNobody"), "absent");
    let dies = package(&report, "dies");
    assert_eq!(dies["detail"], "panic: it is broken");
    assert_eq!(state(dies, "TestBefore"), "passed");
    assert_eq!(state(dies, "TestDies"), "failed");
    assert_eq!(report["not_run"][0]["test"], "TestAfter");
    let unbuilt = package(&report, "unbuilt")["output"].as_str().unwrap();
    assert!(unbuilt.contains("undefined: notThere"), "{unbuilt}");
    // Its go.mod is for Go 1.24.
    let here = run(Command::new("go").args(["env", "GOVERSION"])).stdout;
    let is_other = !here.starts_with("go1.24");
    let note = "GOTOOLCHAIN=go1.24.0 builds with that";
    assert_eq!(said.stderr.contains(note), is_other, "{}", said.stderr);
    assert_eq!(
        state(
            package(&report, "ok"),
            "TestSubtests/---_FAIL:_TestPasses_(0.00s)"
        ),
        "passed"
    );
    assert_eq!(state(package(&report, "garbled"), "TestNobody"), "absent");
    // With every choice of sudo, tests do nothing to the host.
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.lines().any(|line| line.starts_with("tmpfs /mnt ")));
    // Once, whole, and not again in the summary.
    assert_eq!(
        said.stderr.matches("it is not fine").count(),
        1,
        "{}",
        said.stderr
    );

    for (how, verdict, aborted) in [
        ("exit", "exited", "aborted"),
        ("kill", "killed", "aborted"),
        ("fatal", "panicked", "aborted"),
    ] {
        let (said, report) = workspace.json(&["./dies"], &[("DIES", how)]);
        assert_eq!(said.code, Some(1), "{}", said.stderr);
        let dies = package(&report, "dies");
        assert_eq!(dies["verdict"], verdict, "{dies:#}");
        assert_eq!(state(dies, "TestDies"), aborted, "{how}");
    }
    let (_, report) = workspace.json(&["./slow", "--timeout", "1s"], &[("SLOW", "1h")]);
    let slow = package(&report, "slow");
    assert_eq!(slow["verdict"], "timed-out", "{slow:#}");
    assert_eq!(state(slow, "TestSleeps"), "aborted");
    // The goroutines, so that one sees where it hung.
    assert!(
        slow.to_string().contains("slow_test.TestSleeps"),
        "{slow:#}"
    );
}

#[test]
fn races_are_told_apart() {
    let name = "races_are_told_apart";
    let Some(workspace) = Workspace::new(name) else {
        return;
    };
    if foundation::ctx::host::Host::which("cc").is_none() {
        return skip(name, "no C compiler, which Go's race detector needs");
    }
    let (said, report) = workspace.json(&["--race", "--retries", "2", "./racy"], &[]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let racy = package(&report, "racy");
    assert_eq!(racy["verdict"], "raced", "{racy:#}");
    assert_eq!(state(racy, "TestCalm"), "passed");
    let races = racy["tests"].as_array().unwrap().iter();
    let races: Vec<&Value> = races.filter(|test| test["raced"] == true).collect();
    assert_eq!(races.len(), 1, "{racy:#}");
    assert!(
        races[0]["output"]
            .as_str()
            .unwrap()
            .contains("WARNING: DATA RACE")
    );
    // A race is never taken for a mood.
    assert_eq!(races[0].get("runs"), None);
}

#[test]
fn what_failed_is_run_again_from_the_same_binary() {
    let Some(workspace) = Workspace::new("what_failed_is_run_again_from_the_same_binary") else {
        return;
    };
    let packages = ["./ok", "./bad", "./parallel"];
    assert_eq!(workspace.json(&packages, &[]).0.code, Some(1));
    let binary = |name: &str| {
        let find = run(Command::new("find").args([workspace.home.root.as_str(), "-name", name]));
        find.stdout.trim().to_owned()
    };
    let before = std::fs::metadata(binary("bad.test")).unwrap();
    let (said, report) = workspace.json(&["--rerun-failed"], &[]);
    assert_eq!(said.code, Some(1));
    let names: Vec<&str> = report["packages"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|package| package["tests"].as_array().unwrap())
        .map(|test| test["name"].as_str().unwrap())
        .filter(|name| !name.contains('/'))
        .collect();
    assert_eq!(names, ["TestFails", "TestMany"]);
    let after = std::fs::metadata(binary("bad.test")).unwrap();
    assert_eq!(before.ino(), after.ino(), "it was linked again");

    // Fixed: it is gone from the list, the other stays.
    let path = workspace.dir.join("bad/bad_test.go");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("t.Error(\"it is not fine\")", "")).unwrap();
    let (_, report) = workspace.json(&["--rerun-failed"], &[]);
    assert_eq!(
        package(&report, "bad")["verdict"],
        "passed",
        "a stale binary ran"
    );
    let (_, report) = workspace.json(&["--rerun-failed"], &[]);
    assert_eq!(
        report["packages"].as_array().unwrap().len(),
        1,
        "{report:#}"
    );

    // Broken: the binary of before must not be run.
    std::fs::write(&path, "package bad_test\n\nfunc x() { y() }\n").unwrap();
    let (said, report) = workspace.json(&["./ok", "./bad"], &[]);
    assert_eq!(said.code, Some(1), "it has no tests now, but go builds it");
    let bad = package(&report, "bad");
    assert_eq!(bad["verdict"], "build-failed", "{report:#}");
    assert_eq!(bad["tests"], serde_json::json!([]));
    std::fs::write(&path, text.replace("import (", "import (\n\t\"nowhere\"")).unwrap();
    let (said, report) = workspace.json(&["./ok", "./bad"], &[]);
    assert_eq!(
        package(&report, "bad")["verdict"],
        "build-failed",
        "{}",
        said.stderr
    );
    assert_eq!(package(&report, "ok")["verdict"], "passed");
    assert!(
        package(&report, "bad")["output"]
            .as_str()
            .unwrap()
            .contains("nowhere")
    );
}

#[test]
fn flaky_is_a_state_of_its_own() {
    let Some(workspace) = Workspace::new("flaky_is_a_state_of_its_own") else {
        return;
    };
    let said = run(&mut workspace.command(&["./flaky"]));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(
        said.stdout.contains("needs the variable FLAKY_DIR"),
        "{}",
        said.stdout
    );
    assert_eq!(
        run(&mut workspace.command(&["./flaky", "--strict"])).code,
        Some(1)
    );

    let dir = workspace.home.path("flaky-dir");
    std::fs::create_dir(&dir).unwrap();
    let env = [("FLAKY_DIR", dir.as_str())];
    let junit = workspace.home.path("junit.xml");
    let words = ["./flaky", "--retries", "2", "--junit", junit.as_str()];
    let (said, report) = workspace.json(&words, &env);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let flaky = package(&report, "flaky");
    assert_eq!(flaky["flaky"], serde_json::json!(["TestSecondTime"]));
    assert_eq!(flaky["failed"], serde_json::json!([]));
    assert!(
        said.stderr.contains("the first time it fails"),
        "it is hidden"
    );
    let junit = std::fs::read_to_string(junit).unwrap();
    assert!(
        junit.contains("<flakyFailure ") && junit.contains(r#"failures="0""#),
        "{junit}"
    );

    std::fs::remove_file(dir.join("seen")).unwrap();
    let words = ["./flaky", "--retries", "1", "--allow-flaky"];
    let (said, report) = workspace.json(&words, &env);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(report["counts"]["flaky"], 1);
}

#[test]
fn root_is_for_those_that_need_it() {
    let name = "root_is_for_those_that_need_it";
    let Some(workspace) = Workspace::new(name) else {
        return;
    };
    if !is_root() {
        return skip(name, "root is needed");
    }
    let (said, report) = workspace.json(&["./root", "./ok"], &[("TZ", "1919191")]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let root = package(&report, "root");
    for test in ["TestPlain", "TestMounts", "TestWritesIntoItsFolder"] {
        assert_eq!(state(root, test), "passed", "{root:#}");
    }
    assert!(
        said.stderr.contains("root as root: TestMounts ("),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("which were killed: s"),
        "{}",
        said.stderr
    );
    let plan = run(&mut workspace.command(&["./root", "--dry-run"]));
    assert!(
        plan.stdout.contains(" exec-root --isolate "),
        "{}",
        plan.stdout
    );
}

#[test]
fn the_makefiles_own_way_is_the_makefiles() {
    let Some(workspace) = Workspace::new("the_makefiles_own_way_is_the_makefiles") else {
        return;
    };
    let words = [
        "--in",
        "buildx",
        "--dry-run",
        "github.com/siderolabs/talos/ok",
    ];
    let said = run(&mut workspace.command(&words));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    for part in [
        "docker buildx build --target=unit-tests ",
        "--build-arg=TESTPKGS=github.com/siderolabs/talos/ok",
        "--allow security.insecure",
    ] {
        assert!(said.stdout.contains(part), "{part}: {}", said.stdout);
    }
    let said = run(&mut workspace.command(&["--in", "buildx", "-run", "TestA"]));
    assert_eq!(said.code, Some(2), "{}", said.stderr);
}

#[test]
fn mistakes_are_refused() {
    let Some(workspace) = Workspace::new("mistakes_are_refused") else {
        return;
    };
    for words in [
        &["./nowhere"][..],
        &["./ok", "--", "-json"],
        &["./ok", "--timeout", "soon"],
        &["./ok", "--sudo", "maybe"],
        &["./ok", "-run", "TestNobody"],
    ] {
        let said = run(&mut workspace.command(words));
        assert_eq!(said.code, Some(2), "{words:?}: {}", said.stderr);
    }
}

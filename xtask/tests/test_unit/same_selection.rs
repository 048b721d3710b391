//! Retries and reruns keep the selection of the first run.

use serde_json::json;

use super::common::go::Workspace;
use super::common::run;
use super::{Unit, package};

#[test]
fn retries_keep_run_and_skip() {
    let test = r#"package p

import (
	"os"
	"testing"
)

func TestFlaky(t *testing.T) {
	t.Run("good", func(t *testing.T) {
		path := os.Getenv("FLAKY_DIR") + "/seen"
		if _, err := os.Stat(path); err != nil {
			os.WriteFile(path, nil, 0o600)
			t.Error("the first time it fails")
		}
	})
	t.Run("bad", func(t *testing.T) { t.Error("always fails here") })
}
"#;
    let Some(workspace) = Workspace::with("retries_keep_run_and_skip", &[("p/a_test.go", test)])
    else {
        return;
    };
    for words in [
        &["./p", "--retries", "1", "-run", "TestFlaky/good"][..],
        &["./p", "--retries", "1", "--", "-skip", "TestFlaky/bad"],
    ] {
        let dir = workspace.home.path("flaky-dir");
        std::fs::create_dir(&dir).unwrap();
        let words = [&["--allow-flaky"], words].concat();
        let (said, report) = workspace.json(&words, &[("FLAKY_DIR", dir.as_str())]);
        assert_eq!(said.code, Some(0), "{words:?}: {}", said.stderr);
        assert_eq!(package(&report, "p")["flaky"], json!(["TestFlaky"]));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

#[test]
fn a_renamed_test_is_forgotten_and_shards_find_times() {
    let test = "package p\n\nimport \"testing\"\n\nfunc TestOld(t *testing.T) { t.Error(1) }\n";
    let Some(workspace) = Workspace::with("a_renamed_test_is_forgotten", &[("p/a_test.go", test)])
    else {
        return;
    };
    assert_eq!(run(&mut workspace.command(&["./p"])).code, Some(1));
    let renamed = test.replace("TestOld", "TestNew").replace("t.Error(1)", "");
    std::fs::write(workspace.dir.join("p/a_test.go"), renamed).unwrap();
    let said = run(&mut workspace.command(&["--rerun-failed"]));
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("nothing failed"), "{}", said.stdout);

    let times = workspace.home.path("times.json");
    let words = [
        "test",
        "shards",
        "./p",
        "--n",
        "2",
        "--by-time",
        "--times",
        times.as_str(),
    ];
    let said = run(&mut workspace.xtask(&words));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let times = std::fs::read_to_string(times).unwrap();
    assert!(times.contains("github.com/siderolabs/talos/p"), "{times}");
}

#[test]
fn a_filter_selects_functions_and_their_parts() {
    let test = r#"package p

import (
	"os"
	"testing"
)

func TestUser(t *testing.T) {}

func TestRoot(t *testing.T) {
	t.Run("user", func(t *testing.T) {})
	t.Run("root", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("needs root")
		}
	})
}

func TestFails(t *testing.T) { t.Error("it fails") }
"#;
    let other = "package q\n\nimport \"testing\"\n\nfunc TestUser(t *testing.T) {}\n";
    let files = [("p/a_test.go", test), ("q/b_test.go", other)];
    let Some(workspace) = Workspace::with("a_filter_selects_functions", &files) else {
        return;
    };
    let ran = |filter: &str| -> Vec<String> {
        let (said, report) = workspace.json(&["--filter", filter], &[]);
        assert!(
            matches!(said.code, Some(0 | 1)),
            "{filter}: {}",
            said.stderr
        );
        let packages = report["packages"].as_array().unwrap().iter();
        let tests = packages.flat_map(|package| {
            let name = package["package"].as_str().unwrap().rsplit('/').next();
            let tests = package["tests"].as_array().unwrap().iter();
            tests.map(move |test| format!("{}.{}", name.unwrap(), test["name"].as_str().unwrap()))
        });
        let mut tests: Vec<String> = tests.collect();
        tests.sort();
        tests
    };
    assert_eq!(ran("test(TestUser)"), ["p.TestUser", "q.TestUser"]);
    assert_eq!(ran("test(TestUser) & !package(q)"), ["p.TestUser"]);
    assert_eq!(ran("need(root)"), ["p.TestRoot", "p.TestRoot/root"]);
    let user = ["p.TestFails", "p.TestRoot", "p.TestRoot/user", "p.TestUser"];
    assert_eq!(ran("package(p) & !need(root)"), user);
    assert_eq!(ran("last(failed)"), ["p.TestFails"]);
    assert_eq!(
        ran("last(passed) and test(*User)"),
        ["p.TestUser", "q.TestUser"]
    );

    let listed = run(&mut workspace.xtask(&["test", "list", "-E", "need(root)", "--json"]));
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(listed["tests"][0]["name"], "TestRoot/root");
    assert_eq!(listed["tests"].as_array().unwrap().len(), 1);

    for (filter, error) in [
        (
            "test(Nothing)",
            "no test matches the filter `test(Nothing)`",
        ),
        ("TestUser", "invalid filter `TestUser`"),
    ] {
        let said = run(&mut workspace.command(&["--filter", filter]));
        assert_eq!(said.code, Some(2), "{filter}: {}", said.stderr);
        assert!(said.stderr.contains(error), "{}", said.stderr);
    }
}

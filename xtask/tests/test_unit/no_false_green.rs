//! What is broken is never reported as ok: each case is run with `go test` too.

use std::process::Command;

use serde_json::json;

use super::common::go::Workspace;
use super::common::{Said, run};
use super::{Unit, package};

/// `go test` in the same checkout.
pub(super) fn go_test(workspace: &Workspace, words: &[&str]) -> Said {
    let mut go = Command::new("go");
    go.arg("test").args(words).current_dir(&workspace.dir);
    run(go.env_remove("GOFLAGS"))
}

#[test]
fn tags_choose_packages_wherever_they_are_given() {
    let test = "//go:build special\n\npackage tagged\n\nimport \"testing\"\n\n\
        func TestSpecial(t *testing.T) { t.Error(\"special fails\") }\n";
    let files = [("tagged/a_test.go", test)];
    let Some(workspace) = Workspace::with("tags_choose_packages", &files) else {
        return;
    };
    assert_eq!(
        go_test(&workspace, &["-tags", "special", "./tagged"]).code,
        Some(1)
    );
    let flag = [("GOFLAGS", "-tags=special")];
    let written = workspace.home.path("go-env");
    std::fs::write(&written, "GOFLAGS=-tags=special\n").unwrap();
    let stored = [("GOFLAGS", ""), ("GOENV", written.as_str())];
    for (words, env) in [
        (&["./tagged", "--tags", "special"][..], &[][..]),
        (&["./tagged", "--", "-tags", "special"], &[]),
        (&["./tagged", "--", "-tags=special"], &[]),
        (&["./tagged"], &flag),
        (&["./tagged"], &stored),
    ] {
        let (said, report) = workspace.json(words, env);
        assert_eq!(said.code, Some(1), "{words:?} {env:?}: {}", said.stderr);
        let tagged = package(&report, "tagged");
        assert_eq!(tagged["failed"], json!(["TestSpecial"]), "{words:?}");
    }
    let words = ["./tagged", "--tags", "a", "--", "-tags", "b"];
    assert_eq!(run(&mut workspace.command(&words)).code, Some(2));
}

#[test]
fn a_test_that_never_began_is_not_forgiven() {
    let test = r#"package p

import "testing"

func TestA(t *testing.T) { t.Error("a is broken") }

func TestB(t *testing.T) { t.Error("b is broken too") }
"#;
    let Some(workspace) = Workspace::with("a_test_that_never_began", &[("p/a_test.go", test)])
    else {
        return;
    };
    for words in [
        &["./p", "--retries", "2", "--", "-failfast"][..],
        &["./p", "--allow-flaky", "--", "-failfast"],
    ] {
        let said = run(&mut workspace.command(words));
        assert_eq!(said.code, Some(2), "{words:?}: {}", said.stderr);
        assert!(said.stderr.contains("--fail-fast"), "{}", said.stderr);
    }
    let (said, report) = workspace.json(&["./p", "--", "-failfast"], &[]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert_eq!(report["not_run"][0]["test"], "TestB", "{report:#}");
    // What never began is run with what failed.
    let fixed = test.replace("t.Error(\"a is broken\")", "");
    std::fs::write(workspace.dir.join("p/a_test.go"), fixed).unwrap();
    let (said, report) = workspace.json(&["--rerun-failed"], &[]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert_eq!(package(&report, "p")["failed"], json!(["TestB"]));
}

#[test]
fn packages_without_tests_are_built_and_vetted() {
    let vet = "package vet\n\nimport \"fmt\"\n\nfunc F() { fmt.Printf(\"%d\", \"x\") }\n";
    let main = "package only\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\n\
        func TestMain(*testing.M) { os.Exit(3) }\n";
    let files = [
        (
            "ok/a_test.go",
            "package ok\n\nimport \"testing\"\n\nfunc TestA(*testing.T) {}\n",
        ),
        ("bad/bad.go", "package bad\n\nvar X int = \"a\"\n"),
        ("vet/vet.go", vet),
        ("plain/a.go", "package plain\n"),
        // `go test -c` refuses two packages of one name.
        ("inner/ok/ok.go", "package ok\n"),
        ("inner/plain/a.go", "package plain\n"),
        ("other/a.go", "//go:build special\n\npackage other\n"),
        // A package of the same name, with a `TestMain` and no test.
        ("only/main_test.go", main),
    ];
    let Some(workspace) = Workspace::with("packages_without_tests", &files) else {
        return;
    };
    let go = go_test(&workspace, &["./..."]);
    assert_eq!(go.code, Some(1), "{}", go.stdout);
    let (said, report) = workspace.json(&["./..."], &[]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    for (name, verdict) in [
        ("ok", "passed"),
        ("bad", "build-failed"),
        ("vet", "build-failed"),
        ("only", "exited"),
    ] {
        assert_eq!(package(&report, name)["verdict"], verdict, "{report:#}");
    }
    for part in ["bad/bad.go:3:13", "vet/vet.go:5:"] {
        assert!(
            go.stdout.contains(part) || go.stderr.contains(part),
            "{part}"
        );
        assert!(said.stderr.contains(part), "{part}: {}", said.stderr);
    }
    assert_eq!(
        report["built_only"],
        json!([
            "github.com/siderolabs/talos/inner/ok",
            "github.com/siderolabs/talos/inner/plain",
            "github.com/siderolabs/talos/plain"
        ]),
        "{report:#}"
    );
    for name in ["./bad", "./vet", "./other"] {
        assert_ne!(go_test(&workspace, &[name]).code, Some(0), "{name}");
        let said = run(&mut workspace.command(&[name]));
        assert_eq!(said.code, Some(1), "{name}: {}", said.stderr);
    }
    let said = run(&mut workspace.command(&["./plain"]));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let line = "1 package built without tests";
    assert!(said.stdout.contains(line), "{}", said.stdout);

    // Fixed, it leaves the list of what failed.
    std::fs::write(workspace.dir.join("bad/bad.go"), "package bad\n").unwrap();
    let (_, report) = workspace.json(&["--rerun-failed"], &[]);
    assert!(
        report["built_only"].to_string().contains("/bad"),
        "{report:#}"
    );
    let (_, report) = workspace.json(&["--rerun-failed"], &[]);
    assert!(!report.to_string().contains("talos/bad"), "{report:#}");
}

#[test]
fn a_pattern_that_selects_nothing_is_an_error() {
    let test = r#"package p

import "testing"

func TestA(t *testing.T) {
	t.Run("one", func(*testing.T) {})
}
"#;
    let Some(workspace) =
        Workspace::with("a_pattern_that_selects_nothing", &[("p/a_test.go", test)])
    else {
        return;
    };
    let go = go_test(&workspace, &["-run", "TestA/typo", "./p"]);
    assert!(go.stdout.contains("[no tests to run]"), "{}", go.stdout);
    for words in [
        ["./p", "--run", "TestA/typo"].as_slice(),
        &["./p", "--", "-run", "TestA/typo"],
        &["./p", "--", "-run", "testA"],
    ] {
        let said = run(&mut workspace.command(words));
        assert_eq!(said.code, Some(2), "{words:?}: {}", said.stdout);
        assert!(said.stderr.contains("no test matches"), "{}", said.stderr);
    }
    let said = run(&mut workspace.command(&["./p", "-run", "TestA/one"]));
    assert_eq!(said.code, Some(0), "{}", said.stderr);

    assert_ne!(go_test(&workspace, &["-run", "(", "./p"]).code, Some(0));
    let said = run(&mut workspace.command(&["./p", "-run", "("]));
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    assert!(
        said.stderr.contains("invalid pattern `(`"),
        "{}",
        said.stderr
    );
    let nothing = run(&mut workspace.command(&["--rerun-failed"]));
    assert_eq!(
        nothing.code,
        Some(0),
        "it is remembered: {}",
        nothing.stdout
    );
    let words = ["./p", "-run", "TestA", "--", "-run", "TestB"];
    assert_eq!(run(&mut workspace.command(&words)).code, Some(2));
}

#[test]
fn needs_are_looked_at_only_of_what_run_selects() {
    let test = r#"package p

import (
	"os/exec"
	"testing"
)

func TestFine(t *testing.T) {}

func TestNeedsTool(t *testing.T) {
	if _, err := exec.LookPath("a-tool-that-does-not-exist"); err != nil {
		t.Skip("a-tool-that-does-not-exist is missing")
	}
}
"#;
    let Some(workspace) = Workspace::with("needs_of_what_run_selects", &[("p/a_test.go", test)])
    else {
        return;
    };
    let all = run(&mut workspace.command(&["./p", "--strict"]));
    assert_eq!(all.code, Some(1), "{}", all.stdout);
    for words in [
        &["./p", "--strict", "-run", "TestFine"][..],
        &["./p", "--strict", "--", "-skip", "TestNeedsTool"],
    ] {
        let (said, report) = workspace.json(words, &[]);
        assert_eq!(said.code, Some(0), "{words:?}: {}", said.stderr);
        assert_eq!(report["left_out"], json!([]), "{words:?}");
    }
}

#[test]
fn a_part_of_a_pattern_that_selects_nothing_is_named() {
    let test = r#"package p

import (
	"os"
	"testing"
)

func TestA(t *testing.T) {
	t.Run("one", func(*testing.T) {})
}

func TestMain(m *testing.M) {
	code := m.Run()
	if os.Getenv("CI") != "" {
		println("found unexpected goroutines")
		code = 1
	}
	os.Exit(code)
}
"#;
    let Some(workspace) = Workspace::with("a_part_of_a_pattern", &[("p/a_test.go", test)]) else {
        return;
    };
    let said = run(&mut workspace.command(&["./p", "-run", "TestA/one|TestA/typo|TestB"]));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    for part in ["TestA/typo", "TestB"] {
        let note = format!("`{part}` of `-run` matches no test");
        assert!(said.stderr.contains(&note), "{}", said.stderr);
    }
    assert!(!said.stderr.contains("TestA/one` of"), "{}", said.stderr);

    // As goleak does it.
    let said = run(workspace.command(&["./p"]).env("CI", "1"));
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let line = "ended with exit code 1 after its tests had passed";
    assert!(said.stdout.contains(line), "{}", said.stdout);
    assert!(
        said.stdout.contains("found unexpected goroutines"),
        "{}",
        said.stdout
    );
}

#[test]
fn a_package_that_another_breaks_names_it() {
    let files = [
        ("a/a.go", "package a\n\nfunc A() { x }\n"),
        (
            "a/a_test.go",
            "package a\n\nimport \"testing\"\n\nfunc TestA(*testing.T) {}\n",
        ),
        (
            "b/b.go",
            "package b\n\nimport \"github.com/siderolabs/talos/a\"\n\nvar B = a.A\n",
        ),
        (
            "b/b_test.go",
            "package b\n\nimport \"testing\"\n\nfunc TestB(*testing.T) {}\n",
        ),
        ("c/c.go", "package c\n"),
        (
            "c/c_test.go",
            "package c_test\n\nimport (\n\t\"testing\"\n\n\t_ \"github.com/siderolabs/talos/b\"\n)\n\nfunc TestC(*testing.T) {}\n",
        ),
        ("sub/vendor/x/x.go", "package x\n\nfunc X() { broken }\n"),
        ("ignored/x.go", "package x\n\nfunc X() { broken }\n"),
        (
            "go.mod",
            "module github.com/siderolabs/talos\n\ngo 1.25\n\nignore ./ignored\n",
        ),
    ];
    let Some(workspace) = Workspace::with("a_package_that_another_breaks", &files) else {
        return;
    };
    let (said, report) = workspace.json(&[], &[]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let output = |name: &str| {
        package(&report, name)["output"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert!(output("a").contains("undefined: x"), "{}", output("a"));
    for name in ["b", "c"] {
        let why = "it imports github.com/siderolabs/talos/a, which cannot be built";
        assert!(output(name).contains(why), "{name}: {}", output(name));
    }
    // go finds three packages, too.
    assert_eq!(
        report["packages"].as_array().unwrap().len(),
        3,
        "{report:#}"
    );
    let go = go_test(&workspace, &["./..."]);
    assert!(
        !go.stdout.contains("vendor") && !go.stdout.contains("ignored"),
        "{}",
        go.stdout
    );
}

//! `test list`, `test shards` and the names that `test integration` takes, on a
//! small checkout of our own; the Go that judges is the real one.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests make their own small worlds"
)]

mod common;

use std::collections::BTreeSet;
use std::process::Command;

use common::{Home, Said, run};
use serde_json::Value;

const TESTS: &str = "package disk_test

import (
\t\"os\"
\t\"testing\"
)

func needsRoot(t *testing.T) {
\tif os.Geteuid() != 0 {
\t\tt.Skip(\"requires root\")
\t}
}

func TestAsRoot(t *testing.T) {
\tneedsRoot(t)

\tfor _, test := range []struct{ name string }{{name: \"one disk\"}, {name: \"two disks\"}} {
\t\tt.Run(test.name, func(t *testing.T) {})
\t}
}

func TestPlain(t *testing.T) {}

func TestKey(t *testing.T) {
\tif os.Getenv(\"XTASK_NO_SUCH_VARIABLE\") == \"\" {
\t\tt.Skip(\"no key\")
\t}
}

func Testify() {}

func BenchmarkDisk(b *testing.B) {}

func FuzzDisk(f *testing.F) {}

func ExamplePrinted() {
\t// Output:
}

func Example_notRun() {}
";

const SUITE: &str = "//go:build integration_api

package api

type ResetSuite struct{}

func (suite *ResetSuite) SuiteName() string { return \"api.ResetSuite\" }

func (suite *ResetSuite) TestResetWithSpec() {}
";

fn checkout(home: &Home) {
    home.write(
        "talos/go.mod",
        "module github.com/siderolabs/talos\n\ngo 1.24\n",
    );
    home.write("talos/pkg/machinery/gendata/data/tag", "v1.12.0");
    home.write("talos/disk/disk_test.go", TESTS);
    home.write(
        "talos/disk/disk_windows_test.go",
        "package disk_test\n\nimport \"testing\"\n\nfunc TestWindows(t *testing.T) {}\n",
    );
    home.write(
        "talos/other/other_test.go",
        "package other\n\nimport \"testing\"\n\nfunc TestOther(t *testing.T) {}\n",
    );
    home.write("talos/internal/integration/api/reset.go", SUITE);
}

fn asked(home: &Home, words: &[&str]) -> Said {
    let words = [&["-C", "talos"], words].concat();
    run(home.xtask(&words).current_dir(&home.root))
}

fn json(home: &Home, words: &[&str]) -> Value {
    let said = asked(home, words);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    serde_json::from_str(&said.stdout).unwrap()
}

fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    let mut tests = list["tests"].as_array().unwrap().iter();
    tests.find(|test| test["name"] == name).unwrap()
}

#[test]
fn the_list_says_what_each_test_needs_and_follows_the_sources() {
    let home = Home::new();
    checkout(&home);
    let list = json(&home, &["test", "list", "--json"]);
    assert_eq!(list["schema"], 1);
    let subtest = named(&list, "TestAsRoot/two_disks");
    assert_eq!(subtest["package"], "github.com/siderolabs/talos/disk");
    assert_eq!(subtest["kind"], "subtest");
    assert_eq!(subtest["file"], "disk/disk_test.go");
    assert_eq!(subtest["needs"], serde_json::json!(["root"]));
    let key = named(&list, "TestKey");
    assert_eq!(key["runs_here"], false);
    assert_eq!(key["reason"], "needs the variable XTASK_NO_SUCH_VARIABLE");
    assert_eq!(named(&list, "TestPlain")["runs_here"], true);

    // What was kept does not outlive a change.
    let changed = TESTS.replace("TestPlain", "TestPlainAndNew");
    home.write("talos/disk/disk_test.go", &changed);
    named(&json(&home, &["test", "list", "--json"]), "TestPlainAndNew");

    let why = asked(&home, &["test", "list", "--explain", "TestAsRoot"]);
    assert!(
        why.stdout
            .contains("skips itself without root: disk/disk_test.go:10"),
        "{}",
        why.stdout
    );
    assert!(
        why.stdout.contains("through TestAsRoot > needsRoot"),
        "{}",
        why.stdout
    );
    let typo = asked(&home, &["test", "list", "--explain", "TestAsRot"]);
    assert_eq!(typo.code, Some(2));
    assert!(
        typo.stderr.contains("did you mean `TestAsRoot`?"),
        "{}",
        typo.stderr
    );
    let package = asked(&home, &["test", "list", "./disc"]);
    assert_eq!(package.code, Some(2));
    assert!(
        package.stderr.contains("did you mean `./disk`?"),
        "{}",
        package.stderr
    );
}

#[test]
fn the_names_are_those_of_go_test_list() {
    let home = Home::new();
    checkout(&home);
    let mut go = Command::new("go");
    let go = go
        .args(["test", "-vet=off", "-list", ".", "./disk"])
        .current_dir(home.path("talos"))
        .env("GOFLAGS", "-mod=mod")
        .env("GOTOOLCHAIN", "local")
        .env("GOPROXY", "off")
        .env("GOWORK", "off");
    let listed = go.output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout);
    let theirs: BTreeSet<&str> = listed
        .lines()
        .filter(|line| !line.starts_with("ok "))
        .collect();
    let list = json(&home, &["test", "list", "./disk", "--json"]);
    let tests = list["tests"].as_array().unwrap().iter();
    let ours: BTreeSet<&str> = tests
        .filter(|test| test["kind"] != "subtest" && test["kind"] != "method")
        .map(|test| test["name"].as_str().unwrap())
        .collect();
    assert_eq!(ours, theirs);
    assert_eq!(ours.len(), 6);
}

#[test]
fn shards_have_every_test_once() {
    let home = Home::new();
    checkout(&home);
    let all = json(&home, &["test", "list", "--json"]);
    let mut seen = Vec::new();
    for shard in ["1/2", "2/2"] {
        let part = json(&home, &["test", "list", "--shard", shard, "--json"]);
        seen.extend(part["tests"].as_array().unwrap().clone());
    }
    assert_eq!(seen.len(), all["tests"].as_array().unwrap().len());
    for test in all["tests"].as_array().unwrap() {
        assert!(seen.contains(test), "{test}");
    }
    let matrix = json(&home, &["test", "shards", "--n", "2", "./disk"]);
    let leg = &matrix["include"][1];
    assert_eq!(
        leg["run"],
        "cargo xtask test unit ./disk --shard 2/2 --report legs/2.json"
    );
    assert_eq!(leg["report"], "legs/2.json");
    for (wrong, why) in [
        (&["--", "--typo"][..], "--typo"),
        (&["--", "--", "--shard"], "unknown `go test` flag `--shard`"),
        (&["--", "--shard", "1/2"], "cannot be used multiple times"),
        (&["--", "--in", "buildx"], "cannot be given --shard"),
        (&["--shard", "1/2"], "leave `--shard` out"),
    ] {
        let said = asked(&home, &[&["test", "shards", "--n", "2"], wrong].concat());
        assert_eq!(said.code, Some(2), "{wrong:?}: {}", said.stdout);
        assert!(said.stderr.contains(why), "{wrong:?}: {}", said.stderr);
    }
    let beyond = asked(&home, &["test", "list", "--shard", "3/2"]);
    assert_eq!(beyond.code, Some(2));
    let unknown = asked(
        &home,
        &[
            "test",
            "shards",
            "--n",
            "2",
            "--by-time",
            "--times",
            "times.json",
        ],
    );
    assert_eq!(unknown.code, Some(3), "{}", unknown.stderr);
}

#[test]
fn a_mistyped_suite_is_an_error_and_no_empty_success() {
    let home = Home::new();
    checkout(&home);
    let suites = asked(&home, &["test", "integration", "--list"]);
    assert!(
        suites.stdout.contains("api.ResetSuite") && suites.stdout.contains("TestResetWithSpec"),
        "{}",
        suites.stdout
    );
    for (typo, meant) in [
        ("api.RestSuite", "`api.ResetSuite`"),
        ("api.ResetSuite/TestRestWithSpec", "`TestResetWithSpec`"),
    ] {
        let said = asked(&home, &["test", "integration", typo]);
        assert_eq!(said.code, Some(2), "{}", said.stderr);
        assert!(said.stderr.contains(meant), "{}", said.stderr);
    }
    let none = asked(&home, &["test", "integration", "api.ResetSuite"]);
    assert_eq!(none.code, Some(3), "{}", none.stderr);
    assert!(
        none.stderr.contains("cargo xtask cluster up"),
        "{}",
        none.stderr
    );
}

//! `test integration` against a cluster of the lab: what is built and when,
//! what passes, fails, does not exist, and a node that dies meanwhile. The
//! binary is a small one of ours with the shape of Talos' own.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests make their own small worlds"
)]

mod common;
mod in_lab;

use std::path::{Path, PathBuf};
use std::process::Command;

use in_lab::Lab;

const CHECKOUT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../testdata/gotest/integration"
);
const BINARY: &str = "_out/integration-test-linux-amd64";

/// A copy of the checkout, and the binary that its Makefile puts in place.
struct Checkout {
    dir: tempfile::TempDir,
}

impl Checkout {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let copied = Command::new("cp")
            .args(["-r", &format!("{CHECKOUT}/.")])
            .arg(dir.path())
            .status();
        assert!(copied.unwrap().success());
        let built = Command::new("go")
            .args(["test", "-c", "-o", "integration.test"])
            .args(["-tags", "integration,integration_api"])
            .arg("./internal/integration")
            .env("GOWORK", "off")
            .current_dir(dir.path())
            .status();
        assert!(built.unwrap().success());
        Self { dir }
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.dir.path().join(inside)
    }

    fn words<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        let dir = self.dir.path().to_str().unwrap();
        [&["-C", dir, "test", "integration"], rest].concat()
    }
}

/// What the tests print, after success: with all else that is no data.
fn passes(lab: &Lab, words: &[&str]) -> String {
    lab.fails(0, words)
}

fn changed(path: &Path) -> std::time::SystemTime {
    std::fs::metadata(path).unwrap().modified().unwrap()
}

#[test]
fn suites_against_a_cluster() {
    let Some(lab) = Lab::own("suites_against_a_cluster") else {
        return;
    };
    let checkout = Checkout::new();
    names_are_checked_first(&lab, &checkout);

    lab.ok(&["cluster", "up", "--workers", "1"]);
    let passing = checkout.words(&["api.VersionSuite"]);
    let said = passes(&lab, &passing);
    assert!(
        said.contains("--- PASS: TestIntegration/api.VersionSuite/TestServer"),
        "{said}"
    );
    assert!(said.contains("--- SKIP: TestIntegration/api.VersionSuite/TestLong"));
    assert!(!said.contains("BrokenSuite"), "{said}");

    what_is_built_is_of_the_sources(&lab, &checkout);

    let said = passes(
        &lab,
        &checkout.words(&["--full", "api.VersionSuite/TestLong"]),
    );
    assert!(said.contains("--- PASS: TestIntegration/api.VersionSuite/TestLong"));
    assert!(!said.contains("TestServer"), "{said}");

    let failing = lab.fails(1, &checkout.words(&["api.BrokenSuite"]));
    assert!(failing.contains("integration tests failed"), "{failing}");

    a_cluster_of_its_own_comes_and_goes(&lab, &checkout);

    // A cluster that went is no failure of a test.
    let dead = lab.fails(5, &checkout.words(&["api.CrashSuite"]));
    assert!(
        dead.contains("node `talos-default-worker-1` died"),
        "{dead}"
    );
}

fn names_are_checked_first(lab: &Lab, checkout: &Checkout) {
    let typo = lab.fails(2, &checkout.words(&["api.VersoinSuite"]));
    assert!(typo.contains("did you mean `api.VersionSuite`"), "{typo}");
    let typo = lab.fails(2, &checkout.words(&["api.VersionSuite/TestSever"]));
    assert!(typo.contains("did you mean `TestServer`"), "{typo}");
    let absent = lab.fails(3, &checkout.words(&["api.VersionSuite"]));
    assert!(absent.contains("cargo xtask cluster up"), "{absent}");
    assert!(!checkout.path("_out").exists(), "nothing was built");
}

/// Make itself would leave a file target that is there (T12).
fn what_is_built_is_of_the_sources(lab: &Lab, checkout: &Checkout) {
    let binary = checkout.path(BINARY);
    let first = changed(&binary);
    lab.ok(&checkout.words(&["api.VersionSuite"]));
    assert_eq!(changed(&binary), first, "nothing has changed");
    let source = checkout.path("internal/integration/api/suites.go");
    let text = std::fs::read(&source).unwrap();
    std::fs::write(&source, text).unwrap();
    lab.ok(&checkout.words(&["api.VersionSuite"]));
    assert!(changed(&binary) > changed(&source), "built anew");
}

/// Beside the one that is worked with, which stays.
fn a_cluster_of_its_own_comes_and_goes(lab: &Lab, checkout: &Checkout) {
    // What it boots is the checkout's.
    lab.sh(&format!(
        "ln -s \"$HOME\"/talos/_out/* {}/_out/",
        checkout.dir.path().display()
    ));
    let said = passes(lab, &checkout.words(&["--fresh", "api.VersionSuite"]));
    assert!(said.contains("--- PASS: TestIntegration/api.VersionSuite/TestServer"));
    let list = lab.ok(&["cluster", "list"]);
    assert!(list.contains("talos-default"), "{list}");
    assert!(!list.contains("integration"), "{list}");
}

//! `test integration` against a cluster of the lab: what is built and when,
//! what passes, fails, does not exist, and a node that dies meanwhile. The
//! binary is a small one of ours with the shape of Talos' own.

use std::path::{Path, PathBuf};

use crate::common::go;
use crate::in_lab::Lab;

const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/gotest/integration");
const BINARY: &str = "_out/integration-test-linux-amd64";

/// A copy of the checkout, and the binary that its Makefile puts in place.
struct Checkout {
    dir: tempfile::TempDir,
}

impl Checkout {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        go::copy(CHECKOUT, dir.path());
        let tags = "integration,integration_api";
        go::compile_integration(dir.path(), "integration.test", tags);
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

/// The whole output, after ending with `code`.
fn said(lab: &Lab, code: i32, words: &[&str]) -> String {
    let output = lab.xtask(&[&["--lab"], words].concat());
    let said = [output.stdout, output.stderr].map(|out| String::from_utf8_lossy(&out).into_owned());
    let said = said.concat();
    assert_eq!(output.status.code(), Some(code), "{words:?}:\n{said}");
    said
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// What became of a test, by the end of its name.
fn state(report: &serde_json::Value, test: &str) -> String {
    let tests = report["packages"][0]["tests"].as_array().unwrap();
    let name = format!("TestIntegration/{test}");
    let found = tests.iter().find(|it| it["name"] == name.as_str());
    found
        .map_or("absent", |it| it["state"].as_str().unwrap())
        .to_owned()
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
    the_context_must_be_the_clusters(&lab, &checkout);
    results_are_those_of_unit_tests(&lab, &checkout);
    what_is_built_is_of_the_sources(&lab, &checkout);
    what_failed_is_run_again(&lab, &checkout);
    ends_are_told_apart(&lab, &checkout);
    a_cluster_of_its_own_comes_and_goes(&lab, &checkout);

    // A cluster that was lost is not a failure of a test.
    let report = checkout.path("crash.json");
    let words = ["api.CrashSuite", "--report", report.to_str().unwrap()];
    let dead = said(&lab, 5, &checkout.words(&words));
    assert!(
        dead.contains("node `talos-default-worker-1` died while the tests ran"),
        "{dead}"
    );
    assert!(dead.contains("not a failure of tests"), "{dead}");
    let report = json(&report);
    let broken = report["packages"][0]["broken"].as_str().unwrap();
    assert!(broken.contains("talos-default-worker-1"), "{broken}");
}

/// The binary would go for whatever the talosconfig names: of a cluster without a
/// configuration of its own, that is the user's.
fn the_context_must_be_the_clusters(lab: &Lab, checkout: &Checkout) {
    let own = "\"$HOME\"/.local/state/talos-xtask/clusters/talos-default";
    lab.sh(&format!("mv {own} {own}.away"));
    lab.sh(&format!(
        "sed 's/^context: .*/context: elsewhere/' {own}.away/talosconfig >\"$HOME\"/.talos/config"
    ));
    let refused = lab.fails(3, &checkout.words(&["api.VersionSuite"]));
    // The lab's own talosctl, by way of the lab.
    assert!(
        refused.contains("hint: cargo xtask lab shell "),
        "{refused}"
    );
    let hint = " -- talosctl config context talos-default\n";
    assert!(refused.contains(hint), "{refused}");
    assert!(!checkout.path("_out").exists(), "nothing was built");
    lab.sh(&format!("rm \"$HOME\"/.talos/config; mv {own}.away {own}"));
}

fn results_are_those_of_unit_tests(lab: &Lab, checkout: &Checkout) {
    let (report, junit) = (checkout.path("report.json"), checkout.path("junit.xml"));
    let words = [
        "api.VersionSuite",
        "api.BrokenSuite",
        "--report",
        report.to_str().unwrap(),
        "--junit",
        junit.to_str().unwrap(),
    ];
    let first = said(lab, 1, &checkout.words(&words));
    assert!(first.contains("ok   api.VersionSuite"), "{first}");
    assert!(first.contains("FAIL api.BrokenSuite"), "{first}");
    assert_eq!(first.matches("the answer is not 42").count(), 1, "{first}");
    assert!(first.contains("skipping in short mode"), "{first}");
    assert!(!first.contains("CrashSuite"), "{first}");
    assert!(!first.contains('\u{16}'), "marks are for us: {first}");

    let report = json(&report);
    assert_eq!(state(&report, "api.VersionSuite/TestServer"), "passed");
    assert_eq!(state(&report, "api.VersionSuite/TestLong"), "skipped");
    assert_eq!(state(&report, "api.BrokenSuite/TestWrong"), "failed");
    let failed = &report["packages"][0]["failed"];
    let only = serde_json::json!(["TestIntegration/api.BrokenSuite/TestWrong"]);
    assert_eq!(*failed, only, "what is above failed for it");
    let junit = std::fs::read_to_string(junit).unwrap();
    assert!(
        junit.contains(r#"name="TestIntegration/api.BrokenSuite/TestWrong""#),
        "{junit}"
    );
    assert!(junit.contains("the answer is not 42"), "{junit}");

    let full = checkout.words(&["--full", "--json", "api.VersionSuite/TestLong"]);
    let report: serde_json::Value = serde_json::from_str(&lab.ok(&full)).unwrap();
    assert_eq!(state(&report, "api.VersionSuite/TestLong"), "passed");
    assert_eq!(state(&report, "api.VersionSuite/TestServer"), "absent");
}

fn what_failed_is_run_again(lab: &Lab, checkout: &Checkout) {
    let again = said(lab, 1, &checkout.words(&["--rerun-failed"]));
    assert!(again.contains("FAIL api.BrokenSuite"), "{again}");
    assert!(!again.contains("VersionSuite"), "{again}");
    let none = said(
        lab,
        0,
        &checkout.words(&["--rerun-failed", "api.VersionSuite"]),
    );
    assert!(none.contains("nothing failed the last time"), "{none}");

    let report = checkout.path("flaky.json");
    let words = [
        "api.FlakySuite",
        "--retries",
        "2",
        "--allow-flaky",
        "--report",
        report.to_str().unwrap(),
    ];
    let flaky = said(lab, 0, &checkout.words(&words));
    assert!(flaky.contains("1 flaky"), "{flaky}");
    let report = json(&report);
    assert_eq!(state(&report, "api.FlakySuite/TestSecondTime"), "flaky");
    assert_eq!(state(&report, "api.FlakySuite"), "flaky");
    assert_eq!(report["counts"]["failed"], 0);
}

fn ends_are_told_apart(lab: &Lab, checkout: &Checkout) {
    let panics = said(lab, 1, &checkout.words(&["api.PanicSuite"]));
    assert!(panics.contains("panic: out of range"), "{panics}");
    assert!(panics.contains("not run"), "{panics}");
    let words = ["api.HangSuite", "--timeout", "3s"];
    let hangs = said(lab, 1, &checkout.words(&words));
    assert!(hangs.contains("timed out"), "{hangs}");
    assert!(
        hangs.contains("(*HangSuite).TestForEver"),
        "goroutines: {hangs}"
    );
}

fn names_are_checked_first(lab: &Lab, checkout: &Checkout) {
    let typo = lab.fails(2, &checkout.words(&["api.VersoinSuite"]));
    assert!(typo.contains("did you mean `api.VersionSuite`"), "{typo}");
    let typo = lab.fails(2, &checkout.words(&["api.VersionSuite/TestSever"]));
    assert!(typo.contains("did you mean `TestServer`"), "{typo}");
    let absent = lab.fails(3, &checkout.words(&["api.VersionSuite"]));
    assert!(absent.contains("cargo xtask --lab cluster up"), "{absent}");
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
    assert!(changed(&binary) > changed(&source), "built again");
}

/// Beside the user's cluster, which stays.
fn a_cluster_of_its_own_comes_and_goes(lab: &Lab, checkout: &Checkout) {
    // What it boots is the checkout's.
    lab.sh(&format!(
        "ln -s \"$HOME\"/talos/_out/* {}/_out/",
        checkout.dir.path().display()
    ));
    let said = said(lab, 0, &checkout.words(&["--fresh", "api.VersionSuite"]));
    assert!(said.contains("ok   api.VersionSuite"), "{said}");
    let list = lab.ok(&["cluster", "list"]);
    assert!(list.contains("talos-default"), "{list}");
    assert!(!list.contains("integration"), "{list}");
}

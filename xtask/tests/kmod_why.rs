//! `kmod why` on logs as nodes write them.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests make their own small worlds"
)]

mod common;

use common::{Home, run, run_with};
use serde_json::Value;

const LOG: &str = "\
[   10.100000] [talos] controller failed {\"error\": \"load hello failed: key was rejected by service\"}
[   10.200000] Loading of unsigned module is rejected
[   11.300000] [talos] machine is running and ready\n";

#[test]
fn the_cause_is_named_with_the_rule_that_finds_it_before() {
    let home = Home::new();
    home.write("console.log", LOG);
    let said = run(&mut home.xtask(&["kmod", "why", "console.log"]));
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let expected = "line 2: [   10.200000] Loading of unsigned module is rejected\n  \
        cause: the module is not signed, or it was stripped after it was signed\n";
    assert!(said.stdout.starts_with(expected), "{}", said.stdout);
    assert!(
        said.stdout.contains("found before an upgrade by L12"),
        "{}",
        said.stdout
    );
    assert!(!said.stdout.contains("key was rejected"), "{}", said.stdout);

    let said = run_with(
        &mut home.xtask(&["kmod", "why", "-", "--json"]),
        LOG.as_bytes(),
    );
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(report["failures"][0]["id"], "unsigned");
    assert_eq!(report["failures"][0]["line"], 2);
    assert_eq!(report["failures"].as_array().unwrap().len(), 1);
}

#[test]
fn a_log_without_failures_and_no_log() {
    let home = Home::new();
    home.write("console.log", "[    1.0] Linux version 6.18.1-talos\n");
    let said = run(&mut home.xtask(&["kmod", "why", "console.log"]));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let said = run(&mut home.xtask(&["kmod", "why", "missing.log"]));
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("kmod why -"), "{}", said.stderr);
}

#[test]
fn a_word_that_is_neither_a_log_nor_a_node() {
    let home = Home::new();
    for words in [["kmod", "why", "worker-1"], ["kmod", "verify", "worker-1"]] {
        let said = run(&mut home.xtask(&words));
        assert_eq!(said.code, Some(2), "{}", said.stderr);
        let cause = "a machine outside of a cluster of this host is named by its address";
        assert!(said.stderr.contains(cause), "{}", said.stderr);
    }
}

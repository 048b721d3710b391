//! The dependency policy of `xtask/deny.toml`: licences, duplicates, bans and
//! sources, read from `cargo metadata` without a network. Advisories need
//! cargo-deny and a network.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests ask cargo"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What the product is built on; each is used outside of tests.
const FOUNDATION: [&str; 10] = [
    "camino",
    "clap",
    "ctrlc",
    "duct",
    "glob",
    "prost",
    "serde_json",
    "tempfile",
    "tokio",
    "xshell",
];

#[derive(Deserialize)]
struct Policy {
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Bans {
    skip: Vec<Rule>,
    deny: Vec<Rule>,
}

/// `NAME` or `NAME@VERSION`, the beginning of a version.
#[derive(Deserialize)]
struct Rule {
    #[serde(rename = "crate")]
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
}

fn policy() -> Policy {
    toml::from_str(&std::fs::read_to_string(format!("{ROOT}/deny.toml")).unwrap()).unwrap()
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--locked", "--offline"])
        .current_dir(ROOT)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Packages from outside that a build or test needs on this system; those of
/// other systems may not have been downloaded.
fn packages() -> Vec<Value> {
    let version = Command::new("rustc").arg("-vV").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let metadata = cargo(&[
        "metadata",
        "--format-version",
        "1",
        "--filter-platform",
        host.unwrap(),
    ]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .filter(|package| !package["source"].is_null())
        .cloned()
        .collect()
}

fn text<'a>(package: &'a Value, key: &str) -> &'a str {
    package[key].as_str().unwrap_or_default()
}

/// Whether an SPDX expression without parentheses is satisfied: each part of an
/// AND by one of its alternatives.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let expression = expression.replace(['(', ')'], "").replace('/', " OR ");
    expression.split(" AND ").all(|part| {
        part.split(" OR ")
            .map(|licence| licence.split(" WITH ").next().unwrap().trim())
            .any(|licence| allowed.contains(licence))
    })
}

#[test]
fn licences_and_sources_are_allowed() {
    let policy = policy();
    let mut bad = Vec::new();
    for package in packages() {
        let (name, licence) = (text(&package, "name"), text(&package, "license"));
        if !is_allowed(licence, &policy.licenses.allow) {
            bad.push(format!("{name}: licence `{licence}`"));
        }
        let source = text(&package, "source").trim_start_matches("registry+");
        if !policy.sources.allow_registry.iter().any(|it| it == source) {
            bad.push(format!("{name}: source `{source}`"));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    assert!(is_allowed("MIT OR GPL-3.0", &policy.licenses.allow));
    assert!(!is_allowed("MIT AND GPL-3.0", &policy.licenses.allow));
}

#[test]
fn no_crate_is_banned_or_built_twice() {
    let policy = policy();
    // What users build: neither tests nor other systems.
    let tree = cargo(&[
        "tree",
        "-p",
        "xtask",
        "-e",
        "normal,build",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]);
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in tree.lines() {
        let mut words = line.split(' ');
        if let (Some(name), Some(version)) = (words.next(), words.next()) {
            let version = version.trim_start_matches('v');
            versions.entry(name).or_default().insert(version);
        }
    }
    for rule in &policy.bans.deny {
        assert!(!versions.contains_key(rule.name.as_str()), "{}", rule.name);
    }
    let mut unused: BTreeSet<&str> = policy.bans.skip.iter().map(|it| it.name.as_str()).collect();
    let mut twice = Vec::new();
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        let skipped = policy.bans.skip.iter().find(|rule| {
            let (crate_name, version) = rule.name.split_once('@').unwrap_or((&rule.name, ""));
            crate_name == *name && versions.iter().any(|it| it.starts_with(version))
        });
        match skipped {
            Some(rule) => drop(unused.remove(rule.name.as_str())),
            None => twice.push(format!("{name} {versions:?}")),
        }
    }
    assert!(twice.is_empty(), "{twice:?}");
    assert!(unused.is_empty(), "not needed any more: {unused:?}");
}

#[test]
fn the_crates_of_the_design_are_in_use() {
    let tree = cargo(&[
        "tree", "-p", "xtask", "-e", "normal", "--prefix", "none", "--format", "{lib}",
    ]);
    let used: BTreeSet<&str> = tree.lines().collect();
    let missing: Vec<&&str> = FOUNDATION
        .iter()
        .filter(|it| !used.contains(**it))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

//! `ci github`: the workflow is YAML, its commands are those of this program,
//! and logs there are folded.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests make checkouts and drive the real binary"
)]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;
use yaml_serde::Value;

fn checkout() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("go.mod", "module github.com/siderolabs/talos\n\ngo 1.25\n"),
        ("pkg/machinery/gendata/data/tag", "v1.12.0"),
        (
            "Makefile",
            "kernel: ## Build\n\ninitramfs:\n\ntalosctl-%:\n\nlint:\n",
        ),
    ] {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    common::git::repository(dir.path());
    dir
}

fn xtask(dir: &Path, words: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(words)
        .current_dir(dir)
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", std::env::var("PATH").unwrap())
        .output()
        .unwrap()
}

fn printed(dir: &Path, words: &[&str]) -> String {
    let output = xtask(dir, words);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn steps<'a>(workflow: &'a Value, job: &str) -> Vec<&'a str> {
    let steps = workflow["jobs"][job]["steps"].as_sequence().unwrap();
    steps
        .iter()
        .filter_map(|step| step["run"].as_str())
        .collect()
}

#[test]
fn the_workflow_runs_commands_that_this_program_has() {
    let dir = checkout();
    let output = xtask(dir.path(), &["ci", "github", "--shards", "3"]);
    assert!(output.status.success(), "{output:?}");
    // The tool is not in that checkout.
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("embed ") && said.contains("--shared"),
        "{said}"
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let workflow: Value = yaml_serde::from_str(&text).unwrap();
    let jobs = workflow["jobs"].as_mapping().unwrap();
    let names: Vec<&str> = jobs.keys().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(names, ["build", "lint", "test", "report"]);
    assert_eq!(
        workflow["jobs"]["test"]["strategy"]["matrix"]["shard"]
            .as_sequence()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(workflow["jobs"]["build"]["runs-on"][0], "ubuntu-latest");
    let page = printed(dir.path(), &["ci", "github", "--shards", "3", "--dry-run"]);
    assert!(page.lines().count() <= 24, "{page}");
    let mut checked = 0;
    for job in names {
        for line in steps(&workflow, job).iter().flat_map(|run| run.lines()) {
            let Some(words) = line.strip_prefix("cargo xtask ") else {
                continue;
            };
            assert!(page.contains(line), "{line}");
            if words == "--version" {
                continue;
            }
            let words = words.replace("${{ matrix.shard }}", "2");
            let mut words: Vec<&str> = words.split(' ').collect();
            words.push("--help");
            printed(dir.path(), &words);
            checked += 1;
        }
    }
    assert_eq!(checked, 6);
}

#[test]
fn runners_targets_and_a_remote_builder_are_settings() {
    let dir = checkout();
    fs::create_dir(dir.path().join(".cargo")).unwrap();
    let settings = "[ci]\nrunner = [\"self-hosted\", \"talos: big\"]\n\n[builder]\ndriver = \"remote\"\n\
        endpoint = \"tcp://build1:1234\"\ncacert = \"ca.pem\"\ncert = \"c.pem\"\nkey = \"k.pem\"\n\
        cache-from = [\"type=registry,ref=$HOME`id`\"]\n";
    fs::write(dir.path().join(".cargo/xtask.toml"), settings).unwrap();
    let text = printed(dir.path(), &["ci", "github", "kernel", "--shards", "1"]);
    let workflow: Value = yaml_serde::from_str(&text).unwrap();
    assert_eq!(workflow["jobs"]["lint"]["runs-on"][1], "talos: big");
    assert!(workflow["jobs"]["test"]["strategy"].is_null());
    assert!(
        steps(&workflow, "test")
            .iter()
            .any(|run| run.contains("--shard 1/1 "))
    );
    let build = steps(&workflow, "build");
    assert!(
        build
            .iter()
            .any(|run| run.trim_end() == "cargo xtask build kernel"),
        "{build:?}"
    );

    // The script makes settings that this program reads.
    let script = build.iter().find(|run| run.contains("xtask.toml")).unwrap();
    let other = checkout();
    let ran = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(other.path())
        .env("RUNNER_TEMP", other.path())
        .envs([
            ("BUILDER_CACERT", "one"),
            ("BUILDER_CERT", "two"),
            ("BUILDER_KEY", "three"),
        ])
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let written = fs::read_to_string(other.path().join(".cargo/xtask.toml")).unwrap();
    let written: toml::Table = toml::from_str(&written).unwrap();
    let builder = &written["builder"];
    assert_eq!(builder["endpoint"].as_str(), Some("tcp://build1:1234"));
    assert_eq!(
        builder["cache-from"][0].as_str(),
        Some("type=registry,ref=$HOME`id`")
    );
    let key = builder["key"].as_str().unwrap();
    assert_eq!(fs::read_to_string(key).unwrap(), "three\n");
    let again = printed(other.path(), &["ci", "github", "kernel"]);
    assert!(again.contains("tcp://build1:1234"), "{again}");

    // Committed settings come with the sources: only the secrets are written.
    common::git::repository(dir.path());
    let text = printed(dir.path(), &["ci", "github", "kernel"]);
    let committed: Value = yaml_serde::from_str(&text).unwrap();
    let build = steps(&committed, "build");
    let script = build
        .iter()
        .find(|run| run.contains("BUILDER_KEY"))
        .unwrap();
    assert!(
        !script.contains("xtask.toml") && script.contains(">k.pem"),
        "{script}"
    );

    let labels = printed(dir.path(), &["ci", "github", "--runner", "mine"]);
    assert!(labels.contains("runs-on: [\"mine\"]"), "{labels}");
    let refused = xtask(dir.path(), &["ci", "github", "kernal"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

#[test]
fn steps_are_folded_in_the_log_of_github() {
    let dir = checkout();
    for (value, is_folded) in [("true", true), ("false", false)] {
        let home = tempfile::tempdir().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(["editor", "zed"])
            .current_dir(dir.path())
            .env_clear()
            .env("HOME", home.path())
            .env("PATH", std::env::var("PATH").unwrap())
            .env("GITHUB_ACTIONS", value)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        let begins = said.matches("::group::").count();
        assert_eq!(begins, said.matches("::endgroup::").count(), "{said}");
        assert_eq!(begins > 0, is_folded, "{said}");
        fs::remove_dir_all(dir.path().join(".zed")).unwrap();
    }
}

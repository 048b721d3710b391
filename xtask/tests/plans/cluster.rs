//! Plans of `cluster`, line by line of talosctl, and what bad input does: it
//! says so and changes nothing.
#![allow(clippy::disallowed_methods, reason = "tests make their own small worlds")]

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::common::{Home, is_root, run, run_with, skip};
use crate::fake::{CIDR, arch, checkout, cluster, cluster_as_user};

const UP: [&str; 7] = ["up", "--cidr", CIDR, "--controlplanes", "1", "--workers", "1"];

/// What differs between machines and runs, by name.
fn with_placeholders(text: &str, home: &Home) -> String {
    let mut text = text.replace(home.root.as_str(), "HOME").replace(&format!("-{}", arch()), "-ARCH");
    let user = if is_root() { (65534, 65534) } else { uid_gid() };
    text = text.replace(&format!("{}:{}", user.0, user.1), "UID:GID");
    // Whether registries answer here is not the plan's doing.
    let is_local = |line: &&str| line.contains("--registry-mirror=") || line.contains("no registry and no pull-through");
    let lines: Vec<&str> = text.lines().filter(|line| !is_local(line)).collect();
    lines.join("\n") + "\n"
}

fn uid_gid() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

/// Equal to the file, or written to it with `XTASK_UPDATE=1`.
fn assert_snapshot(name: &str, text: &str) {
    let path = format!("{}/../testdata/plans/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("XTASK_UPDATE").is_some() {
        std::fs::create_dir_all(std::path::Path::new(&path).parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    } else {
        let wanted = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(text, wanted, "{path}: XTASK_UPDATE=1 cargo test --test plans rewrites it");
    }
}

#[test]
fn cluster_up_in_the_dialect_of_each_line() {
    for version in ["v1.11.5", "v1.12.1", "v1.13.0", "v1.14.0-alpha.1"] {
        let home = checkout(version);
        let line = &version[1..5];
        let said = run(&mut cluster_as_user(&home, &[&UP[..], &["--format", "json"]].concat()));
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        assert_snapshot(&format!("cluster-up-{line}.json"), &with_placeholders(&said.stdout, &home));
    }
}

#[test]
fn cluster_up_with_every_flag() {
    let home = checkout("v1.12.1");
    home.write("patch.yaml", "machine: {}\n");
    let words = [
        "up", "--name", "two", "--cidr", CIDR, "--controlplanes", "3", "--workers", "0", "--memory", "4GiB",
        "--talos-version", "v1.11", "--config-patch", "@patch.yaml", "--config-patch", "it's: \"$HOME\"",
        "--with-bootloader", "--no-wait", "--format", "json", "--", "--with-uefi=false", "--use-vip",
    ];
    let said = run(&mut cluster_as_user(&home, &words));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_snapshot("cluster-up-flags.json", &with_placeholders(&said.stdout, &home));
}

#[test]
fn cluster_up_as_a_reader_and_a_shell_see_it() {
    let home = checkout("v1.12.1");
    for (format, name) in [("human", "cluster-up.txt"), ("sh", "cluster-up.sh")] {
        let said = run(&mut cluster_as_user(&home, &[&UP[..], &["--format", format]].concat()));
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        assert_snapshot(name, &with_placeholders(&said.stdout, &home));
        if format == "sh" {
            let checked = run_with(Command::new("sh").arg("-n"), said.stdout.as_bytes());
            assert_eq!(checked.code, Some(0), "{}", checked.stderr);
        }
    }
}

#[test]
fn a_half_made_cluster_is_destroyed_by_a_plan_without_talosctl() {
    let home = half_made();
    let said = run(&mut cluster_as_user(&home, &["destroy", "--format", "json"]));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_snapshot("cluster-destroy-half-made.json", &with_placeholders(&said.stdout, &home));
}

/// As a `create` leaves it that was killed: no `state.yaml`, a pid file of
/// somebody else.
fn half_made() -> Home {
    let home = checkout("v1.12.1");
    let folder = ".talos/clusters/talos-default";
    home.write(&format!("{folder}/talos-default-controlplane-1.log"), "");
    home.write(&format!("{folder}/talos-default-controlplane-1.pid"), &std::process::id().to_string());
    home
}

#[test]
fn a_dry_run_changes_nothing_whatever_its_format() {
    let home = checkout("v1.12.1");
    let before = home.tree();
    for how in [&["--dry-run"][..], &["-n", "--format", "sh"], &["--format", "json"], &["--format", "human"]] {
        for words in [&UP[..], &["destroy"]] {
            let said = run(&mut cluster(&home, &[words, how].concat()));
            assert_eq!(said.code, Some(0), "{words:?} {how:?}: {}", said.stderr);
            assert_eq!(home.tree(), before, "{words:?} {how:?}");
        }
    }
}

#[test]
fn the_script_calls_talosctl_as_the_run_does() {
    if !is_root() {
        return skip("the_script_calls_talosctl_as_the_run_does", "its step as root needs root");
    }
    let calls = |home: &Home| std::mem::take(&mut std::fs::read_to_string(home.path("calls")).unwrap_or_default());
    let home = checkout("v1.12.1");
    let words = [&UP[..], &["--config-patch", "it's: \"$HOME\" `id`\nsecond: line", "--", "--x= y"]].concat();
    let said = run(&mut cluster(&home, &words));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let by_run = calls(&home);
    assert!(by_run.contains("--cidr=172.29.213.0/24\n") && by_run.contains("--x= y\n"), "{by_run}");
    std::fs::remove_file(home.path("calls")).unwrap();

    let dry = [&UP[..], &["--config-patch", "it's: \"$HOME\" `id`\nsecond: line", "--format", "sh", "--", "--x= y"]].concat();
    let script = run(&mut cluster(&home, &dry)).stdout;
    let said = run_with(Command::new("sh").env("HOME", &home.root).stdout(Stdio::null()), script.as_bytes());
    assert_eq!(said.code, Some(0), "{}\n{script}", said.stderr);
    assert_eq!(calls(&home), by_run);
}

/// Exit code and words of a failure that changes nothing.
fn refused(home: &Home, words: &[&str], code: i32, said_words: &[&str]) {
    let before = home.tree();
    let said = run(&mut cluster(home, words));
    assert_eq!(said.code, Some(code), "{words:?}: {}{}", said.stdout, said.stderr);
    for word in said_words {
        assert!(said.stderr.contains(word), "{words:?} does not say `{word}`:\n{}", said.stderr);
    }
    assert!(said.stderr.contains("hint: "), "{words:?} has no hint:\n{}", said.stderr);
    assert_eq!(home.tree(), before, "{words:?} changed something");
}

#[test]
fn what_cannot_be_meant_is_refused_with_a_hint() {
    let home = checkout("v1.12.1");
    refused(&home, &["up", "--controlplanes", "2"], 2, &["2 control planes"]);
    refused(&home, &["up", "--controlplanes", "0"], 2, &["control plane"]);
    refused(&home, &["up", "--name", "a/b"], 2, &["a/b"]);
    refused(&home, &["up", "--name", ".."], 2, &["`..`"]);
    refused(&home, &["up", "--name", ""], 2, &[]);
    refused(&home, &["up", "--cidr", "172.29.213.0/30"], 2, &["172.29.213.0/30"]);
    refused(&home, &["up", "--cidr", "172.29.213.0"], 2, &["172.29.213.0"]);
    refused(&home, &["up", "--cidr", "nonsense"], 2, &["nonsense"]);
    refused(&home, &["up", "--cidr", "172.29.213.0/29", "--workers", "9"], 2, &["172.29.213.0/29"]);
    refused(&home, &["up", "--memory", "much"], 2, &["`much`"]);
    refused(&home, &["up", "--memory", "10"], 2, &["`10`"]);
    refused(&home, &["logs"], 2, &["talos-default"]);
    refused(&home, &["reboot", "--all"], 2, &["talos-default"]);
    refused(&home, &["destroy", "--name", "a/b"], 2, &["a/b"]);
    let said = run(&mut cluster(&home, &["up", "--config-patch", "@nowhere.yaml"]));
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    assert!(said.stderr.contains("nowhere.yaml"), "{}", said.stderr);
}

#[test]
fn an_unknown_node_is_named_among_the_known_ones() {
    let home = half_made();
    for verb in ["logs", "reboot"] {
        refused(&home, &[verb, "worker-9"], 2, &["`worker-9`", "talos-default-controlplane-1"]);
    }
}

#[test]
fn half_a_cluster_is_told_from_a_whole_one_and_from_none() {
    let home = half_made();
    refused(&home, &["up"], 3, &["half made", "cluster destroy --name talos-default"]);
    let before = home.tree();
    let said = run(&mut cluster(&home, &["status", "--json"]));
    let status: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(status["cluster"]["state"], "partial");
    assert_eq!(status["nodes"][0]["state"], "down");
    let said = run(&mut cluster(&home, &["list"]));
    assert!(said.stdout.contains("partial"), "{}", said.stdout);
    // What is written by halves is no state either.
    let yaml = home.write(".talos/clusters/talos-default/state.yaml", "provisionername: qemu\nbridgename: ta");
    for text in ["provisionername: qemu\nbridgename: ta", "", "\u{0}\u{0}", "- {", "a: b"] {
        std::fs::write(&yaml, text).unwrap();
        let said = run(&mut cluster(&home, &["status", "--json"]));
        let status: Value = serde_json::from_str(&said.stdout).unwrap();
        assert_eq!(said.code, Some(0));
        assert_eq!(status["cluster"]["state"], "partial", "{text:?}");
    }
    std::fs::remove_file(yaml).unwrap();
    assert_eq!(home.tree(), before);
}

#[test]
fn everything_that_is_missing_is_told_at_once() {
    let home = checkout("v1.12.1");
    std::fs::remove_dir_all(home.path("talos/_out")).unwrap();
    let targets = ["make kernel", "make initramfs", "kernel initramfs talosctl"];
    let mut command = cluster(&home, &UP);
    let said = run(command.env("PATH", "/nowhere"));
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(targets[..2].iter().all(|words| said.stderr.contains(&words.replace("make ", "`make "))), "{}", said.stderr);
    assert!(said.stderr.contains(targets[2]), "{}", said.stderr);
}

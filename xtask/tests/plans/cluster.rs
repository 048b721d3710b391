//! Plans of `cluster`, line by line of talosctl, as files that are read.
#![allow(
    clippy::disallowed_methods,
    reason = "tests make their own small worlds"
)]

use std::process::{Command, Stdio};

use crate::common::{Home, assert_golden, is_root, run, run_with, skip};
use crate::fake::{CIDR, UP, arch, checkout, cluster, cluster_as_user, half_made};

/// What differs between machines and runs, by name.
fn with_placeholders(text: &str, home: &Home) -> String {
    let mut text = text
        .replace(home.root.as_str(), "HOME")
        .replace(&format!("-{}", arch()), "-ARCH");
    let user = if is_root() { (65534, 65534) } else { uid_gid() };
    text = text.replace(&format!("{}:{}", user.0, user.1), "UID:GID");
    // Whether registries answer here is not the plan's doing.
    let is_local = |line: &&str| {
        line.contains("--registry-mirror=") || line.contains("no registry and no pull-through")
    };
    let lines: Vec<&str> = text.lines().filter(|line| !is_local(line)).collect();
    lines.join("\n") + "\n"
}

fn uid_gid() -> (u32, u32) {
    (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    )
}

fn assert_snapshot(name: &str, text: &str) {
    let path = format!("{}/../testdata/plans/{name}", env!("CARGO_MANIFEST_DIR"));
    assert_golden(&path, text);
}

#[test]
fn cluster_up_in_the_dialect_of_each_line() {
    for version in ["v1.11.5", "v1.12.1", "v1.13.0", "v1.14.0-alpha.1"] {
        let home = checkout(version);
        let line = &version[1..5];
        let said = run(&mut cluster_as_user(
            &home,
            &[&UP[..], &["--format", "json"]].concat(),
        ));
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        assert_snapshot(
            &format!("cluster-up-{line}.json"),
            &with_placeholders(&said.stdout, &home),
        );
    }
}

#[test]
fn cluster_up_with_every_flag() {
    let home = checkout("v1.12.1");
    home.write("patch.yaml", "machine: {}\n");
    let words = [
        "up",
        "--name",
        "two",
        "--cidr",
        CIDR,
        "--controlplanes",
        "3",
        "--workers",
        "0",
        "--memory",
        "4GiB",
        "--talos-version",
        "v1.11",
        "--config-patch",
        "@patch.yaml",
        "--config-patch",
        "it's: \"$HOME\"",
        "--with-bootloader",
        "--no-wait",
        "--format",
        "json",
        "--",
        "--with-uefi=false",
        "--use-vip",
    ];
    let said = run(&mut cluster_as_user(&home, &words));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_snapshot(
        "cluster-up-flags.json",
        &with_placeholders(&said.stdout, &home),
    );
}

#[test]
fn cluster_up_as_a_reader_and_a_shell_see_it() {
    let home = checkout("v1.12.1");
    for (format, name) in [("human", "cluster-up.txt"), ("sh", "cluster-up.sh")] {
        let said = run(&mut cluster_as_user(
            &home,
            &[&UP[..], &["--format", format]].concat(),
        ));
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
    if is_root() {
        // The user's own, as talosctl under sudo leaves it.
        let nobody = Some(65534);
        std::os::unix::fs::chown(home.path(".talos"), nobody, nobody).unwrap();
    }
    let said = run(&mut cluster_as_user(
        &home,
        &["destroy", "--format", "json"],
    ));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let mut plan: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    // Only some users may look at the packet filter.
    let notes = plan["notes"].as_array_mut().unwrap();
    notes.retain(|note| {
        !note
            .as_str()
            .unwrap()
            .starts_with("not looked at: only root")
    });
    assert_snapshot(
        "cluster-destroy-half-made.json",
        &with_placeholders(&format!("{plan:#}"), &home),
    );
}

#[test]
fn a_dry_run_changes_nothing_whatever_its_format() {
    let home = checkout("v1.12.1");
    let before = home.tree();
    for how in [
        &["--dry-run"][..],
        &["-n", "--format", "sh"],
        &["--format", "json"],
        &["--format", "human"],
    ] {
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
        return skip(
            "the_script_calls_talosctl_as_the_run_does",
            "its step as root needs root",
        );
    }
    let calls = |home: &Home| {
        std::mem::take(&mut std::fs::read_to_string(home.path("calls")).unwrap_or_default())
    };
    let home = checkout("v1.12.1");
    let words = [
        &UP[..],
        &[
            "--config-patch",
            "it's: \"$HOME\" `id`\nsecond: line",
            "--",
            "--x= y",
        ],
    ]
    .concat();
    let said = run(&mut cluster(&home, &words));
    // 1: this talosctl makes no cluster, and none runs.
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let by_run = calls(&home);
    assert!(
        by_run.contains("--cidr=172.29.213.0/24\n") && by_run.contains("--x= y\n"),
        "{by_run}"
    );
    std::fs::remove_file(home.path("calls")).unwrap();

    let dry = [
        &UP[..],
        &[
            "--config-patch",
            "it's: \"$HOME\" `id`\nsecond: line",
            "--format",
            "sh",
            "--",
            "--x= y",
        ],
    ]
    .concat();
    let script = run(&mut cluster(&home, &dry)).stdout;
    let said = run_with(
        Command::new("sh")
            .env("HOME", &home.root)
            .stdout(Stdio::null()),
        script.as_bytes(),
    );
    assert_eq!(said.code, Some(0), "{}\n{script}", said.stderr);
    assert_eq!(calls(&home), by_run);
}

//! Real denials on their way: a kernel of the lab under a policy of our own, talosctl,
//! `selinux denials`, `why` and `allow`.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::common::go;
use crate::in_lab::Lab;
use serde_json::Value;

const POLICY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/selinux/policy.33");
/// Lets the stand-in do everything where it is enforced.
const OPEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/selinux/open.33");

const INTEGRATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/gotest/integration");

/// Labelled processes of Talos itself, under its own policy.
const REAL: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/testdata/selinux/real-talos-1.13-auditd.log"
);

#[test]
fn denials_of_talos_itself_have_their_cause() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["selinux", "denials", REAL])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "sys_containerd_t → tmpfs_t file { execute execute_no_trans }",
        "pod_containerd_t → tmpfs_t file { execute execute_no_trans }",
        "is a file in memory (memfd_create)",
        "2 groups, 6 denials",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

/// An entry of a cpio archive in the format `newc`.
fn entry(name: &str, contents: &[u8], mode: u32) -> Vec<u8> {
    let size = u32::try_from(contents.len()).unwrap();
    let name_size = u32::try_from(name.len() + 1).unwrap();
    let mut out = b"070701".to_vec();
    for field in [0, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0] {
        out.extend(format!("{field:08x}").bytes());
    }
    out.extend(name.bytes());
    out.push(0);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend(contents);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

/// What the stand-in's init loads instead of the policy that Talos has compiled in.
fn overlay(policy: &str) -> Vec<u8> {
    let policy = std::fs::read(policy).unwrap();
    [
        entry("usr", b"", 0o40_755),
        entry("usr/share", b"", 0o40_755),
        entry("usr/share/lab", b"", 0o40_755),
        entry("usr/share/lab/policy", &policy, 0o100_644),
        entry("TRAILER!!!", b"", 0),
    ]
    .concat()
}

/// Appends the policy to the initramfs, which the kernel unpacks over what is before it.
fn boot_with_policy(lab: &Lab, policy: &str) {
    let file = lab
        .command(&[])
        .get_current_dir()
        .unwrap()
        .join("overlay.cpio");
    std::fs::write(&file, overlay(policy)).unwrap();
    // The kernel looks for another archive at a multiple of 4.
    lab.sh(&format!(
        "cd _out && while [ $(($(wc -c <initramfs-amd64.xz) % 4)) -ne 0 ]; do printf '\\0' >>initramfs-amd64.xz; done && cat {} >>initramfs-amd64.xz",
        file.display()
    ));
}

#[test]
fn denials_of_a_node_go_the_whole_way() {
    let Some(lab) = Lab::own("denials_of_a_node_go_the_whole_way") else {
        return;
    };
    let up = lab.xtask(&["lab", "up", "--yes"]);
    assert!(
        up.status.success(),
        "{}",
        String::from_utf8_lossy(&up.stderr)
    );
    boot_with_policy(&lab, POLICY);
    // The arguments of the lab, and `audit=1`: records have their SYSCALL.
    let arguments = "--extra-boot-kernel-args=lsm=lockdown,yama,integrity,selinux,bpf enforcing=0 pti=off \
        init_on_alloc=0 mitigations=off talos.dashboard.disabled=1 audit=1";
    lab.ok(&[
        "cluster",
        "up",
        "--controlplanes",
        "1",
        "--workers",
        "0",
        "--",
        arguments,
    ]);

    let state = lab.ok(&["selinux", "state"]);
    assert_eq!(state, "talos-default-controlplane-1  enabled, permissive\n");

    let ask = |verb: &str, code: i32| -> Value {
        let words = [
            "--lab",
            "selinux",
            verb,
            "--node",
            "controlplane-1",
            "--policy",
            POLICY,
            "--json",
        ];
        let output = lab.xtask(&words);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{verb}: {stderr}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let report = ask("denials", 1);
    let log = &report["log"];
    // What auditd did not read yet is only in the kernel's log, and some is in both.
    assert!(log["duplicates"].as_u64().unwrap() > 0, "{log}");
    assert_eq!(log["boots"], 1, "{log}");
    assert_eq!(log["nodes"][0], "talos-default-controlplane-1");
    let groups = report["groups"].as_array().unwrap();
    let has = |class: &str, permission: &str| {
        groups.iter().any(|group| {
            let permissions = group["permissions"].as_array().unwrap();
            group["class"] == class && permissions.iter().any(|it| it["permission"] == permission)
        })
    };
    assert!(
        has("dir", "search") && has("process", "getsched"),
        "{report}"
    );

    let why = ask("why", 1);
    let dirs = why["groups"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["class"] == "dir")
        .unwrap();
    let verdict = |permission: &str| {
        let verdicts = dirs["verdicts"].as_array().unwrap();
        verdicts
            .iter()
            .find(|it| it["permission"] == permission)
            .unwrap()["verdict"]
            .clone()
    };
    assert_eq!(verdict("search"), "no-rule");
    // This kernel has a permission that the policy does not know.
    assert_eq!(verdict("mounton"), "unknown-permission");

    let allow = ask("allow", 1);
    let rules = allow["rules"].as_array().unwrap();
    let offered: Vec<&str> = rules.iter().filter_map(|it| it["rule"].as_str()).collect();
    let mount = "(allow init_t unlabeled_t (filesystem (mount)))";
    assert!(offered.contains(&mount), "{offered:?}");
    assert!(
        rules
            .iter()
            .any(|it| it["rule"].is_null() && it["why_none"].is_string()),
        "{allow}"
    );
    let is_complete = log["complete"].as_bool().unwrap();
    tests_fail_on_denials_that_are_not_accepted(&lab, groups, is_complete);
    following_goes_on_after_a_reboot(&lab);
    enforcing_is_verified(&lab);
}

/// A suite that passes, against a node with denials.
fn tests_fail_on_denials_that_are_not_accepted(lab: &Lab, groups: &[Value], is_complete: bool) {
    let checkout = tempfile::tempdir().unwrap();
    go::copy(INTEGRATION, checkout.path());
    let tags = "integration,integration_api";
    go::compile_integration(checkout.path(), "integration.test", tags);
    let baseline = checkout.path().join("accepted.toml");
    let run = |code: i32| {
        let dir = checkout.path().to_str().unwrap();
        let words = [
            "--lab",
            "-C",
            dir,
            "test",
            "integration",
            "api.VersionSuite",
        ];
        let file = ["--selinux-baseline", baseline.to_str().unwrap()];
        let output = lab.xtask(&[&words[..], &file].concat());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}{stderr}");
        said
    };
    let entry = |group: &Value, permission: &Value| {
        let text = |key: &str| group[key].as_str().unwrap();
        format!(
            "[[denial]]\nsource = \"{}\"\ntarget = \"{}\"\nclass = \"{}\"\npermission = {permission}\n\
             owner = \"lab\"\nreason = \"no label\"\nexpires = \"2999-12-31\"\n",
            text("source_type"),
            text("target_type"),
            text("class")
        )
    };
    let entries: Vec<String> = groups
        .iter()
        .flat_map(|group| {
            let permissions = group["permissions"].as_array().unwrap();
            permissions.iter().map(|it| entry(group, &it["permission"]))
        })
        .collect();
    std::fs::write(&baseline, entries[1..].concat()).unwrap();
    let said = run(1);
    assert!(said.contains("ok   api.VersionSuite"), "{said}");
    assert!(said.contains("not in the baseline"), "{said}");

    // All are accepted. Records that are missing are a failure of their own.
    std::fs::write(&baseline, entries.concat()).unwrap();
    let said = run(if is_complete { 0 } else { 6 });
    assert!(!said.contains("not in the baseline"), "{said}");
}

fn following_goes_on_after_a_reboot(lab: &Lab) {
    let words = ["--lab", "selinux", "denials", "--node", "controlplane-1"];
    let mut command =
        lab.command(&[&words[..], &["--policy", POLICY, "--follow", "--json"]].concat());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut events = lines.map(|line| -> Value { serde_json::from_str(&line.unwrap()).unwrap() });
    let search = |event: &Value| {
        let permissions = event["group"]["permissions"].as_array();
        let has_search =
            permissions.is_some_and(|all| all.iter().any(|it| it["permission"] == "search"));
        event["group"]["class"] == "dir" && has_search
    };
    let first = events.find(search).unwrap();
    assert_eq!(first["event"], "new", "{first}");
    lab.ok(&["cluster", "reboot", "controlplane-1"]);
    // The same denials of the next boot.
    let same = |event: &Value| {
        let keys = ["source", "target", "class"];
        keys.iter()
            .all(|key| event["group"][key] == first["group"][key])
    };
    let again = events.find(same).unwrap();
    assert_eq!(again["event"], "more", "{again}");
    let count = |event: &Value| event["group"]["count"].as_u64().unwrap();
    assert!(count(&again) > count(&first), "{first} {again}");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let end = events.last().unwrap();
    assert_eq!(end["event"], "end", "{end}");
    assert_eq!(end["log"]["nodes"][0], "talos-default-controlplane-1");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

/// The running cluster is permissive; another one enforces and has its records on the console.
fn enforcing_is_verified(lab: &Lab) {
    let one = ["--controlplanes", "1", "--workers", "0"];
    let said = lab.xtask(&[&["--lab", "cluster", "up", "--enforcing"][..], &one].concat());
    let stderr = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(1), "{stderr}");
    let cause = "talos-default-controlplane-1: it booted without the kernel arguments enforcing=1";
    assert!(stderr.contains(cause), "{stderr}");
    lab.ok(&["cluster", "destroy", "--yes"]);

    boot_with_policy(lab, OPEN);
    lab.ok(&[
        "cluster",
        "up",
        "--enforcing",
        "--selinux-debug",
        "--controlplanes",
        "1",
        "--workers",
        "0",
        "--",
        "--extra-boot-kernel-args=lsm=lockdown,yama,integrity,selinux,bpf enforcing=0 pti=off init_on_alloc=0 \
        mitigations=off talos.dashboard.disabled=1",
    ]);
    let state = lab.ok(&["selinux", "state"]);
    assert_eq!(state, "talos-default-controlplane-1  enabled, enforcing\n");
    // Without auditd the kernel writes its records to the console.
    let console = lab.ok(&["cluster", "logs"]);
    assert!(console.contains("audit: type=1403 audit("), "{console}");
    lab.ok(&["cluster", "destroy", "--yes"]);
}

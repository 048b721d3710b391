//! Talos itself in the lab: made by `talosctl cluster create`, with Kubernetes from
//! the lab's own images. One node boots twice, and what the stand-in is trusted
//! for is looked at on the real one.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests make their own small worlds"
)]

mod common;
mod in_lab;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

use in_lab::Lab;
use in_lab::talos::{self, until_right};
use serde_json::Value;

const NODE: &str = "talos-default-controlplane-1";
const ADDRESS: &str = "172.20.0.2";

type Look = (&'static str, fn(&Lab));

/// What is looked at, in this order; a failure does not end the test, because a
/// boot takes minutes.
const LOOKS: [Look; 10] = [
    ("the lab says what its nodes run", what_nodes_run),
    ("status and explain agree that all is well", healthy),
    ("Talos runs its own services", services),
    ("Kubernetes is ready", kubernetes),
    ("it answers as was recorded", answers),
    ("the console has the phases of the stand-in", phases),
    (
        "profiles are those of the node's processes",
        talos::profiles_are_of_its_processes,
    ),
    ("profiles are shown as Go shows them", as_go_shows_them),
    ("Talos' policy labels its processes", selinux),
    ("a reboot is proved by the console", reboot),
];

#[test]
fn real_talos_from_its_creation_to_its_end() {
    let Some(lab) = Lab::alone("real_talos_from_its_creation_to_its_end") else {
        return;
    };
    talos::create_cluster(&lab);
    let failed: Vec<&str> = LOOKS
        .iter()
        .filter(|(name, look)| {
            eprintln!("look: {name}");
            catch_unwind(AssertUnwindSafe(|| look(&lab))).is_err()
        })
        .map(|(name, _)| *name)
        .collect();
    lab.ok(&["cluster", "destroy", "--yes"]);
    assert_eq!(status(&lab)["cluster"]["state"], "absent");
    assert!(failed.is_empty(), "failed: {failed:?}");
}

/// As in Docker: without disks, modules or udev. Kubernetes is not waited for.
#[test]
fn talos_in_container_mode() {
    let Some(lab) = Lab::alone("talos_in_container_mode") else {
        return;
    };
    let started = lab.xtask(&["lab", "up", "--nodes", "real"]);
    let stderr = String::from_utf8_lossy(&started.stderr);
    assert!(started.status.success(), "{stderr}");
    let mode = "--extra-boot-kernel-args=PLATFORM=container";
    lab.ok(&["cluster", "up", "--no-wait", "--", mode]);
    talos::services_are_well(&lab, ADDRESS, talos::SERVICES);
    let platform = lab.ok(&["talosctl", "--", "get", "platformmetadata", "-o", "json"]);
    let platform: Value = serde_json::from_str(&platform).unwrap();
    assert_eq!(platform["spec"]["platform"], "container", "{platform:#}");
    talos::profiles_are_of_its_processes(&lab);
    let console = lab.ok(&["cluster", "logs", NODE]);
    // With a date before each.
    for line in [
        "phase machined (1/2)",
        "phase config (2/2)",
        "phase sharedFilesystems (5/8)",
        "phase startEverything (8/8)",
    ] {
        assert!(console.contains(line), "`{line}` is not in the console");
    }
    lab.ok(&["cluster", "destroy", "--yes"]);
    assert_eq!(status(&lab)["cluster"]["state"], "absent");
}

fn status(lab: &Lab) -> Value {
    let output = lab.xtask(&["--lab", "cluster", "status", "--json"]);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn what_nodes_run(lab: &Lab) {
    let output = lab.xtask(&["lab", "status", "-v"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "its nodes run Talos v1.13.0 with",
        "replaced:",
        "siderolabs/coredns",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let refused = lab.xtask(&["--lab=stand-in", "cluster", "status"]);
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("run Talos itself"), "{stderr}");
}

fn healthy(lab: &Lab) {
    until_right(|| {
        let status = status(lab);
        let explained = lab.said(&["cluster", "explain"])?;
        let is_well = status["cluster"]["state"] == "running" && explained.contains("no fault");
        let seen = || format!("{status:#}\n{explained}");
        is_well.then_some(()).ok_or_else(seen)
    });
    assert_eq!(status(lab)["cluster"]["stand_in"], false);
}

fn services(lab: &Lab) {
    let of_metal = ["auditd", "etcd", "kubelet", "udevd"];
    talos::services_are_well(lab, ADDRESS, &[talos::SERVICES, &of_metal].concat());
}

fn kubernetes(lab: &Lab) {
    until_right(|| {
        let nodes = lab.said(&["kubectl", "--", "get", "nodes", "--no-headers"])?;
        let words: Vec<&str> = nodes.split_whitespace().collect();
        let is_ready = words.starts_with(&[NODE, "Ready"]).then_some(());
        is_ready.ok_or(nodes)
    });
    // The kubelet reports its static pods a while after they run.
    let apps = [
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
    ];
    let control_plane = apps.map(|app| format!("pod/{app}-{NODE}"));
    let mut wait = vec!["kubectl", "--", "wait", "-n", "kube-system"];
    wait.extend(["--for=create", "--for=condition=Ready", "--timeout=10m"]);
    wait.extend(control_plane.iter().map(String::as_str));
    lab.ok(&wait);
    let pods = lab.ok(&["kubectl", "--", "get", "pods", "-A", "--no-headers"]);
    for pod in apps {
        let line = pods
            .lines()
            .find(|line| line.contains(pod))
            .unwrap_or_default();
        assert!(
            line.contains("1/1") && line.contains("Running"),
            "{pod}:\n{pods}"
        );
    }
}

/// What the stand-in is compared with is what Talos answers.
fn answers(lab: &Lab) {
    let answers = in_lab::answers::ask(lab);
    if std::env::var_os("XTASK_UPDATE").is_some() {
        in_lab::answers::record(&answers);
    }
    let differences = in_lab::answers::differences(&in_lab::answers::recorded(), &answers);
    assert!(differences.is_empty(), "{differences:#?}");
}

/// What `logs`, `status` and `reboot` read from a console.
fn phases(lab: &Lab) {
    let console = lab.ok(&["cluster", "logs", NODE]);
    for line in [
        "[talos] initialize sequence: ",
        "[talos] phase systemRequirements (1/",
        "[talos] boot sequence: ",
        "[talos] phase startEverything (",
        "[talos] boot sequence: done",
    ] {
        assert!(console.contains(line), "`{line}` is not in the console");
    }
}

/// The same file in Go's own tool. The node's functions are in its profile.
fn as_go_shows_them(lab: &Lab) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    until_right(|| {
        lab.said(&["pprof", "machined", "heap", "--all-nodes", "--dir", folder])
            .map(drop)
    });
    let files = glob::glob(&format!("{folder}/**/*.pb.gz")).unwrap();
    let files: Vec<_> = files.map(Result::unwrap).collect();
    let [file] = &files[..] else {
        panic!("one node, so one profile: {files:?}");
    };
    let file = file.to_str().unwrap();
    for form in ["top", "peek=.*", "traces"] {
        let (name, value) = form.split_once('=').unwrap_or((form, ""));
        let long = format!("--{name}");
        let mut words = vec!["pprof", "open", file, &long];
        words.extend((!value.is_empty()).then_some(value));
        let ours = lab.xtask(&words);
        let go = Command::new("go")
            .args(["tool", "pprof", &format!("-{form}"), file])
            .output()
            .unwrap();
        assert!(ours.status.success() && go.status.success(), "{form}");
        assert_eq!(
            String::from_utf8_lossy(&ours.stdout),
            String::from_utf8_lossy(&go.stdout),
            "{form}"
        );
        assert!(!ours.stdout.is_empty(), "{form}");
    }
}

fn selinux(lab: &Lab) {
    let state = lab.ok(&["talosctl", "--", "get", "securitystate", "-o", "json"]);
    let state: Value = serde_json::from_str(&state).unwrap();
    assert_eq!(
        state["spec"]["selinuxState"], "enabled, permissive",
        "{state:#}"
    );
    // runc of Debian runs from a memory file, which Talos' own does not.
    let audit = lab.ok(&["talosctl", "--", "logs", "auditd"]);
    let is_denial =
        |line: &str| line.contains("avc:  denied") && line.contains("scontext=system_u:system_r:");
    assert!(audit.lines().any(is_denial), "{audit}");
    let processes = lab.ok(&["talosctl", "--", "processes"]);
    for (label, command) in [
        ("system_u:system_r:init_t:s0", "/sbin/init"),
        ("system_u:system_r:apid_t:s0", "/apid"),
    ] {
        let is_labelled = |line: &str| line.contains(label) && line.contains(command);
        assert!(processes.lines().any(is_labelled), "{label}:\n{processes}");
    }
}

fn reboot(lab: &Lab) {
    let before = lab.ok(&["talosctl", "--", "read", "/proc/sys/kernel/random/boot_id"]);
    lab.ok(&["cluster", "reboot", NODE, "--timeout", "20m"]);
    let after = lab.ok(&["talosctl", "--", "read", "/proc/sys/kernel/random/boot_id"]);
    assert_ne!(before, after);
    assert_eq!(status(lab)["cluster"]["state"], "running");
}

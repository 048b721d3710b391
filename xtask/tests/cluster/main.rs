//! Clusters on real parts: talosctl, QEMU and the stand-in node, in a lab of the
//! test's own. One lab and one boot serve many assertions: boots are slow.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests make their own small worlds"
)]

mod clean;
mod clients;
#[path = "../common/mod.rs"]
mod common;
mod faults;
#[path = "../in_lab/mod.rs"]
mod in_lab;
mod kills;
mod profiles;
mod start;
mod user;

use std::process::Stdio;

use in_lab::{Lab, Owner, TALOSCTL};
use serde_json::Value;

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");

/// What a cluster could leave on the host, one thing per line.
const INVENTORY: &str = "ip -brief link | cut -d' ' -f1; ls /run/netns 2>/dev/null; \
    iptables -S; iptables -t nat -S; find ~/.talos/clusters ~/.talos/cni/cache/results -mindepth 1 2>/dev/null; ls ~/.talos/config ~/.kube/config 2>/dev/null; ls ~/.local/state/talos-xtask/clusters 2>/dev/null; \
    ls /dev/shm/shm-* 2>/dev/null; pgrep -l 'qemu|talosctl' | cut -d' ' -f2; true";

/// Its exit code is 1 unless the cluster runs.
fn status(lab: &Lab) -> Value {
    let output = lab.xtask(&["--lab", "cluster", "status", "--json"]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    let is_running = status["cluster"]["state"] == "running";
    assert_eq!(
        output.status.code(),
        Some(i32::from(!is_running)),
        "{status}"
    );
    status
}

fn state(lab: &Lab) -> String {
    status(lab)["cluster"]["state"].as_str().unwrap().to_owned()
}

#[test]
fn the_guides_day_with_a_cluster() {
    let Some(lab) = Lab::own("the_guides_day_with_a_cluster") else {
        return;
    };
    let before = lab.sh(INVENTORY);
    assert_eq!(state(&lab), "absent");

    lab.ok(&["cluster"]);
    let seen = status(&lab);
    assert_eq!(seen["schema"], 1);
    assert_eq!(seen["cluster"]["state"], "running");
    assert_eq!(seen["cluster"]["cidr"], "172.20.0.0/24");
    assert_eq!(seen["cluster"]["talos"], "v1.12.0");
    let nodes = seen["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 2);
    for (node, (ip, role)) in nodes
        .iter()
        .zip([("172.20.0.2", "controlplane"), ("172.20.0.3", "worker")])
    {
        assert_eq!(
            (node["ip"].as_str(), node["role"].as_str()),
            (Some(ip), Some(role))
        );
        assert_eq!(node["state"], "ready");
        assert!(node["boot_seconds"].as_f64().unwrap() > 0.5);
        assert!(node["pid"].as_i64().unwrap() > 1);
    }
    talosctl_works(&lab);
    it_answers_as_talos_does(&lab);
    profiles::come_from_all_nodes(&lab);
    consoles_merge(&lab);
    reboots_are_proven(&lab);
    bad_input_changes_nothing(&lab);

    // The plan as a script does what the command does.
    let script = lab.ok(&["cluster", "destroy", "--dry-run", "--format", "sh"]);
    assert_eq!(state(&lab), "running", "a dry run changes nothing");
    lab.sh(&script);
    assert_eq!(lab.sh(INVENTORY), before);

    let script = lab.ok(&["cluster", "up", "--dry-run", "--format", "sh", "--no-wait"]);
    assert_eq!(lab.sh(INVENTORY), before, "a dry run changes nothing");
    lab.sh(&script);
    assert_ne!(state(&lab), "absent");
    lab.ok(&["cluster", "destroy", "--yes"]);
    assert_eq!(lab.sh(INVENTORY), before);
    lab.ok(&["cluster", "destroy", "--yes"]);
}

fn talosctl_works(lab: &Lab) {
    let talosctl = |words: &[&str]| lab.ok(&[&["talosctl", "--"], words].concat());
    // Without `-n` it is about the first control plane.
    assert!(talosctl(&["version"]).contains("v1.12.0"));
    assert!(talosctl(&["dmesg"]).contains("Linux version"));
    assert!(talosctl(&["get", "securitystate", "-o", "json"]).contains("SecurityState"));
    let worker = ["-n", "172.20.0.3", "read", "/proc/version"];
    assert!(talosctl(&worker).contains("Linux version"));
    assert!(talosctl(&["config", "info"]).contains("talos-default"));
    // The exit code is its own.
    let failed = lab.xtask(&["--lab", "talosctl", "read", "/no/such/file"]);
    assert_eq!(failed.status.code(), Some(1));
    the_shell_gets_the_same(lab);
    let heap = lab.sh("curl -fsS http://172.20.0.2:9982/debug/pprof/heap?debug=1 | head -n 1");
    assert!(heap.starts_with("heap profile:"), "{heap}");
}

/// Errors that callers distinguish, headers of tables, and resources that are read.
fn it_answers_as_talos_does(lab: &Lab) {
    let talos = in_lab::answers::recorded();
    let differences = in_lab::answers::differences(&talos, &in_lab::answers::ask(lab));
    assert!(differences.is_empty(), "{differences:#?}");
}

/// `cluster env` in a shell; the user's own files stay away.
fn the_shell_gets_the_same(lab: &Lab) {
    let env = lab.ok(&["cluster", "env"]);
    assert_eq!(env, lab.ok(&["cluster", "env", "--shell", "sh"]));
    let script = format!("{env}\ntalosctl version; grep -c admin@talos-default $KUBECONFIG");
    let said = lab.sh(&script);
    assert!(
        said.contains("172.20.0.2") && said.contains("v1.12.0"),
        "{said}"
    );
    assert!(
        lab.ok(&["cluster", "env", "--shell", "fish"])
            .contains("set -gx TALOSCONFIG '")
    );
    lab.sh("test ! -e ~/.talos/config && test ! -e ~/.kube/config");
}

fn consoles_merge(lab: &Lab) {
    let logs = lab.ok(&["cluster", "logs"]);
    for node in ["talos-default-controlplane-1", "talos-default-worker-1"] {
        let ready =
            |line: &&str| line.contains(node) && line.contains("machine is running and ready");
        assert_eq!(logs.lines().filter(ready).count(), 1, "{node}");
    }
    let times: Vec<&str> = logs
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(times.is_sorted(), "lines are in the order of time");
    let few = lab.ok(&["cluster", "logs", "-n", "3", "worker-1"]);
    assert_eq!(few.lines().count(), 3);
    assert!(
        few.lines()
            .all(|line| line.contains("talos-default-worker-1"))
    );
}

fn reboots_are_proven(lab: &Lab) {
    let pid = |seen: &Value, node: usize| seen["nodes"][node]["pid"].as_i64().unwrap();
    let boot_id = format!("{TALOSCTL} -n 172.20.0.3 read /proc/sys/kernel/random/boot_id");
    let (before, id_before) = (status(lab), lab.sh(&boot_id));
    let proof: Value =
        serde_json::from_str(&lab.ok(&["cluster", "reboot", "worker-1", "--json"])).unwrap();
    let node = &proof["nodes"][0];
    assert_eq!(node["name"], "talos-default-worker-1");
    assert!(node["ready"].as_f64().unwrap() > 0.5 && node["phases"].as_array().unwrap().len() > 2);
    let after = status(lab);
    assert_eq!(
        pid(&before, 0),
        pid(&after, 0),
        "the other node was left alone"
    );
    assert_ne!(pid(&before, 1), pid(&after, 1));
    assert_ne!(
        id_before,
        lab.sh(&format!(
            "for i in $(seq 50); do {boot_id} && break; sleep 0.2; done 2>/dev/null"
        ))
    );
}

fn bad_input_changes_nothing(lab: &Lab) {
    let before = lab.sh(INVENTORY);
    assert!(
        lab.fails(2, &["cluster", "reboot", "nope"])
            .contains("talos-default-worker-1")
    );
    assert!(
        lab.fails(2, &["cluster", "up", "--name", "a/b"])
            .contains("hint:")
    );
    assert!(
        lab.fails(
            2,
            &["cluster", "up", "--name", "b", "--cidr", "172.21.0.0/31"]
        )
        .contains("hint:")
    );
    assert!(
        lab.fails(2, &["cluster", "up", "--name", "b", "--controlplanes", "2"])
            .contains("majority")
    );
    // The same network as the cluster that is up (T10).
    assert!(
        lab.fails(
            3,
            &["cluster", "up", "--name", "b", "--cidr", "172.20.0.0/24"]
        )
        .contains("--cidr 172.20.1.0/24")
    );
    assert_eq!(lab.sh(INVENTORY), before);
}

/// talosctl says success here (T6).
#[test]
fn a_qemu_that_dies_at_once_is_a_failure_with_the_consoles_words() {
    let Some(lab) = Lab::own("a_qemu_that_dies_at_once") else {
        return;
    };
    let before = lab.sh(INVENTORY);
    lab.sh("head -c 100000 /dev/urandom > ~/bad-kernel");
    let stderr = lab.fails(
        5,
        &[
            "cluster",
            "up",
            "--",
            "--vmlinuz-path=../bad-kernel",
            "--initrd-path=_out/initramfs-amd64.xz",
        ],
    );
    assert!(
        stderr.contains("died while the cluster was starting"),
        "{stderr}"
    );
    assert!(
        stderr.contains("process exited with error"),
        "the console's tail is shown: {stderr}"
    );
    lab.ok(&["cluster", "destroy", "--yes"]);
    assert_eq!(lab.sh(INVENTORY), before);
}

/// The launcher starts a node that panics again and again.
#[test]
fn a_node_that_panics_at_every_boot_is_not_waited_for() {
    let Some(lab) = Lab::own("a_node_that_panics_at_every_boot") else {
        return;
    };
    let stderr = lab.fails(
        5,
        &[
            "cluster",
            "up",
            "--workers",
            "0",
            "--",
            "--extra-boot-kernel-args=lab.fault=kernel-panic",
        ],
    );
    assert!(stderr.contains("died 3 times while booting"), "{stderr}");
    assert!(stderr.contains("panic"), "{stderr}");
    lab.ok(&["cluster", "destroy", "--yes"]);
}

/// Moments by what is there, not by the clock: machines differ.
const MOMENTS: [&str; 10] = [
    "true",
    "test -s ~/.local/state/talos-xtask/ledger.jsonl",
    "test -d ~/.talos/clusters/talos-default",
    "ip -brief link | grep -q ^talos",
    "test -e ~/.talos/clusters/talos-default/lb.pid",
    "test -e ~/.talos/clusters/talos-default/talos-default-controlplane-1.config",
    "ls /run/netns | grep -q cnitest",
    "test -e ~/.talos/clusters/talos-default/talos-default-worker-1.monitor",
    "test -e ~/.talos/clusters/talos-default/state.yaml",
    "grep -qs 'Linux version' ~/.talos/clusters/talos-default/talos-default-controlplane-1.log",
];

#[test]
fn killed_at_any_moment_of_up_destroy_leaves_nothing() {
    for lab in Lab::of_each("killed_at_any_moment_of_up", [Owner::User, Owner::Root]) {
        killed_at_each_moment(&lab);
    }
}

fn killed_at_each_moment(lab: &Lab) {
    let (before, xtask) = (lab.sh(INVENTORY), lab.binary());
    for moment in MOMENTS {
        lab.user_sh(&format!(
            "{xtask} cluster up >~/up.log 2>&1 & up=$!; for i in $(seq 2000); do ({moment}) 2>/dev/null && break; sleep 0.005; done; \
             kill -9 $up; wait $up || true"
        ));
        lab.ok(&["cluster", "destroy", "--yes"]);
        assert_eq!(lab.sh(INVENTORY), before, "killed when `{moment}`");
        assert_eq!(state(lab), "absent");
        lab.sh("rm -rf ~/.local/state/talos-xtask");
    }
}

/// As Ctrl-C does; a shell's background jobs ignore SIGINT.
#[test]
fn stopped_in_the_middle_it_undoes_what_was_half_made() {
    let Some(lab) = Lab::own("stopped_in_the_middle") else {
        return;
    };
    let before = lab.sh(INVENTORY);
    lab.sh(&format!(
        "{XTASK} cluster up >~/up.log 2>&1 & up=$!; \
         for i in $(seq 2000); do ls /run/netns 2>/dev/null | grep -q cnitest && break; sleep 0.01; done; \
         kill -TERM $up; rc=0; wait $up || rc=$?; cat ~/up.log >&2; echo rc $rc >&2; test $rc = 130"
    ));
    assert_eq!(lab.sh(INVENTORY), before);
}

/// What `--with-bgp-clos` makes besides: see `pkg/provision/providers/vm/bgp.go`
/// and `cmd/talosctl/cmd/mgmt/bgp_launch_linux.go`.
const FABRIC: &str = "for uplink in 0 1; do \
     bridge=bgp$(printf talos-default-0-$uplink | sha256sum | cut -c1-11); ip link add $bridge type bridge; \
     touch ~/.talos/cni/cache/results/$bridge-23c3de8a-a539-4bf0-ac05-ae5ebb9630de-vethf$uplink; done; \
     ip link add bgp0123456789a type bridge; \
     iptables -t nat -A POSTROUTING -s 172.20.0.0/24 ! -d 172.20.0.0/24 -j MASQUERADE; \
     iptables -A FORWARD -s 172.20.0.0/24 -j ACCEPT; iptables -A FORWARD -d 172.20.0.0/24 -j ACCEPT";

/// T2, T4, T5 and the like: what a host reboot or a crash leaves.
#[test]
fn remains_are_removed_and_unrelated_processes_stay() {
    let Some(lab) = Lab::own("ruins_are_finished") else {
        return;
    };
    let before = lab.sh(INVENTORY);
    let folder = "~/.talos/clusters/talos-default";
    let mut stranger = lab
        .command(&[
            "lab",
            "shell",
            "--",
            "sh",
            "-c",
            "echo $$ > ~/unrelated; exec sleep 600",
        ])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    lab.sh("for i in $(seq 200); do test -s ~/unrelated && break; sleep 0.02; done");

    // A folder without state.yaml, its pid files naming an unrelated process.
    lab.sh(&format!("mkdir -p {folder}; cp ~/unrelated {folder}/talos-default-worker-1.pid; cp ~/unrelated {folder}/dhcpd.pid"));
    assert_eq!(state(&lab), "half-made");
    assert!(lab.fails(3, &["cluster", "up"]).contains("cluster destroy"));
    lab.ok(&["cluster", "destroy", "--yes"]);
    assert_eq!(lab.sh(INVENTORY), before);

    // Half of a state.yaml.
    lab.ok(&["cluster", "up", "--no-wait", "--workers", "0"]);
    lab.sh(&format!(
        "head -c 100 {folder}/state.yaml > ~/half; cp ~/half {folder}/state.yaml"
    ));
    assert_eq!(state(&lab), "half-made");
    lab.ok(&["cluster", "destroy", "--yes"]);
    assert_eq!(lab.sh(INVENTORY), before);

    // Launchers killed: their QEMUs, namespaces and rules live on (T18). And
    // one pid file names the unrelated process, as after a reboot of the host (T2).
    lab.ok(&["cluster", "up", "--no-wait"]);
    lab.sh(&format!(
        "pkill -9 -f [q]emu-launch; cp ~/unrelated {folder}/talos-default-worker-1.pid"
    ));
    lab.ok(&["cluster", "destroy", "--yes"]);
    assert_eq!(lab.sh(INVENTORY), before);

    // Everything killed and the bridge gone, as a reboot of the host leaves it (T4).
    lab.ok(&["cluster", "up", "--no-wait", "--workers", "0"]);
    lab.sh(&format!(
        "pkill -9 talosctl; pkill -9 -f [q]emu-system; sleep 0.2; for n in $(ls /run/netns); do ip netns delete $n; done; \
         ip link delete $(ip -brief link | grep -o ^talos[0-9a-f]*); cp ~/unrelated {folder}/lb.pid"
    ));
    assert_eq!(state(&lab), "stale");
    lab.ok(&["cluster", "destroy", "--yes"]);
    assert_eq!(lab.sh(INVENTORY), before);

    // A BGP fabric's (1.14+): talosctl takes the nodes' ends down, no more.
    lab.ok(&["cluster", "up", "--no-wait", "--workers", "0"]);
    lab.sh(FABRIC);
    let plan = lab.ok(&["cluster", "destroy", "--dry-run"]);
    lab.ok(&["cluster", "destroy", "--yes"]);
    // Another user's may have the same name.
    lab.sh("ip link delete bgp0123456789a type bridge");
    assert_eq!(lab.sh(INVENTORY), before, "{plan}");

    lab.sh("kill -0 $(cat ~/unrelated)");
    stranger.kill().unwrap();
    let _ = stranger.wait();
}

//! `cluster stop` and `cluster start`: after a stop, crashes and what a restart
//! of the host leaves.

use serde_json::Value;

use crate::in_lab::{Lab, Owner};
use crate::{INVENTORY, state, status};

const FOLDER: &str = "~/.talos/clusters/talos-default";
const CONTROL_PLANE: &str = "talos-default-controlplane-1";

/// The disk of the control plane: the stand-in keeps its state at the beginning.
const DISK: &str = "~/.talos/clusters/talos-default/talos-default-controlplane-1-0.disk";

fn pid(seen: &Value, node: usize) -> i64 {
    seen["nodes"][node]["pid"].as_i64().unwrap()
}

/// Kills the processes whose command line matches, and waits until they are gone.
fn kill(lab: &Lab, pattern: &str) {
    lab.sh(&format!(
        "pkill -9 -f '{pattern}'; for i in $(seq 500); do pgrep -f '{pattern}' >/dev/null || exit 0; sleep 0.01; done; exit 1"
    ));
}

fn starts(lab: &Lab) -> Value {
    let text = lab.ok(&["cluster", "start", "--json"]);
    let seen: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(seen["cluster"]["state"], "running", "{seen}");
    seen
}

#[test]
fn what_was_stopped_or_has_died_is_started_again() {
    for lab in Lab::of_each("what_was_stopped_or_has_died", [Owner::User, Owner::Root]) {
        started_again(&lab);
    }
}

fn started_again(lab: &Lab) {
    let before = lab.sh(INVENTORY);
    lab.fails(2, &["cluster", "stop"]);
    lab.fails(2, &["cluster", "start"]);
    lab.ok(&["cluster", "up", "--no-wait"]);
    lab.ok(&["cluster", "reboot", "--all"]);
    lab.sh(&format!(
        "printf 'written before the stop' | dd of=$(echo {DISK}) bs=1M seek=3000 conv=notrunc status=none"
    ));
    let disk = format!(
        "stat -c %i {DISK}; dd if=$(echo {DISK}) bs=1M skip=3000 count=1 status=none | head -c 23"
    );
    let disk_before = lab.sh(&disk);

    stopped_and_started(lab, &before);
    parts_die(lab);
    the_host_restarts(lab);

    assert_eq!(lab.sh(&disk), disk_before, "the disk is the same");
    lab.ok(&["cluster", "stop", "--timeout", "0"]);
    what_is_missing_is_named(lab);
    lab.ok(&["cluster", "destroy", "--yes"]);
    assert_eq!(lab.sh(INVENTORY), before);
    lab.sh("test -z \"$(ls ~/.local/state/talos-xtask/stopped)\"");
}

fn stopped_and_started(lab: &Lab, before: &str) {
    let xtask = lab.binary();
    // Guests shut down by themselves, as after a press of the power button.
    let said = lab.user_sh(&format!("{xtask} cluster stop 2>&1"));
    assert!(!said.contains("has not shut down"), "{said}");
    let consoles = lab.ok(&["cluster", "logs"]);
    for words in ["shutdown via ACPI received", "reboot: System halted"] {
        let lines = consoles.lines().filter(|line| line.contains(words));
        assert_eq!(lines.count(), 2, "{words}: {consoles}");
    }
    assert_eq!(state(lab), "stopped");
    // The folder of its talosconfig and kubeconfig is named after it.
    let kept = |lab: &Lab| {
        let now = lab.sh(INVENTORY);
        let lines = now.split_inclusive('\n');
        lines
            .filter(|line| !line.contains("/.talos/") && !line.ends_with("/.kube/config\n"))
            .filter(|line| *line != "talos-default\n")
            .collect::<String>()
    };
    assert_eq!(kept(lab), before, "only files are left");
    lab.ok(&["cluster", "stop"]);
    assert!(lab.fails(3, &["cluster", "up"]).contains("cluster start"));

    starts(lab);
    assert_eq!(state(lab), "running");
    let text = lab.user_sh(&format!("{xtask} cluster start 2>&1"));
    assert!(text.contains("already running"), "{text}");

    // What is shown is what runs.
    let script = lab.ok(&["cluster", "stop", "--dry-run", "--format", "sh"]);
    assert_eq!(state(lab), "running", "a dry run changes nothing");
    lab.user_sh(&script);
    let script = lab.ok(&["cluster", "start", "--dry-run", "--format", "sh"]);
    assert_eq!(state(lab), "stopped", "{script}");
    assert_eq!(kept(lab), before, "only files are left");
    lab.user_sh(&script);
    lab.user_sh(&format!(
        "for i in $(seq 600); do {xtask} cluster status >/dev/null 2>&1 && exit 0; sleep 0.2; done; exit 1"
    ));
}

fn parts_die(lab: &Lab) {
    let first = status(lab);
    // A launcher: its node would not come back from a reboot.
    lab.sh(&format!("kill -9 $(cat {FOLDER}/{CONTROL_PLANE}.pid)"));
    assert_eq!(state(lab), "degraded");
    let second = starts(lab);
    assert_ne!(pid(&first, 0), pid(&second, 0));
    assert_eq!(
        pid(&first, 1),
        pid(&second, 1),
        "the other node was left alone"
    );
    lab.ok(&["cluster", "reboot", "controlplane-1"]);

    // A launcher with its QEMU.
    let first = status(lab);
    lab.sh(&format!("kill -9 $(cat {FOLDER}/{CONTROL_PLANE}.pid)"));
    kill(lab, &format!("[q]emu-system.*{CONTROL_PLANE}.monitor"));
    let second = starts(lab);
    assert_eq!(
        pid(&first, 1),
        pid(&second, 1),
        "the other node was left alone"
    );

    for helper in ["dhcpd", "dnsd", "lb"] {
        lab.sh(&format!("kill -9 $(cat {FOLDER}/{helper}.pid)"));
        assert_eq!(state(lab), "degraded", "{helper}");
        let third = starts(lab);
        assert_eq!(pid(&second, 0), pid(&third, 0), "{helper}");
    }
    lab.sh("ip link delete $(ip -brief link | grep -o ^talos[0-9a-f]*)");
    assert_eq!(state(lab), "degraded");
    let fourth = starts(lab);
    assert_eq!(pid(&second, 0), pid(&fourth, 0), "nodes keep running");
    lab.ok(&["cluster", "reboot", "--all"]);
}

fn the_host_restarts(lab: &Lab) {
    kill(lab, "[t]alosctl.*-launch");
    kill(lab, "[q]emu-system");
    lab.sh("for n in $(ls /run/netns); do ip netns delete $n; done; \
        ip link delete $(ip -brief link | grep -o ^talos[0-9a-f]*); \
        iptables -F; iptables -X; iptables -t nat -F; iptables -t nat -X; \
        sed -i 's/\"boot_id\":\"/&0/' ~/.local/state/talos-xtask/ledger.jsonl");
    assert_eq!(state(lab), "stale");
    starts(lab);
    assert_eq!(state(lab), "running");
}

fn what_is_missing_is_named(lab: &Lab) {
    let config = format!("{FOLDER}/{CONTROL_PLANE}.config");
    lab.sh(&format!("mv {config} ~/config; mv {DISK} ~/disk"));
    let said = lab.fails(3, &["cluster", "start"]);
    assert!(
        said.contains(&format!("{CONTROL_PLANE}.config` is missing")),
        "{said}"
    );
    assert!(said.contains("cluster destroy"), "{said}");
    lab.sh(&format!("mv ~/config {config}"));
    // A key that talosctl made for the lifetime of the process.
    lab.sh(&format!("echo 1 >{FOLDER}/kms.pid"));
    let said = lab.fails(3, &["cluster", "start"]);
    assert!(
        said.contains("kms cannot be started again: its random key"),
        "{said}"
    );
    lab.sh(&format!("rm {FOLDER}/kms.pid"));
    let said = lab.fails(3, &["cluster", "start"]);
    assert!(said.contains("-0.disk` is missing"), "{said}");
    lab.sh(&format!(
        "mv ~/disk {DISK}; head -c 100 {FOLDER}/state.yaml > ~/half; cp ~/half {FOLDER}/state.yaml"
    ));
    let said = lab.fails(3, &["cluster", "start"]);
    assert!(
        said.contains("half made") && said.contains("state.yaml"),
        "{said}"
    );
}

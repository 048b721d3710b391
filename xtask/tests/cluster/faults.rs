//! Each fault is made by hand in the lab; `cluster status` and `cluster explain` have
//! to name it first. `scripts/cluster-faults` prints the table.

#![expect(clippy::disallowed_macros, reason = "the table is printed")]

use std::time::Instant;

use serde_json::Value;

use super::in_lab::{Lab, Owner};
use super::{INVENTORY, status};

/// A fault of a running cluster, and how it is taken back.
struct Injected {
    what: &'static str,
    inject: &'static str,
    undo: &'static str,
    /// The cause's `id`, and a word of its text.
    cause: (&'static str, &'static str),
    /// What `cluster reboot worker-1` says, where it must refuse.
    reboot: Option<&'static str>,
    /// Nodes answer nevertheless, so that `status` of a user asks no sudo and does not see it.
    needs_root: bool,
}

/// `pid` finds a process by its arguments, without finding the shell that looks. `stop` waits
/// until the process has got the signal, which needs a processor.
const PID: &str = "pid() { pgrep -f \"$1\" | grep -vx $$ | tail -n 1; }; \
    stop() { p=$(pid \"$1\"); kill -STOP $p; until grep -q '^State:.T' /proc/$p/status; do sleep 0.01; done; }; ";
const BRIDGE: &str = "bridge=$(ip -brief link | grep -o '^talos[0-9a-f]*'); ";

const FAULTS: &[Injected] = &[
    Injected {
        what: "QEMU stopped",
        inject: "stop '[q]emu-system.*worker-1.monitor'",
        undo: "kill -CONT $(pid '[q]emu-system.*worker-1.monitor')",
        cause: ("paused", "QEMU of talos-default-worker-1 is stopped"),
        reboot: Some("kill -CONT"),
        needs_root: false,
    },
    Injected {
        what: "dhcpd stopped",
        inject: "stop '[d]hcpd-launch'",
        undo: "kill -CONT $(pid '[d]hcpd-launch')",
        cause: ("helper", "dhcpd is stopped"),
        reboot: Some("no address"),
        needs_root: false,
    },
    Injected {
        what: "load balancer stopped",
        inject: "stop '[l]oadbalancer-launch'",
        undo: "kill -CONT $(pid '[l]oadbalancer-launch')",
        cause: ("helper", "lb is stopped"),
        reboot: None,
        needs_root: false,
    },
    Injected {
        what: "INPUT policy DROP",
        inject: "iptables -P INPUT DROP",
        undo: "iptables -P INPUT ACCEPT",
        cause: ("firewall", "INPUT drops DHCP requests"),
        reboot: Some("iptables -I INPUT"),
        needs_root: false,
    },
    Injected {
        what: "INPUT drops one port",
        inject: "iptables -A INPUT -i $bridge -p tcp --dport 6443 -j REJECT",
        undo: "iptables -D INPUT -i $bridge -p tcp --dport 6443 -j REJECT",
        cause: ("firewall", "Kubernetes API"),
        reboot: None,
        needs_root: true,
    },
    Injected {
        what: "FORWARD policy DROP, rules of talosctl lost",
        inject: "iptables -P FORWARD DROP; iptables-save -t filter >~/filter; iptables -F FORWARD",
        undo: "iptables-restore <~/filter; iptables -P FORWARD ACCEPT",
        cause: ("firewall", "FORWARD drops"),
        reboot: None,
        needs_root: true,
    },
    Injected {
        what: "disk full",
        inject: "fallocate -l $(($(df --output=avail -B1 ~/.talos | tail -n 1) - 1000000)) ~/.talos/filler",
        undo: "rm ~/.talos/filler",
        cause: ("disk-full", "is full"),
        reboot: Some("is full"),
        needs_root: false,
    },
    Injected {
        what: "initramfs removed, QEMU stopped",
        inject: "mv _out/initramfs-amd64.xz ~/i; stop '[q]emu-system.*worker-1.monitor'",
        undo: "mv ~/i _out/initramfs-amd64.xz; kill -CONT $(pid '[q]emu-system.*worker-1.monitor')",
        cause: ("boot-file", "initramfs"),
        reboot: Some("build initramfs"),
        needs_root: false,
    },
];

fn explain(lab: &Lab) -> (Value, f64) {
    let began = Instant::now();
    let output = lab.xtask(&["--lab", "cluster", "explain", "--json"]);
    let seconds = began.elapsed().as_secs_f64();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let is_fine = report["cause"].is_null() && report["cluster"]["state"] == "running";
    assert_eq!(output.status.code(), Some(i32::from(!is_fine)), "{report}");
    (report, seconds)
}

/// Both commands name this cause first. Prints a row of the table.
fn named(lab: &Lab, what: &str, (id, words): (&str, &str)) {
    let began = Instant::now();
    let seen = status(lab);
    let looked = began.elapsed().as_secs_f64();
    let first = &seen["faults"][0];
    let text = first["what"].as_str().unwrap_or_default();
    assert_eq!(
        (first["id"].as_str(), text.contains(words)),
        (Some(id), true),
        "{what}: {seen:#}"
    );
    explained(lab, what, (id, words), &format!("{looked:>5.2} s"), &seen);
}

/// `explain` names this cause first.
fn explained(lab: &Lab, what: &str, (id, words): (&str, &str), looked: &str, seen: &Value) {
    let (report, explained) = explain(lab);
    let cause = &report["cause"];
    let text = cause["what"].as_str().unwrap_or_default();
    assert_eq!(
        (cause["id"].as_str(), text.contains(words)),
        (Some(id), true),
        "{what}: {report:#}"
    );
    assert!(cause["hint"].is_string(), "{what}: {report:#}");
    println!(
        "{what:<45} {:<10} {looked:>7} {explained:>5.2} s  {text}",
        seen["cluster"]["state"].as_str().unwrap()
    );
}

#[test]
fn each_fault_is_named_first() {
    for lab in Lab::of_each("each_fault_is_named_first", [Owner::Root, Owner::User]) {
        each_fault(&lab);
    }
}

fn each_fault(lab: &Lab) {
    let before = lab.sh(INVENTORY);
    // A small disk, so that it can be filled.
    lab.sh("mkdir -p ~/.talos && mount -t tmpfs -o size=700m tmpfs ~/.talos && chown --reference ~ ~/.talos");
    lab.ok(&["cluster", "up"]);
    let (fine, _) = explain(lab);
    assert!(fine["cause"].is_null(), "{fine:#}");
    println!(
        "{:<45} {:<10} {:>7} {:>7}  cause",
        "fault", "state", "status", "explain"
    );
    for fault in FAULTS {
        lab.sh(&format!("{PID}{BRIDGE}{}", fault.inject));
        if fault.needs_root && lab.is_of_user() {
            let seen = status(lab);
            assert_eq!(seen["cluster"]["state"], "running", "{seen:#}");
            let not_checked = seen["not_checked"][0].as_str().unwrap();
            assert!(not_checked.starts_with("packet filters"), "{seen:#}");
            explained(lab, fault.what, fault.cause, "-", &seen);
        } else {
            named(lab, fault.what, fault.cause);
            refuses_to_go_on(lab, fault);
        }
        lab.sh(&format!("{PID}{BRIDGE}{}", fault.undo));
        let (report, _) = explain(lab);
        assert!(
            report["cause"].is_null(),
            "after {}: {report:#}",
            fault.what
        );
    }
    other_sizes_are_not_this_cluster(lab);
    started_again(lab);
    lab.ok(&["cluster", "destroy", "--yes"]);
    lab.sh("pkill -f '[s]leep 6000' && umount ~/.talos");
    assert_eq!(lab.sh(INVENTORY), before);
}

/// The kernel kills a process of the node, and the node goes on.
#[test]
fn a_node_that_ran_out_of_memory_is_named_first() {
    let Some(lab) = Lab::own("a_node_that_ran_out_of_memory") else {
        return;
    };
    let args = ["--", "--extra-boot-kernel-args", "lab.fault=out-of-memory"];
    let up = ["cluster", "up", "--workers", "0"];
    // The cluster works, but for what was killed.
    lab.fails(1, &[&up[..], &args].concat());
    named(
        &lab,
        "guest out of memory",
        ("guest-memory", "ran out of memory"),
    );
    lab.ok(&["cluster", "destroy", "--yes"]);
}

/// What cannot be taken back: `cluster start` starts it again, but for the last two, whose
/// nodes would have to boot (`start.rs`).
fn started_again(lab: &Lab) {
    let kill = |what: &str| format!("{PID}{BRIDGE}kill -9 $(pid '{what}')");
    for (what, inject, cause) in [
        (
            "dhcpd killed",
            kill("[d]hcpd-launch"),
            ("helper", "dhcpd is gone"),
        ),
        (
            "load balancer killed",
            kill("[l]oadbalancer-launch"),
            ("helper", "lb is gone"),
        ),
        (
            "dnsd killed",
            kill("[d]nsd-launch"),
            ("helper", "dnsd is gone"),
        ),
        (
            "bridge deleted",
            format!("{BRIDGE}ip link delete $bridge"),
            ("bridge", "bridge"),
        ),
    ] {
        lab.sh(&inject);
        named(lab, what, cause);
        let began = Instant::now();
        lab.ok(&["cluster", "start"]);
        println!(
            "{:<45} started again in {:.1} s",
            "",
            began.elapsed().as_secs_f64()
        );
    }
    // Its pid file names a process of the user by now.
    lab.sh(&format!(
        "{PID}kill -9 $(pid '[d]hcpd-launch'); setsid -f sleep 6000 >/dev/null 2>&1; pid '[s]leep 6000' >~/.talos/clusters/talos-default/dhcpd.pid"
    ));
    named(
        lab,
        "pid file of dhcpd names a bystander",
        ("helper", "dhcpd is gone"),
    );
    lab.ok(&["cluster", "start"]);
    lab.sh(&kill("[q]emu-launch"));
    named(
        lab,
        "launcher killed",
        ("launcher", "a reboot would end the node"),
    );
    let said = lab.fails(3, &["cluster", "reboot", "--all"]);
    assert!(said.contains("cluster start"), "{said}");
    lab.sh(&kill("[q]emu-system.*worker-1.monitor"));
    named(lab, "launcher and QEMU killed", ("launcher", "are gone"));
    // As after a restart of the host: no process, no interface, consoles from before.
    lab.sh(&format!(
        "{BRIDGE}pkill -9 -f '[t]alosctl.*-launch'; pkill -9 -f '[q]emu-system'; \
         for i in $(seq 500); do pgrep -f '[c]lusters/talos-default' >/dev/null || break; sleep 0.01; done; \
         ip link delete $bridge; touch -d @1000000000 ~/.talos/clusters/talos-default/*-1.log"
    ));
    named(
        lab,
        "host restarted",
        ("no-process", "no process of cluster"),
    );
}

fn other_sizes_are_not_this_cluster(lab: &Lab) {
    for other in [
        &["--workers", "3"],
        &["--cidr", "10.9.0.0/24"],
        &["--memory", "4GiB"],
    ] {
        let words = [&["cluster", "up"][..], other].concat();
        let said = lab.fails(3, &words);
        assert!(said.contains("other settings"), "{other:?}: {said}");
    }
    assert_eq!(status(lab)["cluster"]["state"], "running");
}

/// A fault that a creation meets.
struct Creation {
    what: &'static str,
    inject: &'static str,
    undo: &'static str,
    /// `PATCH` stands for the path of a patch.
    args: &'static [&'static str],
    code: i32,
    says: &'static str,
}

const CREATIONS: &[Creation] = &[
    Creation {
        what: "file outside of /var",
        inject: "echo '{\"machine\":{\"files\":[{\"path\":\"/etc/x\",\"op\":\"create\",\"permissions\":420,\"content\":\"x\"}]}}' >~/p.yaml",
        undo: "rm ~/p.yaml",
        args: &["--config-patch", "PATCH"],
        code: 5,
        says: "not allowed outside of /var",
    },
    Creation {
        what: "initramfs cut",
        inject: "cp _out/initramfs-amd64.xz ~/i; head -c 5000000 ~/i >_out/initramfs-amd64.xz",
        undo: "mv ~/i _out/initramfs-amd64.xz",
        args: &[],
        code: 5,
        says: "Initramfs unpacking failed",
    },
    Creation {
        what: "kernel panic",
        inject: "true",
        undo: "true",
        args: &["--", "--extra-boot-kernel-args", "lab.fault=kernel-panic"],
        code: 5,
        says: "Kernel panic",
    },
    Creation {
        what: "INPUT policy DROP",
        inject: "iptables -P INPUT DROP",
        undo: "iptables -P INPUT ACCEPT",
        args: &[],
        code: 3,
        says: "INPUT drops DHCP requests",
    },
    Creation {
        what: "kernel missing",
        inject: "mv _out/vmlinuz-amd64 ~/k",
        undo: "mv ~/k _out/vmlinuz-amd64",
        args: &[],
        code: 3,
        says: "build kernel",
    },
    Creation {
        what: "more memory than the host has",
        inject: "true",
        undo: "true",
        args: &["--memory", "900GiB"],
        code: 5,
        says: "this machine has too little memory for the nodes",
    },
];

#[test]
fn a_creation_that_cannot_succeed_ends_with_its_cause() {
    for lab in Lab::of_each("a_creation_that_cannot_succeed", [Owner::User, Owner::Root]) {
        each_creation(&lab);
    }
}

fn refuses_to_go_on(lab: &Lab, fault: &Injected) {
    if let Some(words) = fault.reboot {
        let said = lab.fails(3, &["cluster", "reboot", "worker-1"]);
        assert!(said.contains(words), "{}: {said}", fault.what);
    }
    let said = lab.fails(3, &["cluster", "up"]);
    assert!(said.contains("cluster explain"), "{}: {said}", fault.what);
}

fn each_creation(lab: &Lab) {
    let before = lab.sh(INVENTORY);
    let home = lab.sh("echo ~");
    for creation in CREATIONS {
        let Creation { what, code, .. } = creation;
        lab.sh(creation.inject);
        let patch = format!("@{}/p.yaml", home.trim());
        let args = creation.args.iter();
        let args: Vec<&str> = args
            .map(|arg| if *arg == "PATCH" { patch.as_str() } else { arg })
            .collect();
        let began = Instant::now();
        let words = [&["cluster", "up", "--workers", "0"][..], &args].concat();
        let said = lab.fails(*code, &words);
        assert!(said.contains(creation.says), "{what}: {said}");
        println!(
            "up with {what:<37} exit {code}     {:>5.1} s",
            began.elapsed().as_secs_f64()
        );
        lab.sh(creation.undo);
        lab.ok(&["cluster", "destroy", "--yes"]);
        assert_eq!(lab.sh(INVENTORY), before, "{what}");
    }
    states_of_folders(lab, &before);
}

/// Folders of other provisioners, and incomplete ones.
fn states_of_folders(lab: &Lab, before: &str) {
    let folder = "~/.talos/clusters/talos-default";
    for (what, text, state, words) in [
        (
            "made by docker",
            "provisionername: docker\\nbridgename: x\\nclusterinfo:\\n  clustername: talos-default\\n  \
             network:\\n    name: talos-default\\n    cidrs: [10.5.0.0/24]\\n    gatewayaddrs: [10.5.0.1]\\n    mtu: 1500\\n  nodes: []\\n",
            "foreign",
            "docker",
        ),
        (
            "state.yaml cut",
            "provisionername: qemu\\nbridgename: ta",
            "half-made",
            "half made",
        ),
    ] {
        lab.sh(&format!(
            "mkdir -p {folder}; printf \"{text}\" >{folder}/state.yaml"
        ));
        let seen = status(lab);
        assert_eq!(seen["cluster"]["state"], state, "{what}: {seen:#}");
        assert!(
            seen["faults"][0]["what"].as_str().unwrap().contains(words),
            "{what}: {seen:#}"
        );
        let said = lab.fails(3, &["cluster", "up"]);
        assert!(said.contains(words), "{what}: {said}");
        lab.sh(&format!("rm -r {folder}"));
    }
    lab.sh("rmdir ~/.talos/clusters 2>/dev/null; true");
    assert_eq!(lab.sh(INVENTORY), before);
}

/// Two names and no network asked for, at one moment: each gets a network of its own. With
/// the same network asked for, one of them is refused before it makes anything.
#[test]
fn two_clusters_at_one_moment_do_not_share_a_network() {
    let Some(lab) = Lab::own("two_clusters_at_one_moment") else {
        return;
    };
    let before = lab.sh(INVENTORY);
    let both = |args: &str| {
        lab.sh(&format!(
            "for name in a b; do {} cluster up --name $name --workers 0 --no-wait {args} >~/$name.log 2>&1 & echo $! >~/$name.pid; done; \
             for name in a b; do rc=0; wait $(cat ~/$name.pid) || rc=$?; echo $name $rc; done",
            super::XTASK
        ))
    };
    let ended = both("");
    assert_eq!(ended, "a 0\nb 0\n", "{}", lab.sh("cat ~/a.log ~/b.log"));
    let list: Value = serde_json::from_str(&lab.ok(&["cluster", "list", "--json"])).unwrap();
    let mut networks: Vec<&str> = list["clusters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cluster| cluster["cidr"].as_str().unwrap())
        .collect();
    networks.sort_unstable();
    assert_eq!(networks, ["172.20.0.0/24", "172.20.1.0/24"]);
    for name in ["a", "b"] {
        lab.ok(&["cluster", "destroy", "--yes", "--name", name]);
    }
    assert_eq!(lab.sh(INVENTORY), before);

    let mut codes: Vec<String> = both("--cidr 172.20.7.0/24")
        .lines()
        .map(|line| line[2..].to_owned())
        .collect();
    codes.sort();
    assert_eq!(codes, ["0", "3"], "{}", lab.sh("cat ~/a.log ~/b.log"));
    for name in ["a", "b"] {
        lab.ok(&["cluster", "destroy", "--yes", "--name", name]);
    }
    lab.sh("rm ~/*.log ~/*.pid");
    assert_eq!(lab.sh(INVENTORY), before);
}

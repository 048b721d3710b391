//! What `cluster destroy` and `doctor --fix` believe.

use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use camino::Utf8Path;

use crate::Case;
use crate::room::{BINARY, BYSTANDER, TESTDATA};
use crate::stage::{Identity, Outcome, Stage};

const DESTROY: [&str; 5] = ["cluster", "destroy", "--name", "lab", "--yes"];

/// The recorded state of a cluster `lab` as if it were this HOME's, with changes.
fn state(stage: &Stage, changes: &[(&str, &str)]) {
    let text = std::fs::read_to_string(format!("{TESTDATA}/state/1.12.0/state.yaml")).unwrap();
    let mut text = text.replace("/home/dev", stage.home.as_str());
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    stage.write(".talos/clusters/lab/state.yaml", text);
}

fn ledger(stage: &Stage, name: &str, dir: &str) {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let entry = serde_json::json!({
        "op": "intend", "at": 1, "boot_id": boot.trim(), "run": "r",
        "resource": {
            "kind": "cluster", "name": name, "state_dir": dir,
            "bridge": "docker0", "cidr": "172.20.0.0/24",
        },
    });
    stage.write(
        ".local/state/talos-xtask/ledger.jsonl",
        format!("{entry}\n"),
    );
}

fn kubeconfig(stage: &Stage, name: &str, server: &str, more: &str) -> camino::Utf8PathBuf {
    let text = format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: {name}\n  cluster: {{server: 'https://{server}:6443'}}\n\
         contexts:\n- name: admin@{name}\n  context: {{cluster: {name}, user: admin@{name}}}\n\
         users:\n- name: admin@{name}\n  user: {{token: mine}}\n{more}current-context: admin@{name}\n"
    );
    stage.write(".kube/config", text)
}

fn sh(script: &str) -> String {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Destroy is whole, for root and by way of the root helper.
fn destroyed(stage: &Stage) -> Outcome {
    let said = stage.attack(&DESTROY);
    said.ended();
    if has("iptables") {
        said.with(0);
        let folder = stage.home.join(".talos/clusters/lab");
        assert!(folder.symlink_metadata().is_err(), "{said:?}");
    }
    said
}

/// Nothing of this is removed, and the reason is printed.
fn refused(stage: &Stage, why: &str) {
    stage.freeze(&stage.home);
    stage.attack(&DESTROY).with(3).says(why);
    stage
        .attack(&["cluster", "destroy", "--name", "lab", "--dry-run"])
        .with(3);
}

/// The root helper as sudo starts it, with one step.
fn root_step(stage: &Stage, action: &serde_json::Value) -> (bool, String) {
    let mut command = match stage.identity {
        Identity::Root => stage.program(BINARY),
        Identity::User => stage.program("sudo"),
    };
    if stage.identity == Identity::User {
        command.args(["-n", "--", BINARY]);
    }
    let step = serde_json::json!({"why": "a step", "action": action, "privilege": "root"});
    let mut child = command
        .args(["internal", "root-step"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{step}").unwrap();
    // Open until it has ended: it is the helper's lifeline.
    let output = child.wait_with_output().unwrap();
    drop(input);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.starts_with("begun\n"), "{output:?}");
    (output.status.success(), said)
}

fn remove_owned(stage: &Stage, path: &Utf8Path, owned: &str) -> (bool, String) {
    let action = serde_json::json!({"do": "remove_owned", "path": path, "owned": owned});
    root_step(stage, &action)
}

fn has_link(name: &str) -> bool {
    Command::new("ip")
        .args(["link", "show", "dev", name])
        .output()
        .unwrap()
        .status
        .success()
}

fn has(program: &str) -> bool {
    foundation::ctx::host::Host::which(program).is_some()
}

/// The packet filter's program comes with the lab's packages.
fn has_iptables(case: &str) -> bool {
    if has("iptables") {
        return true;
    }
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{case} cannot run: no `iptables`"
    );
    if let Some(file) = std::env::var_os("XTASK_TEST_SKIPS") {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.append(true).create(true).open(file).unwrap();
        writeln!(file, "{case}\tno `iptables`").unwrap();
    }
    false
}

/// A process of another user's with these words as its arguments.
fn bystander(argv0: &str, words: &[&str]) -> Child {
    let mut command = Command::new("sleep");
    command
        .arg0(argv0)
        .args(words)
        .uid(BYSTANDER)
        .gid(BYSTANDER);
    command.stdout(Stdio::null()).spawn().unwrap()
}

/// A cluster as one that was cut off from its processes leaves it; nothing of it
/// is there afterwards.
fn taken_down_by(stage: &Stage, case: &str, take_down: impl Fn(&Stage) -> Outcome) {
    if !has_iptables(case) {
        return;
    }
    let list = || {
        sh(
            "ip -brief link | cut -d' ' -f1; ls /run/netns 2>/dev/null || :; iptables -S; iptables -t nat -S",
        )
    };
    // The tables exist from the first look on.
    list();
    let before = list();
    let (node, idle) = (
        "cnitest-4936a752-5b2a-9499-a159-ecf3af7c4d0c",
        "CNI-000000000000000000000000",
    );
    let chain = "CNI-ddbf05610d98d165fc10d608";
    let comment =
        "-m comment --comment 'name: \"lab\" id: \"23c3de8a-a539-4bf0-ac05-ae5ebb9630de\"'";
    sh(&format!(
        "ip link add talosa51146d3 type bridge; ip address add 172.20.0.1/24 dev talosa51146d3; ip netns add {node}; \
         ip link add veth3a185570 type veth peer name veth0 netns {node}; ip link set veth3a185570 master talosa51146d3; \
         iptables -N CNI-ADMIN; iptables -N CNI-FORWARD; iptables -I FORWARD -m comment --comment 'CNI firewall plugin rules' -j CNI-FORWARD; \
         iptables -A CNI-FORWARD -m comment --comment 'CNI firewall plugin admin overrides' -j CNI-ADMIN; \
         iptables -A CNI-FORWARD -s 172.20.0.2/32 -j ACCEPT; iptables -A CNI-FORWARD -d 172.20.0.2/32 -j ACCEPT; \
         iptables -N DOCKER-USER; iptables -A DOCKER-USER -i talosa51146d3 -o talosa51146d3 -j ACCEPT; \
         iptables -t nat -N {chain}; iptables -t nat -N {idle}; \
         iptables -t nat -A {chain} -d 172.20.0.0/24 {comment} -j ACCEPT; \
         iptables -t nat -A POSTROUTING -s 172.20.0.2/32 {comment} -j {chain}"
    ));
    state(stage, &[]);
    let cache = "lab-23c3de8a-a539-4bf0-ac05-ae5ebb9630de-veth0";
    let text = std::fs::read(format!("{TESTDATA}/state/1.12.0/{cache}")).unwrap();
    let cache = stage.write(&format!(".talos/cni/cache/results/{cache}"), text);
    let own = stage.home.join(".talos/clusters/lab");
    ledger(stage, "lab", own.as_str());
    let talosconfig = "context: lab\ncontexts:\n  lab:\n    endpoints: [172.20.0.2]\n";
    let talosconfig = stage.write(".talos/config", talosconfig);
    let kubeconfig = kubeconfig(stage, "lab", "172.20.0.1", "");
    let said = take_down(stage);
    let after = list();
    sh(&format!(
        "ip netns delete {node} 2>/dev/null || :; ip link delete talosa51146d3 2>/dev/null || :; \
         iptables -F; iptables -X; iptables -t nat -F; iptables -t nat -X"
    ));
    assert_eq!(after, before, "{said:?}");
    for path in [cache, talosconfig, kubeconfig] {
        assert!(path.symlink_metadata().is_err(), "{path}: {said:?}");
    }
}

pub const CASES: &[Case] = &[
    // A teardown that removes nothing at all would pass all other cases.
    Case {
        name: "what_is_its_own_goes",
        kind: "the suite itself",
        attack: |stage| {
            taken_down_by(stage, "what_is_its_own_goes", |stage| {
                let said = destroyed(stage);
                assert!(said.stdout.contains("nothing is left"), "{said:?}");
                said
            });
        },
    },
    Case {
        name: "what_is_its_own_goes_by_the_script",
        kind: "the suite itself",
        attack: |stage| {
            // The script takes root by sudo, for each command.
            stage.grant("attacker ALL=(root) NOPASSWD: ALL\nDefaults env_reset, !syslog\n");
            taken_down_by(stage, "what_is_its_own_goes_by_the_script", |stage| {
                let plan = ["cluster", "destroy", "--name", "lab", "--format", "sh"];
                let script = stage.attack(&plan).with(0).stdout.clone();
                let script = stage.write("destroy.sh", script);
                let said = stage.run(stage.program("sh").arg(&script));
                said.with(0);
                said
            });
        },
    },
    Case {
        name: "another_clusters_namespace_in_the_cni_cache",
        kind: "a namespace by a file's word",
        attack: |stage| {
            let node = "cnitest-4936a752-5b2a-9499-a159-ecf3af7c4d0c";
            sh(&format!(
                "ip link add talos00000000 type bridge; ip netns add {node}; \
                 ip link add veth3a185570 type veth peer name veth0 netns {node}; ip link set veth3a185570 master talos00000000"
            ));
            state(stage, &[]);
            let cache = "lab-23c3de8a-a539-4bf0-ac05-ae5ebb9630de-veth0";
            let text = std::fs::read(format!("{TESTDATA}/state/1.12.0/{cache}")).unwrap();
            stage.write(&format!(".talos/cni/cache/results/{cache}"), text);
            destroyed(stage);
            let stays = Utf8Path::new("/run/netns").join(node).exists();
            sh(&format!(
                "ip netns delete {node} || :; ip link delete talos00000000"
            ));
            assert!(stays);
        },
    },
    Case {
        name: "another_users_node_on_a_bridge_of_that_name",
        kind: "in use by others",
        attack: |stage| {
            let node = "cnitest-4936a752-5b2a-9499-a159-ecf3af7c4d0c";
            sh(&format!(
                "ip link add talosa51146d3 type bridge; ip netns add {node}; \
                 ip link add veth3a185570 type veth peer name veth0 netns {node}; ip link set veth3a185570 master talosa51146d3"
            ));
            let mut machine = Command::new("ip");
            machine.args(["netns", "exec", node, "sh", "-c", "echo; read line"]);
            let mut machine = machine
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            // It is in there once it says so.
            std::io::Read::read_exact(machine.stdout.as_mut().unwrap(), &mut [0]).unwrap();
            state(stage, &[]);
            destroyed(stage);
            let stays =
                has_link("talosa51146d3") && Utf8Path::new("/run/netns").join(node).exists();
            drop(machine.stdin.take());
            machine.wait().unwrap();
            sh(&format!(
                "ip netns delete {node} || :; ip link delete talosa51146d3 || :"
            ));
            assert!(stays);
        },
    },
    Case {
        name: "another_programs_bridge",
        kind: "a bridge by a file's word",
        attack: |stage| {
            sh("ip link add docker0 type bridge");
            if has("iptables") {
                sh("iptables -N DOCKER-USER; iptables -A DOCKER-USER -i docker0 -j DROP");
            }
            state(
                stage,
                &[("bridgename: talosa51146d3", "bridgename: docker0")],
            );
            destroyed(stage);
            assert!(has_link("docker0"));
            if has("iptables") {
                let rules = sh("iptables -S DOCKER-USER");
                sh("iptables -F DOCKER-USER; iptables -X DOCKER-USER");
                assert!(rules.contains("-i docker0 -j DROP"), "{rules}");
            }
            sh("ip link delete docker0");
        },
    },
    Case {
        name: "a_bridge_that_others_use",
        kind: "in use by others",
        attack: |stage| {
            sh(
                "ip link add talosa51146d3 type bridge; ip tuntap add mine0 mode tap; \
                ip link set mine0 master talosa51146d3",
            );
            state(stage, &[]);
            let said = destroyed(stage);
            assert!(!said.stdout.contains("nothing is left"), "{said:?}");
            let action = serde_json::json!({"do": "remove_bridge", "bridge": "talosa51146d3"});
            assert!(!root_step(stage, &action).0);
            let stays = has_link("talosa51146d3");
            sh("ip link delete mine0; ip link delete talosa51146d3");
            assert!(stays);
        },
    },
    Case {
        name: "a_bridge_of_another_users_cluster_of_that_name",
        kind: "in use by others",
        attack: |stage| {
            sh("ip link add talosa51146d3 type bridge");
            stage.attack(&DESTROY).with(0).says("nothing to do");
            let stays = has_link("talosa51146d3");
            sh("ip link delete talosa51146d3");
            assert!(stays);
        },
    },
    Case {
        name: "the_root_helper_and_other_interfaces",
        kind: "root checks for itself",
        attack: |stage| {
            sh("ip link add br-lan type bridge");
            for bridge in ["br-lan", "lo", "talosx", "../lo", ""] {
                let action = serde_json::json!({"do": "remove_bridge", "bridge": bridge});
                assert!(!root_step(stage, &action).0, "{bridge}");
            }
            let stays = has_link("br-lan");
            sh("ip link delete br-lan");
            assert!(stays);
        },
    },
    Case {
        name: "rules_of_another_network",
        kind: "an address by a file's word",
        attack: |stage| {
            if !has_iptables("rules_of_another_network") {
                return;
            }
            // As podman has them, and a state that says they are ours.
            let chain = "CNI-463743b1ababab1f0d70693d";
            sh(&format!(
                "ip address add 10.88.0.1/16 dev lo; iptables -N CNI-FORWARD; iptables -A CNI-FORWARD -s 10.88.0.2/32 -j ACCEPT; \
                 iptables -t nat -N {chain}; iptables -t nat -A POSTROUTING -s 10.88.0.2/32 -m comment --comment 'name: \"podman\" id: \"a\"' -j {chain}"
            ));
            let list = || sh("iptables -S; iptables -t nat -S");
            let before = list();
            state(
                stage,
                &[("172.20.0.0/24", "10.88.0.0/16"), ("172.20.0.", "10.88.0.")],
            );
            destroyed(stage);
            let after = list();
            sh(&format!(
                "ip address delete 10.88.0.1/16 dev lo; iptables -F CNI-FORWARD; iptables -X CNI-FORWARD; \
                 iptables -t nat -F POSTROUTING; iptables -t nat -X {chain}"
            ));
            assert_eq!(after, before);
        },
    },
    Case {
        name: "idle_chains_of_others",
        kind: "nothing says that they are ours",
        attack: |stage| {
            if !has_iptables("idle_chains_of_others") {
                return;
            }
            sh(
                "iptables -N DOCKER-USER; iptables -A DOCKER-USER -j RETURN; \
                iptables -t nat -N CNI-463743b1ababab1f0d70693d",
            );
            let list = || sh("iptables -S; iptables -t nat -S");
            let before = list();
            stage.attack(&DESTROY).with(0);
            let after = list();
            sh("iptables -F DOCKER-USER; iptables -X DOCKER-USER; \
                iptables -t nat -X CNI-463743b1ababab1f0d70693d");
            assert_eq!(after, before);
        },
    },
    Case {
        name: "a_network_as_wide_as_the_internet",
        kind: "an address by a file's word",
        attack: |stage| {
            state(
                stage,
                &[
                    ("172.20.0.0/24", "203.0.0.0/8"),
                    ("172.20.0.", "203.0.113."),
                ],
            );
            stage.freeze(kubeconfig(stage, "lab", "203.0.113.3", ""));
            stage.freeze(stage.write(
                ".talos/config",
                "context: lab\ncontexts:\n  lab:\n    endpoints: [203.0.113.2]\n",
            ));
            destroyed(stage);
        },
    },
    Case {
        name: "a_kubeconfig_of_production",
        kind: "an address that merely lies in the network",
        attack: |stage| {
            state(stage, &[]);
            stage.freeze(kubeconfig(stage, "prod", "172.20.0.77", ""));
            stage.freeze(stage.write(
                ".talos/config",
                "context: prod\ncontexts:\n  prod:\n    endpoints: [172.20.0.77]\n",
            ));
            destroyed(stage);
        },
    },
    Case {
        name: "a_kubeconfig_with_others_in_it",
        kind: "a whole file for one entry",
        attack: |stage| {
            state(stage, &[]);
            let more =
                "- name: work\n  user: {token: another-token}\npreferences: {colors: true}\n";
            let path = kubeconfig(stage, "lab", "172.20.0.1", more);
            destroyed(stage);
            let text = std::fs::read_to_string(path).unwrap();
            assert!(
                text.contains("another-token") && text.contains("colors"),
                "{text}"
            );
        },
    },
    Case {
        name: "a_ledger_that_names_the_root_folder",
        kind: "a path by a file's word",
        attack: |stage| {
            for dir in [
                "/",
                "/home",
                stage.home.as_str(),
                stage.others.as_str(),
                stage.others.join("bystander").as_str(),
                "..",
                "",
            ] {
                ledger(stage, "lab", dir);
                let plan = stage.attack(&["cluster", "destroy", "--name", "lab", "--dry-run"]);
                plan.with(0).is_plain();
                assert!(!plan.stdout.contains("remove"), "{dir}: {plan:?}");
                let said = stage.attack(&DESTROY);
                said.ended()
                    .says("it stays as it is")
                    .says("--name lab` drops the entry");
                let report = stage.attack(&["doctor"]);
                report.ended().says("the ledger names cluster `lab`");
                let text = format!("{}{}", report.stdout, report.stderr);
                assert!(!text.contains("destroy"), "{dir}: {text}");
            }
            stage.attack(&["doctor", "--fix"]).ended();
            let ledger = stage.home.join(".local/state/talos-xtask/ledger.jsonl");
            let text = std::fs::read_to_string(ledger).unwrap();
            assert!(text.contains("\"op\":\"gone\""), "{text}");
        },
    },
    Case {
        name: "a_ledger_with_names_that_are_paths",
        kind: "a path by a file's word",
        attack: |stage| {
            for name in [
                "..",
                "/",
                "../../others",
                "a/b",
                "x\u{1b}[2J",
                "x\nlab  running",
            ] {
                ledger(stage, name, stage.others.join("shared").as_str());
                stage
                    .attack(&["cluster", "list"])
                    .with(0)
                    .is_plain()
                    .says("no clusters");
                let report = stage.attack(&["doctor"]);
                report.ended().is_plain();
                assert!(!report.stdout.contains("destroy"), "{report:?}");
            }
        },
    },
    Case {
        name: "a_clusters_folder_that_is_a_link",
        kind: "links are followed",
        attack: |stage| {
            std::fs::create_dir(stage.others.join("shared/lab")).unwrap();
            std::fs::write(stage.others.join("shared/lab/thesis"), "text").unwrap();
            stage.freeze(&stage.others);
            stage.link(".talos/clusters", stage.others.join("shared"));
            refused(stage, "`clusters` is a link");
        },
    },
    Case {
        name: "a_cluster_that_is_a_link",
        kind: "links are followed",
        attack: |stage| {
            stage.link(".talos/clusters/lab", stage.others.join("bystander"));
            refused(stage, "is a link");
            stage
                .attack(&["cluster", "list"])
                .with(0)
                .says("no clusters");
        },
    },
    Case {
        name: "a_cluster_that_is_a_mount_point",
        kind: "mounts are entered",
        attack: |stage| {
            let folder = stage.dir(".talos/clusters/lab");
            let own = stage.dir("documents");
            stage.freeze(stage.write("documents/thesis", "text"));
            sh(&format!("mount --bind {own} {folder}"));
            let said = stage.attack(&DESTROY);
            let (ok, _) = remove_owned(stage, &folder, "cluster");
            sh(&format!("umount {folder}"));
            said.with(3).says("is a mount point");
            assert!(!ok);
        },
    },
    Case {
        name: "a_mount_in_a_cluster",
        kind: "mounts are entered",
        attack: |stage| {
            let inner = stage.dir(".talos/clusters/lab/lab-worker-1-tpm");
            sh(&format!("mount --bind {}/root {inner}", stage.others));
            let (ok, said) =
                remove_owned(stage, &stage.home.join(".talos/clusters/lab"), "cluster");
            sh(&format!("umount {inner}"));
            assert!(!ok && said.contains("mount point"), "{said}");
        },
    },
    Case {
        name: "a_cluster_of_another_user",
        kind: "another user's",
        attack: |stage| {
            let folder = stage.dir(".talos/clusters/lab");
            stage.write(".talos/clusters/lab/thesis", "text");
            chown(&folder, Some(BYSTANDER), Some(BYSTANDER)).unwrap();
            refused(stage, "belongs to user");
            assert!(!remove_owned(stage, &folder, "cluster").0);
        },
    },
    Case {
        name: "a_folder_swapped_for_a_link",
        kind: "looked at once, removed later",
        attack: |stage| {
            state(stage, &[]);
            let folder = stage.home.join(".talos/clusters/lab");
            let plan = ["cluster", "destroy", "--name", "lab", "--format", "json"];
            let plan: serde_json::Value =
                serde_json::from_str(&stage.attack(&plan).with(0).stdout).unwrap();
            let steps = plan["steps"].as_array().unwrap();
            let removal = steps
                .iter()
                .find(|step| step["action"]["do"] == "remove_owned");
            let action = &removal.unwrap()["action"];
            std::fs::rename(&folder, stage.home.join("away")).unwrap();
            symlink(stage.others.join("shared"), &folder).unwrap();
            let (ok, said) = root_step(stage, action);
            assert!(!ok && said.contains("is a link"), "{said}");
            assert!(folder.symlink_metadata().unwrap().is_symlink());
        },
    },
    Case {
        name: "a_script_meets_a_link",
        kind: "looked at once, removed later",
        attack: |stage| {
            state(stage, &[]);
            let folder = stage.home.join(".talos/clusters/lab");
            let plan = ["cluster", "destroy", "--name", "lab", "--format", "sh"];
            let script = stage.attack(&plan).with(0).stdout.clone();
            let script = stage.write("destroy.sh", script);
            std::fs::rename(&folder, stage.home.join("away")).unwrap();
            symlink(stage.others.join("shared"), &folder).unwrap();
            let said = stage.run(stage.program("sh").arg(&script));
            assert_ne!(said.code, 0, "{said:?}");
            assert!(folder.symlink_metadata().unwrap().is_symlink());
        },
    },
    Case {
        name: "the_root_helper_and_paths_of_others",
        kind: "root checks for itself",
        attack: |stage| {
            stage.dir("documents/clusters/lab");
            stage.write("thesis", "text");
            stage.freeze(stage.home.join("thesis"));
            for (path, owned) in [
                ("/", "cluster"),
                ("/mnt", "cluster"),
                (stage.others.as_str(), "cluster"),
                (stage.others.join("shared").as_str(), "cluster"),
                (stage.others.join("shared").as_str(), "lab"),
                (stage.others.join("root").as_str(), "lab"),
                (stage.others.join("shared/root-secret").as_str(), "pid_file"),
                (
                    stage.others.join("shared/root-secret").as_str(),
                    "cni_cache",
                ),
                (stage.home.join("thesis").as_str(), "pid_file"),
                (stage.home.join("thesis").as_str(), "cni_cache"),
                (
                    stage.home.join("documents/clusters/../../thesis").as_str(),
                    "cluster",
                ),
                (stage.home.join("documents/clusters").as_str(), "cluster"),
                ("relative/clusters/lab", "cluster"),
            ] {
                let (ok, said) = remove_owned(stage, path.into(), owned);
                assert!(!ok, "{path} as {owned}: {said}");
            }
            if stage.identity == Identity::User {
                let path = stage.others.join("shared");
                let action = serde_json::json!({"do": "remove", "path": path});
                assert!(!root_step(stage, &action).0);
            }
        },
    },
    Case {
        name: "root_folders_that_look_like_a_cluster",
        kind: "root checks for itself",
        attack: |stage| {
            // All root's, and none of it near anything of the user's.
            let folder = stage.others.join("root/x/clusters/lab");
            std::fs::create_dir_all(&folder).unwrap();
            if stage.identity == Identity::User {
                stage.freeze(&stage.others);
                assert!(!remove_owned(stage, &folder, "cluster").0);
            }
        },
    },
    Case {
        name: "names_that_are_paths_or_lines",
        kind: "a name is more than a name",
        attack: |stage| {
            state(stage, &[]);
            stage.freeze(stage.home.join(".talos"));
            for name in [
                "..",
                ".",
                "",
                "/",
                "a/b",
                "../clusters/lab",
                "lab\nx",
                "lab\u{1b}[31m",
                "\u{7}",
            ] {
                for words in [&["cluster", "destroy", "--yes"][..], &["cluster", "status"]] {
                    let said = stage.attack(&[words, &["--name", name]].concat());
                    said.with(2).is_plain();
                }
            }
        },
    },
    Case {
        name: "a_folder_whose_name_is_two_lines",
        kind: "a name is more than a name",
        attack: |stage| {
            stage.dir(".talos/clusters/a\nprod                     running    10.0.0.0/24        9 node(s)");
            stage.dir(".talos/clusters/b\u{1b}]0;owned\u{7}");
            let said = stage.attack(&["cluster", "list"]);
            said.with(0).is_plain();
            assert_eq!(said.stdout.lines().count(), 2, "{said:?}");
            let report = stage.attack(&["doctor"]);
            report.ended().is_plain();
            assert!(
                !report.stdout.lines().any(|line| line.starts_with("prod")),
                "{report:?}"
            );
            assert!(!report.stdout.contains("destroy"), "{report:?}");
        },
    },
    Case {
        name: "pid_files_of_others",
        kind: "a process by a file's word",
        attack: |stage| {
            state(stage, &[]);
            let mut sleeper = bystander("sleep", &["600"]);
            let mut launcher = bystander("talosctl", &["600"]);
            for (file, pid) in [
                ("lab-worker-1.pid", sleeper.id()),
                ("lab-controlplane-1.pid", launcher.id()),
                ("dhcpd.pid", 1),
                ("lb.pid", std::process::id()),
            ] {
                stage.write(&format!(".talos/clusters/lab/{file}"), pid.to_string());
            }
            destroyed(stage);
            let lives = [&mut sleeper, &mut launcher].map(|child| {
                let lives = child.try_wait().unwrap().is_none();
                child.kill().unwrap();
                child.wait().unwrap();
                lives
            });
            assert_eq!(lives, [true, true]);
        },
    },
    Case {
        name: "a_pid_file_that_names_another_users_launcher",
        kind: "a process by a file's word",
        attack: |stage| {
            stage.dir(".talos/clusters/lab");
            // By its arguments a launcher, of a cluster that only root can tell.
            std::fs::write(stage.others.join("shared/qemu-launch"), "read line\n").unwrap();
            let mut launcher = Command::new("sh");
            launcher
                .arg0("talosctl")
                .arg("qemu-launch")
                .current_dir(stage.others.join("shared"))
                .uid(BYSTANDER)
                .gid(BYSTANDER);
            let mut launcher = launcher
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            let pid = launcher.id().to_string();
            stage.write(".talos/clusters/lab/lab-worker-1.pid", pid);
            destroyed(stage);
            let lives = launcher.try_wait().unwrap().is_none();
            drop(launcher.stdin.take());
            launcher.wait().unwrap();
            assert!(lives);
        },
    },
    Case {
        name: "a_state_whose_nodes_lie_elsewhere",
        kind: "a path by a file's word",
        attack: |stage| {
            let bystander = stage.others.join("bystander");
            state(
                stage,
                &[
                    (
                        "name: lab-worker-1",
                        "name: ../../../../others/bystander/file",
                    ),
                    ("tpmstatedir: \"\"", &format!("tpmstatedir: {bystander}")),
                ],
            );
            stage
                .attack(&["cluster", "status", "--name", "lab"])
                .with(1)
                .is_plain();
            destroyed(stage);
        },
    },
    Case {
        name: "nobody_was_asked",
        kind: "destroys without a question",
        attack: |stage| {
            state(stage, &[]);
            stage.freeze(stage.home.join(".talos"));
            let said = stage.attack(&DESTROY[..4]);
            said.with(2).says("cluster destroy --name lab --yes");
        },
    },
    Case {
        name: "a_packet_filter_that_does_not_answer",
        kind: "a failed look is nothing there",
        attack: |stage| {
            state(stage, &[]);
            stage.freeze(stage.home.join(".talos"));
            let iptables = stage.write("bin/iptables", "#!/bin/sh\nexit 4\n");
            std::fs::set_permissions(&iptables, PermissionsExt::from_mode(0o755)).unwrap();
            let path = format!(
                "{}:{}",
                stage.home.join("bin"),
                std::env::var("PATH").unwrap()
            );
            let said = stage.run(stage.xtask(&DESTROY).env("PATH", path));
            said.with(3);
            assert!(!said.stdout.contains("nothing is left"), "{said:?}");
        },
    },
    Case {
        name: "an_ip_that_does_not_answer",
        kind: "a failed look is nothing there",
        attack: |stage| {
            state(stage, &[]);
            stage.freeze(stage.home.join(".talos"));
            let ip = stage.write("bin/ip", "#!/bin/sh\nexit 255\n");
            std::fs::set_permissions(&ip, PermissionsExt::from_mode(0o755)).unwrap();
            let path = format!(
                "{}:{}",
                stage.home.join("bin"),
                std::env::var("PATH").unwrap()
            );
            stage.run(stage.xtask(&DESTROY).env("PATH", path)).with(3);
        },
    },
    Case {
        name: "a_state_that_is_a_fifo",
        kind: "unreadable is absent",
        attack: |stage| {
            stage.dir(".talos/clusters/lab");
            stage.fifo(".talos/clusters/lab/state.yaml");
            refused(stage, "FIFO");
        },
    },
    Case {
        name: "a_cni_cache_that_cannot_be_read",
        kind: "unreadable is absent",
        attack: |stage| {
            state(stage, &[]);
            stage.dir(".talos/cni/cache/results");
            stage.fifo(".talos/cni/cache/results/lab-23c3de8a-a539-4bf0-ac05-ae5ebb9630de-veth0");
            stage.freeze(stage.home.join(".talos"));
            stage.attack(&DESTROY).with(3);
        },
    },
    Case {
        name: "clusters_that_cannot_be_listed",
        kind: "unreadable is absent",
        attack: |stage| {
            let clusters = stage.dir(".talos/clusters");
            stage.dir(".talos/clusters/lab");
            std::fs::set_permissions(&clusters, PermissionsExt::from_mode(0o000)).unwrap();
            if stage.identity == Identity::User {
                stage.attack(&["cluster", "list"]).with(3);
                stage.attack(&DESTROY).with(3);
            }
            let report = stage.attack(&["doctor"]);
            report.ended();
            if stage.identity == Identity::User {
                assert!(!report.stdout.contains("nothing left of any"), "{report:?}");
            }
        },
    },
    Case {
        name: "a_process_table_that_cannot_be_read",
        kind: "a failed look is nothing there",
        attack: |stage| {
            state(stage, &[]);
            stage.freeze(stage.home.join(".talos"));
            // Only root can take the table away.
            let (id, words) = (stage.identity.uid(), DESTROY.join(" "));
            let script = format!(
                "mount -t tmpfs tmpfs /proc; \
                 exec setpriv --reuid {id} --regid {id} --clear-groups -- {BINARY} {words}"
            );
            let mut command = Command::new("unshare");
            command
                .args(["--mount", "--propagation", "private", "sh", "-c", &script])
                .env("HOME", &stage.home)
                .current_dir(&stage.home);
            let said = stage.run(&mut command);
            said.ended();
            assert_ne!(said.code, 0, "{said:?}");
        },
    },
    Case {
        name: "the_root_helper_and_processes_of_others",
        kind: "root checks for itself",
        attack: |stage| {
            let mut sleeper = bystander("sleep", &["600"]);
            let pid = i32::try_from(sleeper.id()).unwrap();
            let process = foundation::ctx::processes::Process::probe(pid).unwrap();
            let host = foundation::ctx::host::Host::probe();
            let mut identity = process.identity(&host, "qemu of lab-worker-1");
            identity.cluster = Some(stage.dir(".talos/clusters/lab"));
            let action = serde_json::json!({"do": "stop", "process": identity, "grace_seconds": 1});
            let (ok, said) = root_step(stage, &action);
            let lives = sleeper.try_wait().unwrap().is_none();
            sleeper.kill().unwrap();
            sleeper.wait().unwrap();
            assert!(lives && !ok, "{said}");
        },
    },
    Case {
        name: "a_lab_that_is_a_link",
        kind: "links are followed",
        attack: |stage| {
            stage.write("documents/lab.json", "{}");
            stage.freeze(stage.write("documents/thesis", "text"));
            let lab = stage.link("lab", stage.home.join("documents"));
            let said = stage.run(stage.xtask(&["lab", "down"]).env("XTASK_LAB_DIR", &lab));
            said.ended();
            assert_ne!(said.code, 0, "{said:?}");
            assert!(!remove_owned(stage, &lab, "lab").0);
        },
    },
];

//! A control plane and a worker that run Talos itself, made by a user who may use sudo. Kubernetes is not waited for: beside
//! another emulated node its API server does not start on two processors.

use serde_json::Value;

use super::{INVENTORY, Lab, ok, status};
use crate::in_lab::talos::{self, until_right};

const NODES: [&str; 2] = ["talos-default-controlplane-1", "talos-default-worker-1"];
/// The lab's patch of machine configurations, which is root's here.
const PATCH: &str = "settings=.cargo/xtask.toml; patch=$(sed -n 's/^config-patches = \\[\"@\\(.*\\)\"\\]$/\\1/p' $settings); \
    install -m 644 \"$patch\" ~/machine.yaml; sed -i \"s#@$patch#@$HOME/machine.yaml#\" $settings";
/// As what the discovery service tells a worker: its certificate comes from there.
const CONTROL_PLANE: &str =
    "printf 'cluster:\\n  controlPlane:\\n    endpoint: https://172.20.0.2:6443\\n' >worker.yaml";

#[test]
fn two_nodes_of_a_user() {
    let test = "two_nodes_of_a_user";
    let Some(lab) = Lab::alone(test) else {
        return;
    };
    ok(&lab, &["lab", "up", "--nodes", "real"]);
    let Some(lab) = lab.given_to_user(test) else {
        return;
    };
    lab.sh(PATCH);
    lab.sh(CONTROL_PLANE);
    let before = lab.sh(INVENTORY);
    let words = [
        "--workers",
        "1",
        "--no-wait",
        "--config-patch-worker",
        "@worker.yaml",
    ];
    lab.ok(&[&["cluster", "up"], &words[..]].concat());
    // Nothing of the user's own is root's.
    assert_eq!(lab.sh("find ~/.local -user root"), "");

    talos::services_are_well(&lab, "172.20.0.2", talos::SERVICES);
    let of_worker = ["apid", "containerd", "cri", "machined"];
    talos::services_are_well(&lab, "172.20.0.3", &of_worker);
    let seen = status(&lab);
    let names: Vec<_> = seen["nodes"].as_array().unwrap().iter().collect();
    assert_eq!(names.len(), 2, "{seen:#}");
    let logs = lab.ok(&["cluster", "logs"]);
    for node in NODES {
        let has_phases = |line: &str| line.contains(node) && line.contains("phase startEverything");
        assert!(logs.lines().any(has_phases), "{node}");
    }
    until_right(|| {
        let words = ["pprof", "machined", "heap", "--all-nodes", "--json"];
        let profiles: Value = serde_json::from_str(&lab.said(&words)?).unwrap();
        let is_of = |node: &str| profiles.to_string().contains(node);
        let is_of_all = NODES.into_iter().all(is_of).then_some(());
        is_of_all.ok_or_else(|| format!("{profiles:#}"))
    });

    lab.ok(&["cluster", "destroy", "--yes"]);
    assert_eq!(lab.sh(INVENTORY), before);
}

//! Talos of the release line before the lab's own, with its own talosctl and its own Kubernetes.

use serde_json::Value;

use super::{Lab, ok, status};
use crate::in_lab::talos;

const VERSION: &str = "v1.12.0";
const NODE: &str = "talos-default-controlplane-1";

#[test]
fn an_earlier_line_of_talos() {
    let Some(lab) = Lab::alone("an_earlier_line_of_talos") else {
        return;
    };
    ok(
        &lab,
        &["lab", "up", "--nodes", "real", "--talosctl", VERSION],
    );
    // Ends once Kubernetes is ready.
    ok(&lab, &["--lab=real", "cluster"]);
    assert_eq!(status(&lab)["cluster"]["state"], "running");

    let version = lab.ok(&["talosctl", "--", "version"]);
    let (client, server) = version.split_once("Server:").unwrap();
    for part in [client, server] {
        assert!(part.contains(VERSION), "{version}");
    }
    talos::services_are_well(&lab, "172.20.0.2", talos::SERVICES);
    talos::profiles_are_of_its_processes(&lab);
    let nodes = lab.ok(&["kubectl", "--", "get", "nodes", "-o", "json"]);
    let nodes: Value = serde_json::from_str(&nodes).unwrap();
    let release = &nodes["items"][0]["status"]["nodeInfo"];
    assert!(
        release["osImage"].as_str().unwrap().contains(VERSION),
        "{release:#}"
    );
    assert!(
        release["kubeletVersion"]
            .as_str()
            .unwrap()
            .starts_with("v1.35."),
        "{release:#}"
    );

    let boot = || lab.ok(&["talosctl", "--", "read", "/proc/sys/kernel/random/boot_id"]);
    let before = boot();
    lab.ok(&["cluster", "reboot", NODE, "--timeout", "20m"]);
    assert_ne!(boot(), before);

    lab.ok(&["cluster", "destroy", "--yes"]);
    assert_eq!(status(&lab)["cluster"]["state"], "absent");
}

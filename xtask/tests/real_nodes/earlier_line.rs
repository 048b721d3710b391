//! Talos of the release line before the lab's own, with its own talosctl, etcd and kubelet. Kubernetes is not waited for: that of the
//! lab's own line is (tests/real.rs).

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
    lab.ok(&["cluster", "up", "--no-wait"]);
    let of_metal = ["auditd", "etcd", "kubelet", "udevd"];
    let services = [talos::SERVICES, &of_metal].concat();
    talos::services_are_well(&lab, "172.20.0.2", &services);

    let version = lab.ok(&["talosctl", "--", "version"]);
    let (client, server) = version.split_once("Server:").unwrap();
    for part in [client, server] {
        assert!(part.contains(VERSION), "{version}");
    }
    assert_eq!(status(&lab)["cluster"]["talos"], VERSION);
    talos::profiles_are_of_its_processes(&lab);

    let boot = || lab.ok(&["talosctl", "--", "read", "/proc/sys/kernel/random/boot_id"]);
    let before = boot();
    // A power cycle may lose images that were pulled in the last half minute.
    lab.ok(&["cluster", "reboot", NODE, "--graceful", "--timeout", "20m"]);
    assert_ne!(boot(), before);
    talos::services_are_well(&lab, "172.20.0.2", &services);

    lab.ok(&["cluster", "destroy", "--yes"]);
    assert_eq!(status(&lab)["cluster"]["state"], "absent");
}

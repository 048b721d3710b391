//! Compares `state.yaml` with what talosctl writes for a cluster of that name in
//! that folder. Any process of the user can write the file, and talosctl follows
//! it as root.

use camino::Utf8Path;
use talos::network::Cidr;
use talos::state::{ClusterState, NodeFile, NodeState};

/// Returns a sentence for each implausible value.
pub(super) fn doubts(saved: &ClusterState, name: &str, state_dir: &Utf8Path) -> Vec<String> {
    let mut doubts = Vec::new();
    let cluster = &saved.cluster;
    if cluster.name != name {
        doubts.push(format!("state.yaml belongs to cluster `{}`", cluster.name));
    }
    if cluster.network.name != name && !cluster.network.name.is_empty() {
        doubts.push(format!(
            "state.yaml has network `{}` instead of `{name}`",
            cluster.network.name
        ));
    }
    let bridge = talos::names::bridge_name(name);
    // A docker cluster has no such bridge.
    if saved.bridge != bridge && saved.provisioner == "qemu" {
        doubts.push(format!(
            "state.yaml has bridge `{}` instead of `{bridge}`",
            saved.bridge
        ));
    }
    let networks: Vec<Cidr> = cluster
        .network
        .cidrs
        .iter()
        .filter_map(|text| Cidr::parse(text).ok())
        .collect();
    doubts.extend(
        networks
            .iter()
            .filter(|cidr| !cidr.may_be_a_clusters())
            .map(|cidr| format!("state.yaml has network {cidr}, too large for one cluster")),
    );
    let all = cluster.nodes.iter().chain(&cluster.extra_nodes);
    doubts.extend(all.filter_map(|node| node_doubt(node, state_dir)));
    doubts
}

/// talosctl signals the process in the pid file at `id`, and removes the TPM's
/// folder.
fn node_doubt(node: &NodeState, state_dir: &Utf8Path) -> Option<String> {
    let doubt = |what: &str| Some(format!("state.yaml gives node `{}` {what}", node.name));
    if node.name.contains('/') {
        return doubt("a name that is a path");
    }
    let pid_file = state_dir.join(NodeFile::Pid.name(&node.name));
    if !node.id.is_empty() && !is_same_place(Utf8Path::new(&node.id), &pid_file) {
        return doubt("a pid file outside its folder");
    }
    let tpm = Utf8Path::new(&node.tpm_state_dir);
    let is_inside = |name| is_same_place(tpm, &state_dir.join(name));
    if !node.tpm_state_dir.is_empty() && !tpm.file_name().is_some_and(is_inside) {
        return doubt("a TPM outside its folder");
    }
    None
}

/// HOME may have two spellings if its path contains a link.
fn is_same_place(one: &Utf8Path, other: &Utf8Path) -> bool {
    let resolved = |path: &Utf8Path| path.parent()?.canonicalize_utf8().ok();
    one == other
        || (one.file_name() == other.file_name()
            && resolved(one).is_some_and(|folder| resolved(other) == Some(folder)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: [&str; 3] = [
        include_str!("../../../../../testdata/state/1.11.0/state.yaml"),
        include_str!("../../../../../testdata/state/1.12.0/state.yaml"),
        include_str!("../../../../../testdata/state/1.13.0/state.yaml"),
    ];

    fn doubts_about(text: &str) -> Vec<String> {
        let saved = ClusterState::parse(text).unwrap();
        doubts(
            &saved,
            "lab",
            Utf8Path::new("/home/dev/.talos/clusters/lab"),
        )
    }

    #[test]
    fn what_talosctl_wrote_is_believed() {
        for text in RECORDED {
            assert!(doubts_about(text).is_empty(), "{:?}", doubts_about(text));
        }
    }

    #[test]
    fn what_no_cluster_of_that_name_has_is_not() {
        let text = RECORDED[1];
        for (from, to, said) in [
            (
                "bridgename: talosa51146d3",
                "bridgename: docker0",
                "docker0",
            ),
            ("clustername: lab", "clustername: prod", "prod"),
            ("        name: lab\n", "        name: podman\n", "podman"),
            ("172.20.0.0/24", "172.0.0.0/8", "too large"),
            (
                "/home/dev/.talos/clusters/lab/lab-worker-1.pid",
                "/run/sshd.pid",
                "pid file",
            ),
            ("tpmstatedir: \"\"", "tpmstatedir: /home/dev", "TPM"),
            ("name: lab-worker-1", "name: ../../x", "path"),
        ] {
            let forged = text.replacen(from, to, 1);
            assert_ne!(forged, text, "{from}");
            let doubts = doubts_about(&forged);
            assert!(
                doubts.iter().any(|doubt| doubt.contains(said)),
                "{to}: {doubts:?}"
            );
        }
    }
}

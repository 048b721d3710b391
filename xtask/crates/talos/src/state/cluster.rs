//! `state.yaml`: what talosctl knows of a cluster that it finished creating.
//!
//! Source: pkg/provision/{state,result}.go; keys are the Go names in lower case.

use super::StateError;
use crate::names::Role;
use serde::{Deserialize, Deserializer};
use std::net::IpAddr;

const FILE: &str = "state.yaml";

/// A cluster's `state.yaml`. Keys that are not read here may be anything.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ClusterState {
    /// `qemu` or `docker`.
    #[serde(rename = "provisionername")]
    pub provisioner: String,
    /// Empty for docker.
    #[serde(rename = "bridgename", default)]
    pub bridge: String,
    #[serde(rename = "clusterinfo")]
    pub cluster: ClusterInfo,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ClusterInfo {
    #[serde(rename = "clustername")]
    pub name: String,
    pub network: NetworkInfo,
    /// In no particular order: talosctl starts nodes in parallel.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub nodes: Vec<NodeState>,
    /// PXE-booted machines outside the cluster.
    #[serde(rename = "extranodes", default, deserialize_with = "null_is_empty")]
    pub extra_nodes: Vec<NodeState>,
    /// `https://172.20.0.1:6443`.
    #[serde(rename = "kubernetesendpoint", default)]
    pub kubernetes_endpoint: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NetworkInfo {
    #[serde(default)]
    pub name: String,
    /// `172.20.0.0/24`, and an IPv6 one with `--ipv6`.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub cidrs: Vec<String>,
    #[serde(rename = "gatewayaddrs", default, deserialize_with = "null_is_empty")]
    pub gateways: Vec<IpAddr>,
    /// Bytes; 0 if unknown.
    #[serde(default)]
    pub mtu: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NodeState {
    /// Path of its pid file.
    #[serde(default)]
    pub id: String,
    pub name: String,
    /// `controlplane`, `init` or `worker`.
    #[serde(rename = "type", default)]
    machine_type: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    ips: Vec<IpAddr>,
    /// Port of the launcher's control API on the gateway; 0 for docker.
    #[serde(rename = "apiport", default)]
    pub api_port: u16,
    /// Empty without a TPM; `tpm2statedir` in 1.9.
    #[serde(rename = "tpmstatedir", alias = "tpm2statedir", default)]
    pub tpm_state_dir: String,
    /// Bytes of memory.
    #[serde(default)]
    pub memory: u64,
}

impl NodeState {
    pub fn role(&self) -> Option<Role> {
        Role::parse(&self.machine_type)
    }

    pub fn ip(&self) -> Option<IpAddr> {
        self.ips.first().copied()
    }
}

/// Go writes an empty slice as `[]` and a nil one as `null`.
pub(super) fn null_is_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl ClusterState {
    /// Reads a whole `state.yaml`.
    ///
    /// # Errors
    /// [`StateError::Empty`] or [`StateError::Malformed`] with the place, for a
    /// file cut off while it was written: then the cluster is half-made.
    pub fn parse(text: &str) -> Result<Self, StateError> {
        if text.trim().is_empty() {
            return Err(StateError::Empty { file: FILE });
        }
        let cut = without_cni_payload(text);
        crate::yaml::from_str(cut).map_err(|error| {
            let (line, column) = error
                .location()
                .map_or((0, 0), |at| (at.line(), at.column()));
            StateError::Malformed {
                file: FILE,
                line,
                column,
                reason: error.to_string(),
            }
        })
    }

    /// Nodes, control planes first, as they got their addresses.
    pub fn sorted_nodes(&self) -> Vec<&NodeState> {
        let mut nodes: Vec<_> = self.cluster.nodes.iter().collect();
        nodes.sort_by(|a, b| (a.role(), a.ip(), &a.name).cmp(&(b.role(), b.ip(), &b.name)));
        nodes
    }
}

/// Cuts the file off inside `vmcniconfig`, after its scalars: the rest is byte
/// arrays at a line per byte, nine tenths of the file, and the last part of it.
fn without_cni_payload(text: &str) -> &str {
    let Some(start) = text.find("\nvmcniconfig:") else {
        return text;
    };
    match text[start..].find("\n    plugins:") {
        Some(plugins) => &text[..=start + plugins],
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RECORDED: [&str; 3] = [
        include_str!("../../../../testdata/state/1.11.0/state.yaml"),
        include_str!("../../../../testdata/state/1.12.0/state.yaml"),
        include_str!("../../../../testdata/state/1.13.0/state.yaml"),
    ];

    #[test]
    fn real_files_of_three_lines() {
        for text in RECORDED {
            let state = ClusterState::parse(text).unwrap();
            assert_eq!(
                (state.provisioner.as_str(), state.bridge.as_str()),
                ("qemu", "talosa51146d3")
            );
            assert_eq!(state.cluster.name, "lab");
            assert_eq!(state.cluster.network.cidrs, ["172.20.0.0/24"]);
            assert_eq!(
                state.cluster.network.gateways,
                ["172.20.0.1".parse::<IpAddr>().unwrap()]
            );
            let nodes = state.sorted_nodes();
            assert_eq!(nodes[0].role(), Some(Role::ControlPlane));
            assert_eq!(nodes[0].ip().unwrap().to_string(), "172.20.0.2");
            assert_eq!(nodes[1].name, "lab-worker-1");
            assert!(
                nodes
                    .iter()
                    .all(|node| node.api_port > 1024 && node.tpm_state_dir.is_empty())
            );
        }
    }

    #[test]
    fn the_payload_may_be_read_too() {
        for text in RECORDED {
            let all: ClusterState = yaml_serde::from_str(text).unwrap();
            assert_eq!(all, ClusterState::parse(text).unwrap());
        }
    }

    #[test]
    fn docker_and_1_9() {
        let text = "provisionername: docker\nbridgename: \"\"\nclusterinfo:\n    clustername: d\n    network:\n        name: d\n        cidrs: null\n    nodes: null\n    extranodes: null\nvmcniconfig: null\n";
        let state = ClusterState::parse(text).unwrap();
        assert_eq!(state.provisioner, "docker");
        let old = RECORDED[1].replace("tpmstatedir: \"\"", "tpm2statedir: /s/x-tpm");
        let state = ClusterState::parse(&old).unwrap();
        assert_eq!(state.cluster.nodes[0].tpm_state_dir, "/s/x-tpm");
    }

    #[test]
    fn half_written_is_an_error_with_its_place() {
        assert!(matches!(
            ClusterState::parse("\n"),
            Err(StateError::Empty { .. })
        ));
        let cut = &RECORDED[1][..RECORDED[1].find("ips:").unwrap() - 30];
        let error = ClusterState::parse(&format!("{cut}\n  : [")).unwrap_err();
        assert!(
            matches!(error, StateError::Malformed { line: 1.., .. }),
            "{error}"
        );
        let error = ClusterState::parse("provisionername: qemu\n").unwrap_err();
        assert!(error.to_string().contains("clusterinfo"), "{error}");
    }

    proptest! {
        #[test]
        fn any_cut_is_an_answer(at in 0usize..9000) {
            let text = RECORDED[2];
            let _ = ClusterState::parse(&text[..at.min(text.len())]);
        }
    }
}

//! libcni's cache files, `~/.talos/cni/cache/results/<network>-<uuid>-veth0`:
//! the one place that links a cluster's node to its network namespace, its veth
//! and its NAT chain after the launcher is gone (T18).
//!
//! Source: github.com/containernetworking/cni/libcni/api.go (`cachedInfo`).

use super::StateError;
use crate::names;
use serde::Deserialize;
use std::net::IpAddr;

const FILE: &str = "CNI cache file";

/// What CNI set up for one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CniAttachment {
    pub network: String,
    /// Random, one per start of the launcher.
    pub container_id: String,
    /// `/var/run/netns/cnitest-<uuid>`; older libcni did not write it.
    pub netns: Option<String>,
    /// The node's addresses.
    pub ips: Vec<IpAddr>,
    /// Host end of the veth pair, a port of the bridge.
    pub host_veth: Option<String>,
    pub bridge: Option<String>,
}

impl CniAttachment {
    /// Reads a cache file.
    ///
    /// # Errors
    /// [`StateError::Empty`] or [`StateError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, StateError> {
        if text.trim().is_empty() {
            return Err(StateError::Empty { file: FILE });
        }
        let cache: Cache = serde_json::from_str(text).map_err(|e| StateError::json(FILE, &e))?;
        let on_host = |prefix: &str| {
            let mut host = cache
                .result
                .interfaces
                .iter()
                .filter(|i| i.sandbox.is_empty());
            host.find(|i| i.name.starts_with(prefix))
                .map(|i| i.name.clone())
        };
        let address = |ip: &Ip| ip.address.split('/').next()?.parse().ok();
        Ok(Self {
            ips: cache.result.ips.iter().filter_map(address).collect(),
            host_veth: on_host("veth"),
            bridge: on_host("talos"),
            network: cache.network_name,
            container_id: cache.container_id,
            netns: cache.netns,
        })
    }

    /// Its chain in the nat table, see [`names::cni_chain`]. None exists with `--airgapped`.
    pub fn nat_chain(&self) -> String {
        names::cni_chain(&self.network, &self.container_id)
    }

    /// Name of its network namespace in /run/netns.
    pub fn netns_name(&self) -> Option<&str> {
        self.netns
            .as_deref()?
            .rsplit('/')
            .next()
            .filter(|name| names::is_cni_netns(name))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cache {
    container_id: String,
    network_name: String,
    netns: Option<String>,
    #[serde(default)]
    result: CniResult,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CniResult {
    interfaces: Vec<Interface>,
    ips: Vec<Ip>,
}

#[derive(Deserialize)]
struct Interface {
    #[serde(default)]
    name: String,
    #[serde(default)]
    sandbox: String,
}

#[derive(Deserialize)]
struct Ip {
    #[serde(default)]
    address: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = include_str!(
        "../../../../../testdata/state/1.12.0/lab-23c3de8a-a539-4bf0-ac05-ae5ebb9630de-veth0"
    );

    #[test]
    fn a_real_one() {
        let node = CniAttachment::parse(RECORDED).unwrap();
        assert_eq!(node.network, "lab");
        assert_eq!(
            node.netns_name(),
            Some("cnitest-4936a752-5b2a-9499-a159-ecf3af7c4d0c")
        );
        assert_eq!(node.ips, ["172.20.0.2".parse::<IpAddr>().unwrap()]);
        assert_eq!(node.host_veth.as_deref(), Some("veth3a185570"));
        assert_eq!(node.bridge.as_deref(), Some("talosa51146d3"));
        assert_eq!(node.nat_chain(), "CNI-ddbf05610d98d165fc10d608");
    }

    #[test]
    fn half_written() {
        assert!(matches!(
            CniAttachment::parse(""),
            Err(StateError::Empty { .. })
        ));
        assert!(matches!(
            CniAttachment::parse(&RECORDED[..90]),
            Err(StateError::Malformed { .. })
        ));
    }
}

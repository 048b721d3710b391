//! A cluster's bridge: whether the interface is a bridge, and which of its
//! ports talosctl did not create.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use talos::names::is_cni_netns;
use talos::network::Cidr;

use super::network::{Interface, has_interface};
use super::probe::Probe;
use crate::failure::{Failure, Result};
use crate::program;
use crate::typed;

/// The current state of a bridge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bridge {
    pub name: String,
    /// Names of the network namespaces of the nodes attached to it.
    pub namespaces: Vec<String>,
    /// Attached interfaces that do not belong to nodes.
    pub foreign: Vec<String>,
    /// The networks of its addresses.
    pub networks: Vec<Cidr>,
}

#[derive(Deserialize)]
struct Link {
    #[serde(default)]
    ifname: String,
    #[serde(rename = "link_netnsid")]
    namespace: Option<i64>,
    master: Option<String>,
}

#[derive(Deserialize)]
struct NetnsId {
    nsid: i64,
    name: Option<String>,
}

impl Bridge {
    /// Reads the bridge; `None` if there is no interface of that name.
    ///
    /// # Errors
    /// If the interfaces cannot be listed, or the interface is not a bridge.
    pub fn probe(name: &str) -> Result<Option<Self>> {
        if !has_interface(name)? {
            return Ok(None);
        }
        match Self::of_interface(name) {
            // The cluster may have been destroyed meanwhile.
            Err(_) if !has_interface(name)? => Ok(None),
            other => other.map(Some),
        }
    }

    fn of_interface(name: &str) -> Result<Self> {
        let bridges: Vec<Link> = ip_json(&["ip", "-json", "link", "show", "type", "bridge"])?;
        if !bridges.iter().any(|link| link.ifname == name) {
            return Err(Failure::host(format!("interface `{name}` is not a bridge"))
                .hint(program!("ip -d link show {}", name)));
        }
        let ports: Vec<Link> = ip_json(&["ip", "-json", "link", "show", "master", name])?;
        let ids: Vec<NetnsId> = ip_json(&["ip", "-json", "netns", "list-id"])?;
        let mut bridge = Self {
            name: name.to_owned(),
            networks: networks(|interface| interface == name)?,
            ..Self::default()
        };
        for port in ports {
            // A namespace without a name is being removed at this moment.
            let namespace = ids
                .iter()
                .find(|id| port.namespace == Some(id.nsid))
                .and_then(|id| id.name.clone());
            let is_a_nodes = namespace.as_deref().is_none_or(is_cni_netns);
            if !is_a_nodes || port.namespace.is_none() || !is_cni_veth(&port.ifname) {
                bridge.foreign.push(port.ifname);
            } else if let Some(namespace) = namespace {
                bridge.namespaces.push(namespace);
            }
        }
        Ok(bridge)
    }
}

/// Returns the network namespaces attached to a bridge that `own` does not
/// accept.
///
/// # Errors
/// If `ip` fails.
pub(super) fn namespaces_elsewhere(own: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let links: Vec<Link> = ip_json(&["ip", "-json", "link"])?;
    let ids: Vec<NetnsId> = ip_json(&["ip", "-json", "netns", "list-id"])?;
    let others = links
        .iter()
        .filter(|link| link.master.as_deref().is_some_and(|master| !own(master)));
    Ok(others
        .filter_map(|link| {
            let id = ids.iter().find(|id| link.namespace == Some(id.nsid))?;
            id.name.clone()
        })
        .collect())
}

/// Returns the host's ends of the interfaces in network namespaces with these
/// inodes.
///
/// # Errors
/// If `ip` fails.
pub fn veths_into(namespaces: &[u64]) -> Result<Vec<String>> {
    use std::os::unix::fs::MetadataExt;
    let links: Vec<Link> = ip_json(&["ip", "-json", "link"])?;
    let ids: Vec<NetnsId> = ip_json(&["ip", "-json", "netns", "list-id"])?;
    let is_wanted = |id: &&NetnsId| {
        let path = id.name.as_ref().map(|name| format!("/run/netns/{name}"));
        path.and_then(|path| std::fs::metadata(path).ok())
            .is_some_and(|found| namespaces.contains(&found.ino()))
    };
    let wanted: Vec<i64> = ids.iter().filter(is_wanted).map(|id| id.nsid).collect();
    let inside = links.into_iter().filter(|link| {
        let is_in = link.namespace.is_some_and(|nsid| wanted.contains(&nsid));
        is_in && is_cni_veth(&link.ifname)
    });
    Ok(inside.map(|link| link.ifname).collect())
}

/// The host's end of a veth pair of the CNI bridge plugin: `veth` and 8 hex
/// digits (`RandomVethName`). Docker uses 7.
fn is_cni_veth(name: &str) -> bool {
    name.strip_prefix("veth").is_some_and(|hex| {
        hex.len() == 8
            && hex
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Returns the networks of this host's interfaces whose name `wanted` accepts.
///
/// # Errors
/// If `ip` fails.
pub fn networks(wanted: impl Fn(&str) -> bool) -> Result<Vec<Cidr>> {
    let all: Vec<Interface> = ip_json(&["ip", "-json", "-4", "address"])?;
    let addresses = all
        .into_iter()
        .filter(|interface| wanted(&interface.ifname))
        .flat_map(|interface| interface.addr_info);
    Ok(addresses
        .filter_map(|address| {
            let text = format!("{}/{}", address.local?, address.prefixlen?);
            Cidr::containing(&text).ok()
        })
        .collect())
}

/// Parses the output of `ip -json`.
pub(super) fn ip_json<T: DeserializeOwned>(argv: &[&str]) -> Result<Vec<T>> {
    let failed = |why: String| {
        Failure::host(format!("`{}` does not answer", argv.join(" ")))
            .cause(why)
            .hint(typed!("doctor"))
    };
    let answer = Probe::new(argv)
        .stdout()
        .map_err(|error| failed(error.to_string()))?;
    // `ip` prints nothing at all for an empty list.
    if answer.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(&answer).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_plugins_ends_are_nodes() {
        assert!(is_cni_veth("veth3a185570"));
        for other in [
            "veth3a18557",
            "eth1",
            "tap0",
            "vethABCDEF01",
            "veth3a1855700",
        ] {
            assert!(!is_cni_veth(other), "{other}");
        }
    }
}

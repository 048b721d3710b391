//! A cluster's bridge: whether it is one, and what is on it that no cluster of
//! talosctl's puts there.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use talos::names::is_cni_netns;
use talos::network::Cidr;

use super::network::{Interface, has_interface};
use super::probe;
use crate::failure::{Failure, Result};
use crate::program;
use crate::typed;

/// A bridge by its name, as it is now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bridge {
    pub name: String,
    /// Names of the network namespaces that nodes on it are in.
    pub namespaces: Vec<String>,
    /// Interfaces on it that are not the ends of nodes.
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
    /// `None` where there is no interface of that name.
    ///
    /// # Errors
    /// When that cannot be told, and when the interface is not a bridge.
    pub fn look(name: &str) -> Result<Option<Self>> {
        if !has_interface(name)? {
            return Ok(None);
        }
        match Self::of_interface(name) {
            // Whoever takes the cluster down may have been quicker.
            Err(_) if !has_interface(name)? => Ok(None),
            other => other.map(Some),
        }
    }

    fn of_interface(name: &str) -> Result<Self> {
        let bridges: Vec<Link> = ask(&["ip", "-json", "link", "show", "type", "bridge"])?;
        if !bridges.iter().any(|link| link.ifname == name) {
            return Err(Failure::host(format!("interface `{name}` is not a bridge"))
                .hint(program!("ip -d link show {}", name)));
        }
        let ports: Vec<Link> = ask(&["ip", "-json", "link", "show", "master", name])?;
        let ids: Vec<NetnsId> = ask(&["ip", "-json", "netns", "list-id"])?;
        let mut bridge = Self {
            name: name.to_owned(),
            networks: networks(|interface| interface == name)?,
            ..Self::default()
        };
        for port in ports {
            // Without a name it is one that ends at this moment.
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

/// Network namespaces that are on a bridge which `own` does not accept.
///
/// # Errors
/// When `ip` does not answer.
pub(super) fn namespaces_elsewhere(own: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let links: Vec<Link> = ask(&["ip", "-json", "link"])?;
    let ids: Vec<NetnsId> = ask(&["ip", "-json", "netns", "list-id"])?;
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

/// The host's end of a pair that the CNI bridge plugin made: `veth` and 8 hex
/// digits (`RandomVethName`). Docker's have 7.
fn is_cni_veth(name: &str) -> bool {
    name.strip_prefix("veth").is_some_and(|hex| {
        hex.len() == 8
            && hex
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Networks of this host's interfaces of which `wanted` accepts the name.
///
/// # Errors
/// When `ip` does not answer.
pub fn networks(wanted: impl Fn(&str) -> bool) -> Result<Vec<Cidr>> {
    let all: Vec<Interface> = ask(&["ip", "-json", "-4", "address"])?;
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

/// What `ip -json` answers.
pub(super) fn ask<T: DeserializeOwned>(argv: &[&str]) -> Result<Vec<T>> {
    let failed = |why: String| {
        Failure::host(format!("`{}` does not answer", argv.join(" ")))
            .cause(why)
            .hint(typed!("doctor"))
    };
    let answer = probe::answer(argv, None).map_err(|error| failed(error.to_string()))?;
    // Nothing at all where there is nothing of the kind.
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

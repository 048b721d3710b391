//! Networks in use by interfaces of this host and by clusters, including those
//! without a bridge at the moment.

use std::net::IpAddr;

use serde::Deserialize;
use talos::names::is_bridge_name;
use talos::network::Cidr;

use super::cluster::{ClusterView, lock_name};
use super::ledger::Ledger;
use super::probe::Probe;
use super::{Ctx, locks};
use crate::failure::{Failure, Result};
use crate::plan::Resource;
use crate::typed;

/// The failure if the networks in use are unknown.
pub const UNKNOWN: &str = "cannot tell which networks are in use";

/// A network in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedNetwork {
    pub cidr: Cidr,
    pub who: String,
}

/// A row of `ip -json address`.
#[derive(Deserialize)]
pub(super) struct Interface {
    /// Missing in the `{}` that older iproute2 prints for interfaces without an
    /// address.
    #[serde(default)]
    pub(super) ifname: String,
    #[serde(default)]
    pub(super) addr_info: Vec<Address>,
}

#[derive(Deserialize)]
pub(super) struct Address {
    pub(super) local: Option<String>,
    pub(super) prefixlen: Option<u8>,
}

/// Returns the interfaces of this network namespace. /sys/class/net would show
/// those of the namespace in which /sys was mounted.
///
/// # Errors
/// If /proc/net/dev cannot be read.
pub fn interface_names() -> Result<Vec<String>> {
    let table = "/proc/self/net/dev";
    let text = std::fs::read_to_string(table).map_err(|error| {
        Failure::host("cannot list the network interfaces")
            .cause(format!("`{table}`: {error}"))
            .hint("mount -t proc proc /proc")
    })?;
    let names = text.lines().filter_map(|line| line.split_once(':'));
    Ok(names.map(|(name, _)| name.trim().to_owned()).collect())
}

/// Whether this network namespace has the interface.
///
/// # Errors
/// If the interfaces cannot be listed.
pub fn has_interface(name: &str) -> Result<bool> {
    Ok(interface_names()?.iter().any(|found| found == name))
}

/// Addresses that answer ARP on this host's interfaces.
pub fn neighbours() -> Vec<IpAddr> {
    let table = std::fs::read_to_string("/proc/self/net/arp").unwrap_or_default();
    let complete = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        // Flag 2: the hardware address is known.
        let flags = words.get(2)?.strip_prefix("0x")?;
        let flags = u32::from_str_radix(flags, 16).ok()?;
        (flags & 2 != 0).then(|| words[0].parse().ok())?
    };
    table.lines().filter_map(complete).collect()
}

/// Bridges with talosctl's names, of any user; only for display.
pub fn bridges() -> Vec<String> {
    let mut names = interface_names().unwrap_or_default();
    names.retain(|name| is_bridge_name(name));
    names
}

/// Networks of this host's interfaces and of its clusters, without those of the
/// cluster `except` and the loopback network.
///
/// # Errors
/// When `ip` or the state folder does not say: a network that is in use would
/// be taken for a free one.
pub fn networks_in_use(ctx: &Ctx, except: &str) -> Result<Vec<UsedNetwork>> {
    let unknown = |why: String| Failure::host(UNKNOWN).cause(why).hint(typed!("doctor"));
    let argv = ["ip", "-json", "-4", "address"];
    let text = Probe::new(argv)
        .stdout()
        .map_err(|error| unknown(error.to_string()))?;
    let own_bridge = format!("interface {}", talos::names::bridge_name(except));
    let mut taken = interfaces(&text)
        .map_err(|error| unknown(format!("`{}` prints no table: {error}", argv.join(" "))))?;
    taken.retain(|other| other.who != own_bridge);
    for name in ClusterView::try_names(ctx)? {
        if name == except {
            continue;
        }
        let view = ClusterView::probe(ctx, &name);
        match (view.cidr, view.unread.into_iter().next()) {
            (Some(cidr), _) => taken.push(UsedNetwork {
                cidr,
                who: format!("cluster `{name}`"),
            }),
            (None, Some(why)) => return Err(unknown(format!("cluster `{name}`: {why}"))),
            (None, None) => {}
        }
    }
    taken.extend(leased(ctx, except)?);
    Ok(taken)
}

/// Networks of clusters that runs are about to create.
fn leased(ctx: &Ctx, except: &str) -> Result<Vec<UsedNetwork>> {
    let entries = Ledger::in_dir(&ctx.dirs.state).live()?;
    let network = |resource: Resource| match resource {
        Resource::Cluster { name, cidr, .. } if name != except => {
            locks::holder(&ctx.dirs.state, &lock_name(&name))?;
            Some(UsedNetwork {
                cidr: Cidr::parse(&cidr).ok()?,
                who: format!("cluster `{name}`, which is being created,"),
            })
        }
        _ => None,
    };
    Ok(entries
        .into_iter()
        .filter_map(|entry| network(entry.resource))
        .collect())
}

/// Reads `ip -json address`; nothing at all is what it prints without interfaces.
fn interfaces(text: &str) -> serde_json::Result<Vec<UsedNetwork>> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let interfaces: Vec<Interface> = serde_json::from_str(text)?;
    let others = interfaces
        .into_iter()
        .filter(|interface| interface.ifname != "lo");
    let networks = others.flat_map(|interface| {
        let who = format!("interface {}", interface.ifname);
        interface.addr_info.into_iter().filter_map(move |address| {
            let text = format!("{}/{}", address.local?, address.prefixlen?);
            Some(UsedNetwork {
                cidr: Cidr::containing(&text).ok()?,
                who: who.clone(),
            })
        })
    });
    Ok(networks.collect())
}

/// Returns the first unused network of 172.20.0.0/24 to 172.20.255.0/24.
pub fn first_free(taken: &[UsedNetwork], prefix: u8) -> String {
    let prefix = prefix.max(24);
    (0..=255)
        .map(|third| format!("172.20.{third}.0/{prefix}"))
        .find(|text| {
            Cidr::parse(text).is_ok_and(|cidr| !taken.iter().any(|other| other.cidr.overlaps(cidr)))
        })
        .unwrap_or_else(|| "10.5.0.0/24".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_talosctls_bridges_are_bridges() {
        assert!(is_bridge_name("talos1b5b9ccb"));
        for other in ["talos0", "talos1b5b9ccg", "docker0", "talos1b5b9ccb0"] {
            assert!(!is_bridge_name(other), "{other}");
        }
    }

    #[test]
    fn the_next_network_is_proposed() {
        let text = r#"[{"ifname":"lo","addr_info":[{"local":"127.0.0.1","prefixlen":8}]},{},
            {"ifname":"talos1","addr_info":[{"local":"172.20.0.1","prefixlen":24}]}]"#;
        let taken = interfaces(text).unwrap();
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].who, "interface talos1");
        assert_eq!(first_free(&taken, 24), "172.20.1.0/24");
    }
}

//! What a BGP fabric leaves behind (`--with-bgp-clos`, 1.14+, 2193b5781): a
//! bridge for each uplink of each node, their CNI cache files, and three rules
//! for the nodes' addresses. talosctl only removes the nodes' ends.
//!
//! Sources: `pkg/provision/providers/vm/bgp.go` (names), `qemu/node.go` (CNI
//! networks are named as their bridges), `bgp_launch_linux.go` (rules).

use camino::{Utf8Path, Utf8PathBuf};
use talos::names::is_fabric_bridge;
use talos::network::Cidr;

use super::super::network::interface_names;
use super::Rule;
use super::rules::rules;
use crate::failure::Result;
use crate::files;

pub(super) fn bridges(network: &str) -> Result<Vec<String>> {
    let mut names = interface_names()?;
    names.retain(|name| is_fabric_bridge(network, name));
    Ok(names)
}

/// `BRIDGE-CONTAINER-vethfN` in the CNI cache.
pub(super) fn cache_files(
    network: &str,
    cni_cache: &Utf8Path,
) -> std::io::Result<Vec<Utf8PathBuf>> {
    let mut names = files::names_in(cni_cache)?;
    names.retain(|name| {
        let bridge = name.split_once('-');
        bridge.is_some_and(|(bridge, _)| is_fabric_bridge(network, bridge))
    });
    Ok(names.into_iter().map(|name| cni_cache.join(name)).collect())
}

/// The rules for the whole network. Other programs may have rules for the same
/// network, so only exact matches count.
pub(super) fn of_network(filter: &str, nat: &str, cidr: Cidr) -> Vec<Rule> {
    let cidr = cidr.to_string();
    let words = |text: &str| {
        text.split_whitespace()
            .map(|word| {
                if word == "CIDR" {
                    cidr.clone()
                } else {
                    word.to_owned()
                }
            })
            .collect::<Vec<_>>()
    };
    let masquerade = words("-s CIDR ! -d CIDR -j MASQUERADE");
    let forwards = [words("-s CIDR -j ACCEPT"), words("-d CIDR -j ACCEPT")];
    let nat =
        rules(nat, "nat").filter(|rule| rule.chain == "POSTROUTING" && rule.spec == masquerade);
    let filter = rules(filter, "filter")
        .filter(|rule| rule.chain == "FORWARD" && forwards.contains(&rule.spec));
    nat.chain(filter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `iptables -S` prints what the fabric's peer appends.
    #[test]
    fn only_the_fabrics_own_rules_are_its_rules() {
        let nat = "-P POSTROUTING ACCEPT\n\
            -A POSTROUTING -s 172.20.0.0/24 ! -d 172.20.0.0/24 -j MASQUERADE\n\
            -A POSTROUTING -s 172.20.0.0/24 ! -o br-1 -j MASQUERADE\n\
            -A POSTROUTING -s 10.5.0.0/24 ! -d 10.5.0.0/24 -j MASQUERADE\n";
        let filter = "-A FORWARD -s 172.20.0.0/24 -j ACCEPT\n-A FORWARD -d 172.20.0.0/24 -j ACCEPT\n\
            -A FORWARD -s 172.20.0.0/24 -j DROP\n-A INPUT -s 172.20.0.0/24 -j ACCEPT\n";
        let cidr = Cidr::parse("172.20.0.0/24").unwrap();
        let found = of_network(filter, nat, cidr);
        let told: Vec<String> = found
            .iter()
            .map(|rule| format!("{} {} {}", rule.table, rule.chain, rule.spec.join(" ")))
            .collect();
        assert_eq!(
            told,
            [
                "nat POSTROUTING -s 172.20.0.0/24 ! -d 172.20.0.0/24 -j MASQUERADE",
                "filter FORWARD -s 172.20.0.0/24 -j ACCEPT",
                "filter FORWARD -d 172.20.0.0/24 -j ACCEPT",
            ]
        );
    }
}

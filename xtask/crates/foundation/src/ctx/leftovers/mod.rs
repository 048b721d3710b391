//! What a cluster has on the host besides its processes and its folder: bridge,
//! network namespaces, packet filter rules, CNI cache. Found by looking, and
//! only what can be shown to be this cluster's.
//!
//! Sources: `pkg/provision/providers/vm/network_linux.go` (bridge, DOCKER-USER),
//! `qemu/launch_linux.go` (namespaces, CNI), the CNI bridge and firewall plugins
//! (chains and comments).

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;
use talos::names::{cni_cache_container, is_cni_netns};
use talos::network::Cidr;
use talos::state::CniAttachment;

use super::Ctx;
use super::network::has_interface;
use super::probe;
use rules::{filter_rules, half_made_chains, nat_rules};

mod fabric;
mod rules;

/// Which cluster's traces are looked for.
#[derive(Debug, Clone)]
pub struct Footprint {
    /// The CNI network: the cluster's name.
    pub network: String,
    pub bridge: String,
    pub cidr: Option<Cidr>,
    /// `~/.talos/cni/cache/results`.
    pub cni_cache: Utf8PathBuf,
}

/// One packet filter rule as `iptables -S` prints it, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub table: &'static str,
    pub chain: String,
    /// Everything after the chain's name.
    pub spec: Vec<String>,
}

/// Host-side traces of one cluster; order is the order of removal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leftovers {
    pub bridge: Option<String>,
    /// Those of a BGP fabric, one for each uplink of each node.
    pub fabric_bridges: Vec<String>,
    /// Rules of the fabric for the cluster's network.
    pub fabric_rules: Vec<Rule>,
    /// Names under `/run/netns`.
    pub namespaces: Vec<String>,
    pub rules: Vec<Rule>,
    /// Chains that only this cluster's rules lead to.
    pub nat_chains: Vec<String>,
    /// Nobody refers to them and nothing is in them; removed, never flushed.
    pub empty_nat_chains: Vec<String>,
    /// Empty chains of the CNI firewall plugin that nobody uses any more.
    pub idle_chains: Vec<String>,
    pub cache_files: Vec<Utf8PathBuf>,
}

impl Leftovers {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// One line each, for people.
    pub fn describe(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let bridges = self.bridge.iter().chain(&self.fabric_bridges);
        lines.extend(bridges.map(|name| format!("bridge {name}")));
        lines.extend(
            self.namespaces
                .iter()
                .map(|name| format!("network namespace {name}")),
        );
        lines.extend(self.rules.iter().chain(&self.fabric_rules).map(|rule| {
            format!(
                "{} rule in {}: {}",
                rule.table,
                rule.chain,
                rule.spec.join(" ")
            )
        }));
        lines.extend(
            self.nat_chains
                .iter()
                .chain(&self.empty_nat_chains)
                .map(|name| format!("nat chain {name}")),
        );
        lines.extend(
            self.idle_chains
                .iter()
                .map(|name| format!("empty chain {name}")),
        );
        lines.extend(
            self.cache_files
                .iter()
                .map(|path| format!("CNI cache file {path}")),
        );
        lines
    }
}

/// Look. Rules are seen by root only: `root` is `["sudo", "-n"]` or nothing.
pub fn look(footprint: &Footprint, node_namespaces: &[u64], root: &[&str]) -> Leftovers {
    let cached = cached_results(footprint);
    let mut cache_files: Vec<Utf8PathBuf> =
        cached.iter().map(|result| result.path.clone()).collect();
    cache_files.extend(fabric::cache_files(
        &footprint.network,
        &footprint.cni_cache,
    ));
    let mut found = Leftovers {
        cache_files,
        fabric_bridges: fabric::bridges(&footprint.network),
        ..Leftovers::default()
    };
    if has_interface(&footprint.bridge) {
        found.bridge = Some(footprint.bridge.clone());
    }
    let bridges = found.bridge.iter().chain(&found.fabric_bridges);
    let mut on_bridges: Vec<String> = Vec::new();
    for bridge in bridges {
        on_bridges.extend(namespaces_on_bridge(bridge));
    }
    found.namespaces = namespaces(&on_bridges, &cached, node_namespaces);
    let containers: Vec<&str> = cached
        .iter()
        .map(|result| result.container.as_str())
        .collect();
    let list = |table: &str| {
        let argv: Vec<&str> = root
            .iter()
            .copied()
            .chain(["iptables", "-w", "-t", table, "-S"])
            .collect();
        probe::stdout(&argv, None).unwrap_or_default()
    };
    let (filter, nat) = (list("filter"), list("nat"));
    filter_rules(&filter, footprint, &mut found);
    nat_rules(&nat, footprint, &containers, &mut found);
    half_made_chains(&nat, footprint, &mut found);
    if let Some(cidr) = footprint.cidr.filter(|_| !found.fabric_bridges.is_empty()) {
        found.fabric_rules = fabric::of_network(&filter, &nat, cidr);
    }
    found
}

impl Ctx {
    /// What precedes a command that only root may run; sudo never asks here.
    pub fn root_prefix(&self) -> &'static [&'static str] {
        if self.host.is_root() {
            &[]
        } else {
            &["sudo", "-n"]
        }
    }
}

/// A file of the CNI cache. Its name says the container; only root may read
/// the rest of what root wrote.
struct Cached {
    path: Utf8PathBuf,
    container: String,
    namespace: Option<String>,
}

fn cached_results(footprint: &Footprint) -> Vec<Cached> {
    let Ok(entries) = footprint.cni_cache.read_dir_utf8() else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let container = cni_cache_container(&footprint.network, entry.file_name())?.to_owned();
            let text = std::fs::read_to_string(entry.path()).ok();
            let read = text.and_then(|text| CniAttachment::parse(&text).ok());
            let namespace = read
                .as_ref()
                .and_then(CniAttachment::netns_name)
                .map(str::to_owned);
            let is_ours = read.is_none_or(|read| read.network == footprint.network);
            is_ours.then(|| Cached {
                path: entry.path().to_owned(),
                container,
                namespace,
            })
        })
        .collect()
}

/// By the CNI cache, by the namespaces the nodes are in, and by the veth ends
/// on the cluster's bridges: each alone misses some half-made state.
fn namespaces(on_bridges: &[String], cached: &[Cached], nodes: &[u64]) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = Utf8Path::new("/run/netns").read_dir_utf8() else {
        return Vec::new();
    };
    let mut found: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| {
            let name = entry.file_name();
            // Of talosctl's making only; see testutils.NewNS.
            is_cni_netns(name)
                && (on_bridges.iter().any(|other| other == name)
                    || cached
                        .iter()
                        .any(|result| result.namespace.as_deref() == Some(name))
                    || std::fs::metadata(entry.path())
                        .is_ok_and(|meta| nodes.contains(&meta.ino())))
        })
        .map(|entry| entry.file_name().to_owned())
        .collect();
    found.sort();
    found
}

#[derive(Deserialize)]
struct Link {
    link_netnsid: Option<i64>,
}

#[derive(Deserialize)]
struct NetnsId {
    nsid: i64,
    name: Option<String>,
}

/// What `ip -json` answers; nothing where it does not.
fn ask<T: for<'a> Deserialize<'a>>(argv: &[&str]) -> Vec<T> {
    let text = probe::stdout(argv, None).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn namespaces_on_bridge(bridge: &str) -> Vec<String> {
    let links: Vec<Link> = ask(&["ip", "-json", "link", "show", "master", bridge]);
    let ids: Vec<NetnsId> = ask(&["ip", "-json", "netns", "list-id"]);
    ids.into_iter()
        .filter(|id| links.iter().any(|link| link.link_netnsid == Some(id.nsid)))
        .filter_map(|id| id.name)
        .collect()
}

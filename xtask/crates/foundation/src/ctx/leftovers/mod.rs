//! Finds what a cluster has on the host besides its processes and its folder:
//! bridge, network namespaces, packet filter rules, CNI cache. Only resources
//! that are proven to belong to the cluster count.
//!
//! Sources: `pkg/provision/providers/vm/network_linux.go` (bridge, DOCKER-USER),
//! `qemu/launch_linux.go` (namespaces, CNI), the CNI bridge and firewall plugins
//! (chains and comments).

use std::io::ErrorKind;
use std::net::IpAddr;

use camino::{Utf8Path, Utf8PathBuf};
use talos::names::{cni_cache_container, is_cni_netns, is_fabric_bridge};
use talos::network::Cidr;
use talos::state::CniAttachment;

use super::bridge::{self, Bridge};
use super::network::has_interface;
use super::shared_memory::{self, cluster_in};
use super::{Ctx, abandoned, as_root};
use crate::failure::{Because, Failure, Result};
use crate::files;
use rules::{filter_rules, half_made_chains, is_dockers, nat_rules};

mod fabric;
mod rules;

/// The cluster whose traces are searched for.
#[derive(Debug, Clone)]
pub struct Footprint {
    /// The name of the CNI network, which is the cluster's name.
    pub network: String,
    pub bridge: String,
    pub cidr: Option<Cidr>,
    /// `~/.talos/cni/cache/results`.
    pub cni_cache: Utf8PathBuf,
}

/// One packet filter rule of `iptables -S`, split into words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub table: &'static str,
    pub chain: String,
    /// All words after the chain's name.
    pub spec: Vec<String>,
}

impl Rule {
    /// Whether it is for packets from or to one of these addresses alone.
    fn is_for(&self, ips: &[IpAddr]) -> bool {
        let pairs = self.spec.windows(2);
        let mut named = pairs.filter(|pair| matches!(pair[0].as_str(), "-s" | "-d"));
        named.any(|pair| {
            let address = pair[1].split('/').next().and_then(|text| text.parse().ok());
            address.is_some_and(|address: IpAddr| ips.contains(&address))
        })
    }

    /// Whether the comment of the CNI plugin has the container of a cache file.
    fn names_container(&self, cache_file: &str) -> bool {
        let comment = self.spec.iter().find_map(|word| {
            let (_, id) = word.split_once("id: \"")?;
            id.split('"').next()
        });
        comment.is_some_and(|id| !id.is_empty() && cache_file.contains(id))
    }
}

/// Traces of one cluster on the host, in the order of removal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leftovers {
    pub bridge: Option<String>,
    /// Bridges of a BGP fabric, one for each uplink of each node.
    pub fabric_bridges: Vec<String>,
    /// Rules of a BGP fabric for the cluster's network.
    pub fabric_rules: Vec<Rule>,
    /// Names in `/run/netns`.
    pub namespaces: Vec<String>,
    pub rules: Vec<Rule>,
    /// Chains that only this cluster's rules jump to.
    pub nat_chains: Vec<String>,
    /// The rules in these chains.
    pub nat_chain_rules: Vec<Rule>,
    /// Chains without references and rules; removed, never flushed.
    pub empty_nat_chains: Vec<String>,
    /// Empty chains of the CNI firewall plugin that are no longer used.
    pub idle_chains: Vec<String>,
    /// Jumps to these chains and between them.
    pub idle_rules: Vec<Rule>,
    pub cache_files: Vec<Utf8PathBuf>,
    /// Files that backed the memory of its nodes.
    pub shared_memory: Vec<Utf8PathBuf>,
    /// Resources that may be the cluster's but are kept, because that is not
    /// proven.
    pub doubts: Vec<String>,
    /// What could not be read: then nothing may be reported as gone.
    pub unseen: Vec<Failure>,
}

impl Leftovers {
    /// Also false if something could not be read.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether anything that belongs to this cluster was found.
    fn has_traces(&self) -> bool {
        self.bridge.is_some()
            || !self.fabric_bridges.is_empty()
            || !self.namespaces.is_empty()
            || !self.rules.is_empty()
            || !self.nat_chains.is_empty()
            || !self.cache_files.is_empty()
    }

    /// Returns the part of single nodes with the addresses `ips`; the namespaces
    /// with the inodes `spared` belong to other nodes. Without the bridge and the
    /// chains that nodes share.
    #[must_use]
    pub fn of_nodes(&self, ips: &[IpAddr], spared: &[u64]) -> Self {
        use std::os::unix::fs::MetadataExt;
        let is_spared = |name: &String| {
            let path = Utf8Path::new("/run/netns").join(name);
            std::fs::metadata(path).is_ok_and(|found| spared.contains(&found.ino()))
        };
        let mut part = Self {
            doubts: self.doubts.clone(),
            unseen: self.unseen.clone(),
            ..Self::default()
        };
        let namespaces = self.namespaces.iter().filter(|name| !is_spared(name));
        part.namespaces = namespaces.cloned().collect();
        let rules = self.rules.iter().filter(|rule| rule.is_for(ips));
        part.rules = rules.cloned().collect();
        let chains = self.nat_chains.iter().filter(|chain| {
            let mut rules = part.rules.iter();
            rules.any(|rule| rule.spec.contains(chain))
        });
        part.nat_chains = chains.cloned().collect();
        let inside = self.nat_chain_rules.iter();
        let inside = inside.filter(|rule| part.nat_chains.contains(&rule.chain));
        part.nat_chain_rules = inside.cloned().collect();
        let files = self.cache_files.iter().filter(|path| {
            let mut rules = part.rules.iter();
            rules.any(|rule| rule.names_container(path.file_name().unwrap_or_default()))
        });
        part.cache_files = files.cloned().collect();
        part
    }

    fn or_unseen<T: Default>(&mut self, result: Result<T>) -> T {
        result.unwrap_or_else(|failure| {
            if !self.unseen.contains(&failure) {
                self.unseen.push(failure);
            }
            T::default()
        })
    }

    /// One line for each, for display.
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
        let memory = self.shared_memory.iter();
        lines.extend(memory.map(|path| format!("memory of a node {path}")));
        lines
    }
}

/// Whether the host alone proves the ownership of rules, independent of files:
/// the cluster owns the rules for addresses of its network if no one else uses
/// the network.
#[derive(Default)]
struct Network {
    cidr: Option<Cidr>,
    doubt: Option<String>,
}

/// What is known about the nodes of the cluster.
#[derive(Debug, Clone, Default)]
pub struct Nodes {
    /// Inodes of their network namespaces.
    pub namespaces: Vec<u64>,
    /// All processes of the cluster.
    pub processes: Vec<i32>,
}

/// Resources with the cluster's name that do not belong to this user's cluster,
/// because this user has neither a folder, a process nor a ledger entry:
/// another user's cluster may have the same name.
pub fn find_unowned(footprint: &Footprint) -> Leftovers {
    let mut found = Leftovers::default();
    if found.or_unseen(has_interface(&footprint.bridge)) {
        found.doubts.push(format!(
            "bridge {} is kept: neither a folder nor the ledger shows that it is yours",
            footprint.bridge
        ));
    }
    for path in found.or_unseen(memory_of(&footprint.network)) {
        found.doubts.push(format!(
            "{path} is kept: neither a folder nor the ledger shows that it is yours"
        ));
    }
    found
}

/// Files of the nodes' memory by the names of a cluster's nodes.
fn memory_of(cluster: &str) -> Result<Vec<Utf8PathBuf>> {
    let mut found = shared_memory::find().because(|| "cannot look for nodes' memory".to_owned())?;
    found.retain(|path| path.file_name().and_then(cluster_in) == Some(cluster));
    Ok(found)
}

/// The rules of the packet filter, which only root can read.
#[derive(Debug)]
pub struct PacketFilter {
    filter: Result<String>,
    nat: Result<String>,
}

impl PacketFilter {
    pub fn read() -> Self {
        Self {
            filter: packet_filter("filter"),
            nat: packet_filter("nat"),
        }
    }

    /// Returns the chains that no cluster and no other program uses.
    pub fn idle(&self) -> Leftovers {
        let mut found = Leftovers::default();
        let filter = found.or_unseen(self.filter.clone());
        let nat = found.or_unseen(self.nat.clone());
        // The footprint of no cluster.
        let nothing = Footprint {
            network: String::new(),
            bridge: String::new(),
            cidr: None,
            cni_cache: Utf8PathBuf::new(),
        };
        filter_rules(&filter, &nothing, &mut found);
        half_made_chains(&nat, &nothing, &mut found);
        found.nat_chains.clear();
        found.nat_chain_rules.clear();
        found
    }

    /// Returns talosctl's rules for bridges that do not exist, except for `known` ones. They
    /// match no packet: removing one affects no one.
    pub fn dangling(&self, known: &[String]) -> Leftovers {
        let mut found = Leftovers::default();
        let filter = found.or_unseen(self.filter.clone());
        for (bridge, rule) in rules::of_bridges(&filter) {
            if !known.contains(&bridge) && !found.or_unseen(has_interface(&bridge)) {
                found.rules.push(rule);
            }
        }
        found
    }
}

/// Searches the host. `began`: the ledger shows that this cluster was created
/// since the host booted.
pub fn find(footprint: &Footprint, nodes: &Nodes, began: bool) -> Leftovers {
    find_in(&PacketFilter::read(), footprint, nodes, began)
}

/// Like [`find`], with rules that were read before.
pub fn find_in(
    tables: &PacketFilter,
    footprint: &Footprint,
    nodes: &Nodes,
    began: bool,
) -> Leftovers {
    let mut found = Leftovers::default();
    let cached = found.or_unseen(cached_results(footprint));
    found.cache_files = cached.iter().map(|result| result.path.clone()).collect();
    let fabric = fabric::cache_files(&footprint.network, &footprint.cni_cache)
        .because(|| format!("cannot read `{}`", footprint.cni_cache));
    let fabric = found.or_unseen(fabric);
    found.cache_files.extend(fabric);
    for path in found.or_unseen(memory_of(&footprint.network)) {
        // Without root only the step that removes it can tell.
        let users = shared_memory::users_of(&path).unwrap_or_default();
        match users.iter().find(|pid| !nodes.processes.contains(pid)) {
            Some(pid) => found
                .doubts
                .push(format!("{path} is kept: process {pid} uses it")),
            None => found.shared_memory.push(path),
        }
    }
    let mut on_bridges: Vec<String> = Vec::new();
    let mut bridges = found.or_unseen(fabric::bridges(&footprint.network));
    bridges.insert(0, footprint.bridge.clone());
    let mut networks = Vec::new();
    for name in bridges {
        let Some(bridge) = found.or_unseen(Bridge::probe(&name)) else {
            continue;
        };
        if name == footprint.bridge {
            networks = bridge.networks;
        }
        let others = bridge.namespaces.iter().find_map(|namespace| {
            let processes = found.or_unseen(abandoned::processes_in(namespace));
            let other = processes.iter().find(|pid| !nodes.processes.contains(pid));
            other.map(|pid| format!("process {pid} in network namespace {namespace}"))
        });
        if let Some(other) = others {
            found.doubts.push(format!(
                "bridge {name} is kept: {other} is attached and does not belong to this cluster"
            ));
            continue;
        }
        on_bridges.extend(bridge.namespaces);
        if !bridge.foreign.is_empty() {
            found.doubts.push(format!(
                "bridge {name} is kept: {} is attached and does not belong to this cluster",
                bridge.foreign.join(", ")
            ));
        } else if name == footprint.bridge {
            found.bridge = Some(name);
        } else {
            found.fabric_bridges.push(name);
        }
    }
    let is_own = |interface: &str| {
        interface == footprint.bridge || is_fabric_bridge(&footprint.network, interface)
    };
    let named = namespaces(&on_bridges, &cached, &nodes.namespaces, is_own);
    found.namespaces = found.or_unseen(named);
    let containers: Vec<&str> = cached
        .iter()
        .map(|result| result.container.as_str())
        .collect();
    let filter = found.or_unseen(tables.filter.clone());
    let nat = found.or_unseen(tables.nat.clone());
    if let Some(bridge) = found
        .bridge
        .take_if(|bridge| is_dockers(bridge, &filter, &nat))
    {
        let doubt = format!("bridge {bridge} is kept: a Docker network uses it");
        found.doubts.push(doubt);
    }
    let network = own_network(footprint, &networks, &nat, is_own);
    let network = found.or_unseen(network);
    found.doubts.extend(network.doubt);
    let footprint = &Footprint {
        cidr: network.cidr,
        ..footprint.clone()
    };
    filter_rules(&filter, footprint, &mut found);
    nat_rules(&nat, footprint, &containers, &mut found);
    half_made_chains(&nat, footprint, &mut found);
    if let Some(cidr) = footprint.cidr.filter(|_| !found.fabric_bridges.is_empty()) {
        found.fabric_rules = fabric::of_network(&filter, &nat, cidr);
    }
    if !began && !found.has_traces() {
        // Nothing proves that this cluster created them.
        found.idle_chains.clear();
        found.idle_rules.clear();
        found.empty_nat_chains.clear();
    }
    found
}

/// Returns the cluster's network if no one else uses it: it must be the network
/// of its bridge, if there is one, and of no other interface.
fn own_network(
    footprint: &Footprint,
    of_bridges: &[Cidr],
    nat: &str,
    is_own: impl Fn(&str) -> bool,
) -> Result<Network> {
    let refused = |why: String| {
        Ok(Network {
            cidr: None,
            doubt: Some(format!("rules for addresses are kept: {why}")),
        })
    };
    let Some(cidr) = footprint.cidr else {
        return Ok(Network::default());
    };
    if !cidr.may_be_a_clusters() {
        return refused(format!("{cidr} is too large for one cluster"));
    }
    if !of_bridges.is_empty() && !of_bridges.contains(&cidr) {
        return refused(format!("the bridge is not in the network {cidr}"));
    }
    let others = bridge::networks(|interface| !is_own(interface))?;
    if let Some(other) = others.iter().find(|other| other.overlaps(cidr)) {
        return refused(format!("{cidr} is in use by an interface in {other}"));
    }
    if let Some(other) = rules::other_network(nat, &footprint.network, cidr) {
        return refused(format!("{cidr} has addresses of the network `{other}`"));
    }
    Ok(Network {
        cidr: Some(cidr),
        doubt: None,
    })
}

/// Returns the output of `iptables -S` for a table.
fn packet_filter(table: &str) -> Result<String> {
    as_root::answer(&["iptables", "-w", "-t", table, "-S"]).map_err(|error| {
        let what = format!("only root can read the packet filter's rules ({table} table)");
        Failure::host(what).cause(error).hint("sudo -v")
    })
}

impl Ctx {
    /// The prefix of a command that needs root; sudo never prompts here.
    pub fn root_prefix(&self) -> &'static [&'static str] {
        if self.host.is_root() {
            &[]
        } else {
            &["sudo", "-n"]
        }
    }
}

/// Returns the names of the networks that files of a CNI cache are about. Files
/// that only root can read are skipped.
///
/// # Errors
/// If the folder cannot be read.
pub fn cached_networks(cni_cache: &Utf8Path) -> Result<Vec<String>> {
    let names = files::names_in(cni_cache).because(|| format!("cannot read `{cni_cache}`"))?;
    let network = |name: &String| {
        let text = files::read_text(&cni_cache.join(name), files::SMALL).ok()??;
        let network = CniAttachment::parse(&text).ok()?.network;
        // The file's name says the same, and no file speaks for another.
        cni_cache_container(&network, name)
            .is_some()
            .then_some(network)
    };
    let mut networks: Vec<String> = names.iter().filter_map(network).collect();
    networks.sort();
    networks.dedup();
    Ok(networks)
}

/// A file of the CNI cache. Its name has the container's id; root's files can
/// only be read by root.
struct Cached {
    path: Utf8PathBuf,
    container: String,
    namespace: Option<String>,
}

fn cached_results(footprint: &Footprint) -> Result<Vec<Cached>> {
    let dir = &footprint.cni_cache;
    let names = files::names_in(dir).because(|| format!("cannot read `{dir}`"))?;
    let mut cached = Vec::new();
    for name in names {
        let Some(container) = cni_cache_container(&footprint.network, &name) else {
            continue;
        };
        let container = container.to_owned();
        let path = dir.join(&name);
        // Some are readable only by root: use their names.
        let text = match files::read_text(&path, files::SMALL) {
            Err(error) if error.kind() != ErrorKind::PermissionDenied => {
                return Err(error).because(|| format!("cannot read `{path}`"));
            }
            other => other.ok().flatten(),
        };
        let read = text.and_then(|text| CniAttachment::parse(&text).ok());
        let namespace = read
            .as_ref()
            .and_then(CniAttachment::netns_name)
            .map(str::to_owned);
        if read.is_none_or(|read| read.network == footprint.network) {
            cached.push(Cached {
                path,
                container,
                namespace,
            });
        }
    }
    Ok(cached)
}

/// Finds namespaces by the nodes' processes, by the veth ends on the cluster's
/// bridges, and by the CNI cache: each alone misses some partial state. The
/// cache is a file of the user, so a namespace that it names must also be
/// unused.
fn namespaces(
    on_bridges: &[String],
    cached: &[Cached],
    nodes: &[u64],
    own: impl Fn(&str) -> bool,
) -> Result<Vec<String>> {
    use std::os::unix::fs::MetadataExt;
    let dir = Utf8Path::new("/run/netns");
    let mut found = files::names_in(dir).because(|| format!("cannot read `{dir}`"))?;
    // Only names that talosctl creates; see testutils.NewNS.
    found.retain(|name| is_cni_netns(name));
    let is_nodes = |name: &String| {
        std::fs::metadata(dir.join(name)).is_ok_and(|meta| nodes.contains(&meta.ino()))
    };
    let is_cached = |name: &String| {
        let mut named = cached.iter();
        named.any(|result| result.namespace.as_ref() == Some(name))
    };
    let elsewhere = if found.iter().any(is_cached) {
        bridge::namespaces_elsewhere(own)?
    } else {
        Vec::new()
    };
    found.retain(|name| {
        on_bridges.contains(name)
            || is_nodes(name)
            || (is_cached(name) && !elsewhere.contains(name) && abandoned::has_no_process(name))
    });
    found.sort();
    Ok(found)
}

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
        lines.extend(self.bridge.iter().map(|name| format!("bridge {name}")));
        lines.extend(
            self.namespaces
                .iter()
                .map(|name| format!("network namespace {name}")),
        );
        lines.extend(self.rules.iter().map(|rule| {
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
    let cache_files = cached.iter().map(|result| result.path.clone()).collect();
    let mut found = Leftovers {
        cache_files,
        ..Leftovers::default()
    };
    if has_interface(&footprint.bridge) {
        found.bridge = Some(footprint.bridge.clone());
    }
    found.namespaces = namespaces(footprint, &cached, node_namespaces);
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
    filter_rules(&list("filter"), footprint, &mut found);
    let nat = list("nat");
    nat_rules(&nat, footprint, &containers, &mut found);
    half_made_chains(&nat, footprint, &mut found);
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
/// on the cluster's bridge: each alone misses some half-made state.
fn namespaces(footprint: &Footprint, cached: &[Cached], nodes: &[u64]) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = Utf8Path::new("/run/netns").read_dir_utf8() else {
        return Vec::new();
    };
    let on_bridge = namespaces_on_bridge(&footprint.bridge);
    let mut found: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| {
            let name = entry.file_name();
            // Of talosctl's making only; see testutils.NewNS.
            is_cni_netns(name)
                && (on_bridge.iter().any(|other| other == name)
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
    if !has_interface(bridge) {
        return Vec::new();
    }
    let links: Vec<Link> = ask(&["ip", "-json", "link", "show", "master", bridge]);
    let ids: Vec<NetnsId> = ask(&["ip", "-json", "netns", "list-id"]);
    ids.into_iter()
        .filter(|id| links.iter().any(|link| link.link_netnsid == Some(id.nsid)))
        .filter_map(|id| id.name)
        .collect()
}

/// `-A CHAIN spec…` lines in words; quoting as the shell has it.
fn rules<'a>(text: &'a str, table: &'static str) -> impl Iterator<Item = Rule> + 'a {
    text.lines().filter_map(move |line| {
        let mut words = shlex::split(line)?.into_iter();
        (words.next()? == "-A").then_some(())?;
        Some(Rule {
            table,
            chain: words.next()?,
            spec: words.collect(),
        })
    })
}

fn value<'a>(spec: &'a [String], flag: &str) -> Option<&'a str> {
    let at = spec.iter().position(|word| word == flag)?;
    spec.get(at + 1).map(String::as_str)
}

/// Whether `-s` or `-d` is one address of the cluster's network.
fn is_of_network(spec: &[String], cidr: Option<&Cidr>) -> bool {
    let Some(cidr) = cidr else { return false };
    ["-s", "-d"].iter().any(|flag| {
        value(spec, flag)
            .and_then(|address| address.strip_suffix("/32"))
            .and_then(|address| address.parse().ok())
            .is_some_and(|address| cidr.contains(address))
    })
}

fn filter_rules(text: &str, footprint: &Footprint, found: &mut Leftovers) {
    let all: Vec<Rule> = rules(text, "filter").collect();
    let ours = |rule: &&Rule| match rule.chain.as_str() {
        "CNI-FORWARD" => is_of_network(&rule.spec, footprint.cidr.as_ref()),
        "DOCKER-USER" => value(&rule.spec, "-i") == Some(footprint.bridge.as_str()),
        _ => false,
    };
    found.rules.extend(all.iter().filter(ours).cloned());
    found.idle_chains = idle_chains(text, &all, &found.rules);
}

/// The chains that talosctl and the CNI firewall plugin make, once nothing but
/// their own plumbing is in them; both make them anew when they need them.
fn idle_chains(text: &str, all: &[Rule], going: &[Rule]) -> Vec<String> {
    let exists = |chain: &str| text.lines().any(|line| line == format!("-N {chain}"));
    let rest = |chain: &str, plumbing: &str| {
        all.iter()
            .filter(|rule| rule.chain == chain && !going.contains(rule))
            .any(|rule| value(&rule.spec, "-j") != Some(plumbing))
    };
    let mut idle = Vec::new();
    if exists("CNI-FORWARD") && !rest("CNI-FORWARD", "CNI-ADMIN") && !rest("CNI-ADMIN", "") {
        idle.extend(["CNI-FORWARD".to_owned(), "CNI-ADMIN".to_owned()]);
    }
    let referred = all
        .iter()
        .any(|rule| value(&rule.spec, "-j") == Some("DOCKER-USER"));
    if exists("DOCKER-USER") && !referred && !rest("DOCKER-USER", "RETURN") {
        idle.push("DOCKER-USER".to_owned());
    }
    idle
}

fn nat_rules(text: &str, footprint: &Footprint, containers: &[&str], found: &mut Leftovers) {
    let name = format!("name: \"{}\"", footprint.network);
    for rule in rules(text, "nat").filter(|rule| rule.chain == "POSTROUTING") {
        let comment = value(&rule.spec, "--comment").unwrap_or_default();
        let by_id = containers
            .iter()
            .any(|id| comment.contains(&format!("id: \"{id}\"")));
        let by_name =
            comment.starts_with(&name) && is_of_network(&rule.spec, footprint.cidr.as_ref());
        let Some(chain) = value(&rule.spec, "-j").filter(|chain| chain.starts_with("CNI-")) else {
            continue;
        };
        if by_id || by_name {
            found.nat_chains.push(chain.to_owned());
            found.rules.push(rule);
        }
    }
}

/// Chains without the jump to them: a launcher was stopped in the middle of
/// making them. One without rules tells nothing of whose it is; removing a chain
/// that nobody refers to and that is empty takes nothing from anybody.
fn half_made_chains(text: &str, footprint: &Footprint, found: &mut Leftovers) {
    let all: Vec<Rule> = rules(text, "nat").collect();
    let ours = format!("name: \"{}\"", footprint.network);
    for chain in text
        .lines()
        .filter_map(|line| line.strip_prefix("-N CNI-"))
        .filter(|hash| hash.len() == 24)
    {
        let chain = format!("CNI-{chain}");
        let is_referred_to = all
            .iter()
            .any(|rule| value(&rule.spec, "-j") == Some(&chain));
        let mut inside = all.iter().filter(|rule| rule.chain == chain).peekable();
        let is_empty = inside.peek().is_none();
        let is_ours = inside.any(|rule| {
            value(&rule.spec, "--comment").is_some_and(|comment| comment.starts_with(&ours))
        });
        if !is_referred_to && is_empty {
            found.empty_nat_chains.push(chain);
        } else if !is_referred_to && is_ours {
            found.nat_chains.push(chain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILTER: &str = r#"-P FORWARD ACCEPT
-N CNI-ADMIN
-N CNI-FORWARD
-N DOCKER-USER
-A FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD
-A CNI-FORWARD -m comment --comment "CNI firewall plugin admin overrides" -j CNI-ADMIN
-A CNI-FORWARD -d 172.20.0.3/32 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A CNI-FORWARD -s 172.20.0.3/32 -j ACCEPT
-A CNI-FORWARD -s 10.88.0.2/32 -j ACCEPT
-A DOCKER-USER -i talos1b5b9ccb -o talos1b5b9ccb -j ACCEPT
"#;
    const NAT: &str = r#"-N CNI-463743b1ababab1f0d70693d
-A POSTROUTING -s 172.20.0.3/32 -m comment --comment "name: \"tx\" id: \"f506\"" -j CNI-463743b1ababab1f0d70693d
-A POSTROUTING -s 10.88.0.2/32 -m comment --comment "name: \"podman\" id: \"aaaa\"" -j CNI-aaaa
-A CNI-463743b1ababab1f0d70693d -d 172.20.0.0/24 -m comment --comment "name: \"tx\" id: \"f506\"" -j ACCEPT
"#;

    fn footprint() -> Footprint {
        Footprint {
            network: "tx".into(),
            bridge: "talos1b5b9ccb".into(),
            cidr: Some(Cidr::parse("172.20.0.0/24").unwrap()),
            cni_cache: "/nowhere".into(),
        }
    }

    #[test]
    fn only_rules_of_this_cluster_are_found() {
        let mut found = Leftovers::default();
        filter_rules(FILTER, &footprint(), &mut found);
        nat_rules(NAT, &footprint(), &[], &mut found);
        let chains: Vec<&str> = found.rules.iter().map(|rule| rule.chain.as_str()).collect();
        assert_eq!(
            chains,
            ["CNI-FORWARD", "CNI-FORWARD", "DOCKER-USER", "POSTROUTING"]
        );
        assert_eq!(found.nat_chains, ["CNI-463743b1ababab1f0d70693d"]);
        // A stranger's rule keeps the CNI chains; Docker's chain has no other use.
        assert_eq!(found.idle_chains, ["DOCKER-USER"]);
    }

    #[test]
    fn without_strangers_the_chains_are_idle() {
        let text: String = FILTER
            .lines()
            .filter(|line| !line.contains("10.88"))
            .fold(String::new(), |text, line| text + line + "\n");
        let mut found = Leftovers::default();
        filter_rules(&text, &footprint(), &mut found);
        assert_eq!(
            found.idle_chains,
            ["CNI-FORWARD", "CNI-ADMIN", "DOCKER-USER"]
        );
    }

    #[test]
    fn a_chain_without_its_jump_is_found() {
        let text = "-N CNI-463743b1ababab1f0d70693d\n-N CNI-000000000000000000000000\n\
            -A CNI-463743b1ababab1f0d70693d -d 172.20.0.0/24 -m comment --comment \"name: \\\"tx\\\" id: \\\"f506\\\"\" -j ACCEPT\n";
        let mut found = Leftovers::default();
        half_made_chains(text, &footprint(), &mut found);
        assert_eq!(found.nat_chains, ["CNI-463743b1ababab1f0d70693d"]);
        assert_eq!(found.empty_nat_chains, ["CNI-000000000000000000000000"]);
        let mut others = Leftovers::default();
        half_made_chains(
            text,
            &Footprint {
                network: "other".into(),
                ..footprint()
            },
            &mut others,
        );
        assert!(others.nat_chains.is_empty());
    }

    #[test]
    fn a_container_id_speaks_without_a_network() {
        let mut found = Leftovers::default();
        let footprint = Footprint {
            network: "other".into(),
            cidr: None,
            ..footprint()
        };
        nat_rules(NAT, &footprint, &["f506"], &mut found);
        assert_eq!(found.nat_chains.len(), 1);
    }
}

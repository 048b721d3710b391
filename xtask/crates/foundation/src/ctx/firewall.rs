//! Finds packet filter rules of this host that block a cluster's nodes.
//! Read-only, as root.
//!
//! talosctl's CNI plugins accept each node's traffic in a chain `CNI-FORWARD`,
//! which the firewall plugin of containernetworking/plugins inserts at the top
//! of FORWARD if it is missing. A drop rule in the same table therefore affects
//! nodes only if it comes before that chain. A drop in another nftables table
//! always does, because a packet must pass every table.

use std::time::Duration;

use serde::Deserialize;
use talos::network::Cidr;

use super::{probe, processes};

const LIMIT: Duration = Duration::from_secs(3);
/// Maximum depth of jumps. The kernel refuses loops; the limit guards against
/// other input.
const DEPTH: usize = 8;

/// What happens to a node's packets in the filter table's FORWARD chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    pub block: Option<Block>,
    /// Docker's chains exist, so Docker set a policy of DROP.
    pub docker: bool,
    /// FORWARD already jumps to the CNI plugins' chain.
    pub cni: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    Policy,
    /// As `iptables -S` prints it.
    Rule(String),
}

/// A rule's words after `-A CHAIN`.
struct Rule<'a> {
    line: &'a str,
    chain: String,
    spec: Vec<String>,
}

/// Returns `iptables -S` of the filter table; `None` if it cannot be read.
pub fn filter_table(root: &[&str]) -> Option<String> {
    let argv = [root, &["iptables", "-w", "-S"]].concat();
    let output = probe::run(&argv, None, LIMIT)?;
    output.success.then_some(output.stdout)
}

/// Returns forward chains of other nftables tables with policy drop, as
/// `inet fw forward`. `None` if nft is not installed or not permitted.
pub fn dropping_chains(root: &[&str]) -> Option<Vec<String>> {
    let argv = [root, &["nft", "-j", "list", "chains"]].concat();
    let output = probe::run(&argv, None, LIMIT)?;
    output.success.then(|| parse_chains(&output.stdout))
}

/// Whether firewalld runs: a process of root with its path as an argument.
/// `firewall-cmd --state` would take a third of a second.
pub fn runs_firewalld() -> bool {
    use std::os::unix::fs::MetadataExt;
    processes::scan().iter().any(|process| {
        let mut words = process.argv.iter().take(4);
        words.any(|word| word.ends_with("/firewalld"))
            && std::fs::metadata(format!("/proc/{}", process.pid)).is_ok_and(|meta| meta.uid() == 0)
    })
}

/// Whether this network or bridge is in firewalld's trusted zone.
pub fn firewalld_trusts(cidr: Cidr, bridge: &str) -> bool {
    let list = |what: &str| {
        let argv = ["firewall-cmd", "--zone=trusted", what];
        probe::run(&argv, None, LIMIT).map_or_else(String::new, |output| output.stdout)
    };
    let mut interfaces = String::new();
    let sources = list("--list-sources");
    if !covers_any(&sources, cidr) {
        interfaces = list("--list-interfaces");
    }
    covers_any(&sources, cidr) || interfaces.split_whitespace().any(|name| name == bridge)
}

fn covers_any(sources: &str, cidr: Cidr) -> bool {
    sources
        .split_whitespace()
        .any(|source| covers(source, cidr))
}

/// Whether the network `text` contains all of `cidr`.
fn covers(text: &str, cidr: Cidr) -> bool {
    Cidr::containing(text).is_ok_and(|wide| wide.prefix() <= cidr.prefix() && wide.overlaps(cidr))
}

/// Follows a packet from a node at `bridge` through FORWARD.
pub fn forward(table: &str, cidr: Cidr, bridge: &str) -> Forward {
    let rules: Vec<Rule<'_>> = table.lines().filter_map(rule).collect();
    let follow = Follow {
        rules: &rules,
        cidr,
        bridge,
    };
    let block = match follow.chain("FORWARD", DEPTH) {
        Some(End::Accepted) => None,
        Some(End::Dropped(rule)) => Some(Block::Rule(rule)),
        None => table
            .lines()
            .any(|line| line.trim() == "-P FORWARD DROP")
            .then_some(Block::Policy),
    };
    Forward {
        block,
        docker: table.lines().any(|line| line.starts_with("-N DOCKER")),
        cni: rules
            .iter()
            .any(|rule| rule.chain == "FORWARD" && rule.target() == Some("CNI-FORWARD")),
    }
}

fn rule(line: &str) -> Option<Rule<'_>> {
    let mut words = shlex::split(line)?.into_iter();
    (words.next()? == "-A").then_some(())?;
    Some(Rule {
        line,
        chain: words.next()?,
        spec: words.collect(),
    })
}

enum End {
    Accepted,
    Dropped(String),
}

struct Follow<'a> {
    rules: &'a [Rule<'a>],
    cidr: Cidr,
    bridge: &'a str,
}

impl Follow<'_> {
    /// `None`: the packet reaches the end of the chain.
    fn chain(&self, chain: &str, depth: usize) -> Option<End> {
        let depth = depth.checked_sub(1)?;
        for rule in self.rules.iter().filter(|rule| rule.chain == chain) {
            let target = rule.target().unwrap_or_default();
            if target == "CNI-FORWARD" {
                return Some(End::Accepted);
            }
            if !rule.surely_matches(self.cidr, self.bridge) {
                continue;
            }
            match target {
                "ACCEPT" => return Some(End::Accepted),
                "DROP" | "REJECT" => return Some(End::Dropped(rule.line.to_owned())),
                "RETURN" => return None,
                other => {
                    if let Some(end) = self.chain(other, depth) {
                        return Some(end);
                    }
                }
            }
        }
        None
    }
}

impl Rule<'_> {
    fn target(&self) -> Option<&str> {
        let at = self
            .spec
            .iter()
            .position(|word| word == "-j" || word == "-g")?;
        self.spec.get(at + 1).map(String::as_str)
    }

    /// Whether the rule matches every packet that a node sends. A condition
    /// that only some packets meet does not count.
    fn surely_matches(&self, cidr: Cidr, bridge: &str) -> bool {
        let mut words = self.spec.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let value = match word {
                "-i" | "-s" | "-m" | "--comment" => words.next().unwrap_or_default(),
                // The rest are options of the target.
                "-j" | "-g" => return true,
                _ => return false,
            };
            let fits = match word {
                "-i" => {
                    value == bridge
                        || value
                            .strip_suffix('+')
                            .is_some_and(|stem| bridge.starts_with(stem))
                }
                "-s" => covers(value, cidr),
                "-m" => value == "comment",
                _ => true,
            };
            if !fits {
                return false;
            }
        }
        true
    }
}

#[derive(Deserialize)]
struct Ruleset {
    nftables: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    chain: Option<Chain>,
}

#[derive(Deserialize)]
struct Chain {
    family: String,
    table: String,
    name: String,
    hook: Option<String>,
    policy: Option<String>,
}

fn parse_chains(json: &str) -> Vec<String> {
    let Ok(ruleset) = serde_json::from_str::<Ruleset>(json) else {
        return Vec::new();
    };
    let chains = ruleset.nftables.into_iter().filter_map(|entry| entry.chain);
    chains
        .filter(|chain| chain.hook.as_deref() == Some("forward"))
        .filter(|chain| chain.policy.as_deref() == Some("drop"))
        // iptables shows this chain; nodes do not depend on IPv6.
        .filter(|chain| !(chain.table == "filter" && chain.name == "FORWARD"))
        .filter(|chain| chain.family != "ip6")
        .map(|chain| format!("{} {} {}", chain.family, chain.table, chain.name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(table: &str) -> Forward {
        forward(
            table,
            Cidr::parse("172.20.0.0/24").unwrap(),
            "talos1b5b9ccb",
        )
    }

    #[test]
    fn an_open_table_drops_nothing() {
        let found = follow("-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n");
        assert_eq!(
            found,
            Forward {
                block: None,
                docker: false,
                cni: false
            }
        );
    }

    #[test]
    fn a_policy_counts_where_no_rule_accepts() {
        let found = follow("-P FORWARD DROP\n");
        assert_eq!((found.block, found.docker), (Some(Block::Policy), false));
        let docker = "-P FORWARD DROP\n-N DOCKER-USER\n-A FORWARD -j DOCKER-USER\n-A FORWARD -i docker0 ! -o docker0 -j ACCEPT\n-A DOCKER-USER -j RETURN\n";
        let found = follow(docker);
        assert_eq!((found.block, found.docker), (Some(Block::Policy), true));
        for accepting in [
            "-A FORWARD -s 172.16.0.0/12 -j ACCEPT",
            "-A FORWARD -i talos+ -j ACCEPT",
            "-A FORWARD -m comment --comment \"our VMs\" -i talos1b5b9ccb -j ACCEPT",
            "-A FORWARD -m comment --comment \"CNI firewall plugin rules\" -j CNI-FORWARD",
        ] {
            let found = follow(&format!("-P FORWARD DROP\n{accepting}\n"));
            assert_eq!(found.block, None, "{accepting}");
        }
        // One node, one port, another network: only some of the packets.
        for other in [
            "-A FORWARD -s 172.20.0.2/32 -j ACCEPT",
            "-A FORWARD -p tcp -m tcp --dport 443 -j ACCEPT",
            "-A FORWARD -s 10.0.0.0/8 -j ACCEPT",
            "-A FORWARD ! -i docker0 -j ACCEPT",
        ] {
            let found = follow(&format!("-P FORWARD DROP\n{other}\n"));
            assert_eq!(found.block, Some(Block::Policy), "{other}");
        }
    }

    #[test]
    fn a_rule_counts_only_before_the_cni_chain() {
        let reject = "-A FORWARD -j REJECT --reject-with icmp-host-prohibited";
        let cni = "-A FORWARD -m comment --comment \"CNI firewall plugin rules\" -j CNI-FORWARD";
        let before = follow(&format!("{reject}\n{cni}\n"));
        assert_eq!(before.block, Some(Block::Rule(reject.into())));
        assert!(before.cni);
        assert_eq!(follow(&format!("{cni}\n{reject}\n")).block, None);
    }

    #[test]
    fn chains_are_followed() {
        let nested = "-N DOCKER-USER\n-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -s 172.20.0.0/16 -j DROP\n-A DOCKER-USER -j RETURN\n";
        assert!(matches!(follow(nested).block, Some(Block::Rule(_))));
        let circle = "-P FORWARD ACCEPT\n-A FORWARD -j a\n-A a -j b\n-A b -j a\n";
        assert_eq!(follow(circle).block, None);
    }

    /// Recorded with nftables 1.0.6.
    #[test]
    fn other_tables_have_their_say() {
        let json = r#"{"nftables": [{"metainfo": {"version": "1.0.6", "release_name": "Lester Gooch #5", "json_schema_version": 1}}, {"chain": {"family": "ip", "table": "filter", "name": "FORWARD", "handle": 1, "type": "filter", "hook": "forward", "prio": 0, "policy": "drop"}}, {"chain": {"family": "inet", "table": "fw", "name": "forward", "handle": 1, "type": "filter", "hook": "forward", "prio": 0, "policy": "drop"}}, {"chain": {"family": "inet", "table": "fw", "name": "mine", "handle": 2}}]}"#;
        assert_eq!(parse_chains(json), ["inet fw forward"]);
        assert!(parse_chains("").is_empty());
    }

    #[test]
    fn a_trusted_network_may_be_wider() {
        let cidr = Cidr::parse("172.20.0.0/24").unwrap();
        assert!(covers_any("10.0.0.0/8 172.20.0.0/16\n", cidr));
        assert!(!covers_any("172.20.0.0/25", cidr));
        assert!(!covers_any("", cidr));
    }
}

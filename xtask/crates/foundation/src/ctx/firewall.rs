//! What of this host's packet filters stands between a cluster's nodes and the
//! rest: read as root, changed never.
//!
//! talosctl's CNI plugins accept each node's traffic in a chain `CNI-FORWARD`
//! that they put first into FORWARD when it is not there yet (the firewall
//! plugin of containernetworking/plugins). So what drops in the same table
//! starves nodes only when it comes before that chain; what drops in another
//! nftables table always does, because there every table has its say.

use std::time::Duration;

use serde::Deserialize;
use talos::network::Cidr;

use super::{probe, processes};

const LIMIT: Duration = Duration::from_secs(3);
/// Chains that jump in circles are refused by the kernel; this is for us.
const DEPTH: usize = 8;

/// How a packet of a node fares in the filter table's FORWARD chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    pub block: Option<Block>,
    /// Docker's chains are there: a policy DROP is its doing.
    pub docker: bool,
    /// FORWARD leads to the CNI plugins' chain already.
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

/// `iptables -S` of the filter table; none where it may not be read.
pub fn filter_table(root: &[&str]) -> Option<String> {
    let argv = [root, &["iptables", "-w", "-S"]].concat();
    let output = probe::run(&argv, None, LIMIT)?;
    output.success.then_some(output.stdout)
}

/// Chains of other nftables tables that drop what they forward by default, as
/// `inet fw forward`. None where nft is not, or may not be asked.
pub fn dropping_chains(root: &[&str]) -> Option<Vec<String>> {
    let argv = [root, &["nft", "-j", "list", "chains"]].concat();
    let output = probe::run(&argv, None, LIMIT)?;
    output.success.then(|| parse_chains(&output.stdout))
}

/// Whether firewalld runs: a daemon of root's, by the path that its interpreter
/// was handed. `firewall-cmd --state` would take a third of a second.
pub fn runs_firewalld() -> bool {
    use std::os::unix::fs::MetadataExt;
    processes::scan().iter().any(|process| {
        let mut words = process.argv.iter().take(4);
        words.any(|word| word.ends_with("/firewalld"))
            && std::fs::metadata(format!("/proc/{}", process.pid)).is_ok_and(|meta| meta.uid() == 0)
    })
}

/// Whether firewalld lets everything of this network through.
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

/// Whether all of `cidr` lies in the network written `text`.
fn covers(text: &str, cidr: Cidr) -> bool {
    Cidr::containing(text).is_ok_and(|wide| wide.prefix() <= cidr.prefix() && wide.overlaps(cidr))
}

/// Follow a packet from a node at `bridge` through FORWARD.
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
    /// None: the packet comes out at the chain's end.
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

    /// Whether every packet that a node sends away meets this rule. Anything
    /// that only some of them have is not sure.
    fn surely_matches(&self, cidr: Cidr, bridge: &str) -> bool {
        let mut words = self.spec.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let value = match word {
                "-i" | "-s" | "-m" | "--comment" => words.next().unwrap_or_default(),
                // What follows belongs to the target.
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
        // This one is what iptables shows; IPv6 is not what nodes wait for.
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
        // One node, one port, another network: not all of what nodes send.
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

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

use super::host::Host;
use super::probe::Probe;
use super::processes;
use crate::program;

const LIMIT: Duration = Duration::from_secs(3);
/// Maximum depth of jumps. The kernel refuses loops; the limit guards against
/// other input.
const DEPTH: usize = 8;

/// A new connection from a node to a port of its gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    pub port: u16,
    /// `DHCP`, `the Kubernetes API`
    pub service: &'static str,
}

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
    Probe::new(argv).timeout(LIMIT).stdout().ok()
}

/// Where a base chain sees packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    Forward,
    Input,
}

impl Hook {
    fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Input => "input",
        }
    }
}

/// Returns the chains of other nftables tables that drop by default, with their
/// hooks, as `inet fw forward`. `None` if nft is not installed or not permitted.
pub fn dropping_chains(root: &[&str]) -> Option<Vec<(Hook, String)>> {
    // Root may have a longer PATH than this user.
    if root.is_empty() {
        Host::which("nft")?;
    }
    let argv = [root, &["nft", "-j", "list", "chains"]].concat();
    let chains = Probe::new(argv).timeout(LIMIT).stdout().ok()?;
    Some(parse_chains(&chains))
}

/// Whether a rule of the chain names the bridge, all of talosctl's bridges, or the
/// network: then it was made for the nodes.
pub fn chain_names_nodes(root: &[&str], chain: &str, cidr: Cidr, bridge: &str) -> bool {
    let words: Vec<&str> = chain.split(' ').collect();
    let argv = [root, &["nft", "list", "chain"], &words[..]].concat();
    let rules = Probe::new(argv).timeout(LIMIT).stdout().unwrap_or_default();
    rules.split_whitespace().any(|word| {
        let word = word.trim_matches(|c| matches!(c, '"' | ',' | '{' | '}'));
        word == bridge || word == "talos*" || covers(word, cidr)
    })
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
        Probe::new(argv).timeout(LIMIT).stdout().unwrap_or_default()
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

/// Follows a packet from a node at `bridge` to a port of the gateway through INPUT.
/// Returns what drops it. `None` also if a rule may accept it whose conditions
/// are not understood.
pub fn input(table: &str, cidr: Cidr, bridge: &str, packet: Packet) -> Option<Block> {
    let rules: Vec<Rule<'_>> = table.lines().filter_map(rule).collect();
    let follow = Follow {
        rules: &rules,
        cidr,
        bridge,
        packet: Some(packet),
    };
    match follow.chain("INPUT", DEPTH) {
        Some(End::Accepted | End::Unknown) => None,
        Some(End::Dropped(rule)) => Some(Block::Rule(rule)),
        None => has_policy_drop(table, "INPUT").then_some(Block::Policy),
    }
}

/// The first of these packets that INPUT drops, and what drops it.
pub fn first_dropped(
    table: &str,
    cidr: Cidr,
    bridge: &str,
    packets: &[Packet],
) -> Option<(Packet, Block)> {
    let mut dropped = packets
        .iter()
        .filter_map(|packet| Some((*packet, input(table, cidr, bridge, *packet)?)));
    dropped.next()
}

/// The command that accepts what comes from the bridge, of the firewall that made
/// the rules.
pub fn accept_input(table: &str, bridge: &str) -> String {
    if table.lines().any(|line| line.starts_with("-N ufw-")) {
        program!("ufw allow in on {}", bridge)
    } else {
        program!("iptables -I INPUT -i {} -j ACCEPT", bridge)
    }
}

fn has_policy_drop(table: &str, chain: &str) -> bool {
    let policy = format!("-P {chain} DROP");
    table.lines().any(|line| line.trim() == policy)
}

/// Follows a packet from a node at `bridge` through FORWARD.
pub fn forward(table: &str, cidr: Cidr, bridge: &str) -> Forward {
    let rules: Vec<Rule<'_>> = table.lines().filter_map(rule).collect();
    let follow = Follow {
        rules: &rules,
        cidr,
        bridge,
        packet: None,
    };
    let block = match follow.chain("FORWARD", DEPTH) {
        Some(End::Accepted | End::Unknown) => None,
        Some(End::Dropped(rule)) => Some(Block::Rule(rule)),
        None => has_policy_drop(table, "FORWARD").then_some(Block::Policy),
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
    /// A rule may accept the packet.
    Unknown,
}

struct Follow<'a> {
    rules: &'a [Rule<'a>],
    cidr: Cidr,
    bridge: &'a str,
    /// None for every packet that a node sends.
    packet: Option<Packet>,
}

/// Whether a rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Match {
    Yes,
    No,
    /// Some packets, or a condition that is not understood.
    Maybe,
}

impl Match {
    fn of(matches: bool) -> Self {
        if matches { Self::Yes } else { Self::No }
    }
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
            match self.matches(rule) {
                Match::Yes => {}
                Match::Maybe if self.packet.is_some() && target == "ACCEPT" => {
                    return Some(End::Unknown);
                }
                Match::Maybe | Match::No => continue,
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

    /// A rule with several conditions matches if each does.
    fn matches(&self, rule: &Rule<'_>) -> Match {
        let mut words = rule.spec.iter().map(String::as_str);
        let mut all = Match::Yes;
        let mut negated = false;
        while let Some(word) = words.next() {
            if word == "!" {
                negated = true;
                continue;
            }
            // The rest are options of the target.
            if matches!(word, "-j" | "-g") {
                break;
            }
            let value = words.next().unwrap_or_default();
            let matched = match (self.condition(word, value), std::mem::take(&mut negated)) {
                (Match::Yes, true) => Match::No,
                (Match::No, true) => Match::Yes,
                (matched, _) => matched,
            };
            match matched {
                Match::No => return Match::No,
                Match::Maybe => all = Match::Maybe,
                Match::Yes => {}
            }
        }
        all
    }

    fn condition(&self, word: &str, value: &str) -> Match {
        let every = |matches: bool| if matches { Match::Yes } else { Match::Maybe };
        match (word, self.packet) {
            ("-i", _) => {
                let stem = value.strip_suffix('+');
                Match::of(
                    value == self.bridge || stem.is_some_and(|stem| self.bridge.starts_with(stem)),
                )
            }
            ("-s", None) => every(covers(value, self.cidr)),
            // dhcpd's clients have no address yet.
            ("-s", Some(Packet { port: 67, .. })) => {
                every(value == "0.0.0.0/0" || value == "0.0.0.0/32")
            }
            ("-s", Some(_)) if covers(value, self.cidr) => Match::Yes,
            ("-s", Some(_)) => match Cidr::containing(value) {
                Ok(other) if !other.overlaps(self.cidr) => Match::No,
                _ => Match::Maybe,
            },
            ("--comment", _) => Match::Yes,
            ("-m", None) => every(value == "comment"),
            ("-m", Some(_)) => every(matches!(
                value,
                "comment" | "tcp" | "udp" | "multiport" | "conntrack" | "state"
            )),
            ("-p", Some(packet)) => Match::of(value == packet.protocol),
            ("--dport" | "--dports", Some(packet)) => Match::of(names_port(value, packet.port)),
            // The first packet of a connection.
            ("--ctstate" | "--state", Some(_)) => {
                Match::of(value.split(',').any(|state| state == "NEW"))
            }
            _ => Match::Maybe,
        }
    }
}

/// `53`, `22,53` or `1:1024`
fn names_port(list: &str, port: u16) -> bool {
    list.split(',').any(|part| {
        let (from, to) = part.split_once(':').unwrap_or((part, part));
        let from = from.parse().unwrap_or(0);
        let to = to.parse().unwrap_or(u16::MAX);
        (from..=to).contains(&port)
    })
}

impl Rule<'_> {
    fn target(&self) -> Option<&str> {
        let at = self
            .spec
            .iter()
            .position(|word| word == "-j" || word == "-g")?;
        self.spec.get(at + 1).map(String::as_str)
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

fn parse_chains(json: &str) -> Vec<(Hook, String)> {
    let Ok(ruleset) = serde_json::from_str::<Ruleset>(json) else {
        return Vec::new();
    };
    let chains = ruleset.nftables.into_iter().filter_map(|entry| entry.chain);
    chains
        .filter(|chain| chain.policy.as_deref() == Some("drop"))
        // nodes do not depend on IPv6.
        .filter(|chain| chain.family != "ip6")
        .filter_map(|chain| {
            let hooks = [Hook::Forward, Hook::Input];
            let hook = hooks
                .into_iter()
                .find(|hook| chain.hook.as_deref() == Some(hook.as_str()))?;
            // iptables shows these chains.
            let is_iptables = chain.table == "filter" && chain.name == hook.as_str().to_uppercase();
            (!is_iptables).then(|| {
                (
                    hook,
                    format!("{} {} {}", chain.family, chain.table, chain.name),
                )
            })
        })
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
            "-A FORWARD ! -i docker0 -j ACCEPT",
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
            "-A FORWARD ! -i talos+ -j ACCEPT",
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

    fn drops(table: &str, protocol: &'static str, port: u16) -> Option<Block> {
        let packet = Packet {
            protocol,
            port,
            service: "",
        };
        input(
            table,
            Cidr::parse("172.20.0.0/24").unwrap(),
            "talos1b5b9ccb",
            packet,
        )
    }

    /// The rules of ufw 0.36 with `default deny incoming` and port 22 open.
    const UFW: &str = "-P INPUT DROP\n-N ufw-before-input\n-N ufw-user-input\n\
        -A INPUT -j ufw-before-input\n\
        -A ufw-before-input -i lo -j ACCEPT\n\
        -A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
        -A ufw-before-input -p icmp -m icmp --icmp-type 8 -j ACCEPT\n\
        -A ufw-before-input -p udp -m udp --sport 67 --dport 68 -j ACCEPT\n\
        -A ufw-before-input -d 224.0.0.251/32 -p udp -m udp --dport 5353 -j ACCEPT\n\
        -A ufw-before-input -j ufw-user-input\n\
        -A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT\n";

    #[test]
    fn input_is_followed_for_each_port() {
        assert_eq!(drops("-P INPUT ACCEPT\n", "udp", 67), None);
        assert_eq!(drops("-P INPUT DROP\n", "udp", 67), Some(Block::Policy));
        assert_eq!(drops(UFW, "udp", 67), Some(Block::Policy));
        assert_eq!(drops(UFW, "tcp", 6443), Some(Block::Policy));
        assert_eq!(drops(UFW, "tcp", 22), None);
        for rule in [
            "-i talos+ -j ACCEPT",
            "-p tcp -m multiport --dports 53,6443 -j ACCEPT",
            "-p tcp -m tcp --dport 6000:7000 -j ACCEPT",
            "! -i eth0 -j ACCEPT",
            "-s 172.16.0.0/12 -m state --state NEW -j ACCEPT",
            // Conditions that are not understood: the verdict stays open.
            "-m set --match-set lan src -j ACCEPT",
        ] {
            let table = format!("{UFW}-A ufw-user-input {rule}\n");
            assert_eq!(drops(&table, "tcp", 6443), None, "{rule}");
        }
        let rule = "-A INPUT -i talos1b5b9ccb -p tcp -m tcp --dport 6443 -j REJECT --reject-with icmp-port-unreachable";
        let table = format!("-P INPUT ACCEPT\n{rule}\n");
        assert_eq!(drops(&table, "tcp", 6443), Some(Block::Rule(rule.into())));
        assert_eq!(drops(&table, "udp", 53), None);
    }

    /// Recorded with nftables 1.0.6.
    #[test]
    fn other_tables_have_their_say() {
        let json = r#"{"nftables": [{"metainfo": {"version": "1.0.6", "release_name": "Lester Gooch #5", "json_schema_version": 1}}, {"chain": {"family": "ip", "table": "filter", "name": "FORWARD", "handle": 1, "type": "filter", "hook": "forward", "prio": 0, "policy": "drop"}}, {"chain": {"family": "inet", "table": "fw", "name": "forward", "handle": 1, "type": "filter", "hook": "forward", "prio": 0, "policy": "drop"}}, {"chain": {"family": "inet", "table": "fw", "name": "mine", "handle": 2}}]}"#;
        assert_eq!(
            parse_chains(json),
            [(Hook::Forward, "inet fw forward".to_owned())]
        );
        let input = json.replace("forward", "input").replace("FORWARD", "INPUT");
        assert_eq!(
            parse_chains(&input),
            [(Hook::Input, "inet fw input".to_owned())]
        );
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

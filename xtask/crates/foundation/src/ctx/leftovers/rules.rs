//! The packet filter rules and chains of one cluster, identified by comment,
//! address and bridge.

use talos::names::is_bridge_name;
use talos::network::Cidr;

use super::{Footprint, Leftovers, Rule};

/// Parses `-A CHAIN spec…` lines into words, with shell quoting.
pub(super) fn rules<'a>(text: &'a str, table: &'static str) -> impl Iterator<Item = Rule> + 'a {
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

pub(super) fn filter_rules(text: &str, footprint: &Footprint, found: &mut Leftovers) {
    let all: Vec<Rule> = rules(text, "filter").collect();
    let ours = |rule: &&Rule| match rule.chain.as_str() {
        "CNI-FORWARD" => is_of_network(&rule.spec, footprint.cidr.as_ref()),
        "DOCKER-USER" => value(&rule.spec, "-i") == Some(footprint.bridge.as_str()),
        _ => false,
    };
    found.rules.extend(all.iter().filter(ours).cloned());
    found.idle_chains = idle_chains(text, &all, &found.rules);
    let is_idle = |chain: &String| found.idle_chains.contains(chain);
    let target = |rule: &Rule| value(&rule.spec, "-j").map(str::to_owned);
    found.idle_rules = all
        .iter()
        .filter(|rule| is_idle(&rule.chain) || target(rule).as_ref().is_some_and(is_idle))
        .filter(|rule| !found.rules.contains(rule))
        .cloned()
        .collect();
}

/// The rules that talosctl makes for its bridges, with these.
pub(super) fn of_bridges(text: &str) -> Vec<(String, Rule)> {
    let all = rules(text, "filter").filter(|rule| rule.chain == "DOCKER-USER");
    let bridge = |rule: Rule| match rule.spec.as_slice() {
        [i, from, o, to, j, target] if [i, o, j] == ["-i", "-o", "-j"] => {
            let is_its = is_bridge_name(from) && from == to && target == "ACCEPT";
            is_its.then(|| (from.clone(), rule.clone()))
        }
        _ => None,
    };
    all.filter_map(bridge).collect()
}

/// Whether Docker has rules for that bridge: a Docker network can use any
/// bridge name.
pub(super) fn is_dockers(bridge: &str, filter: &str, nat: &str) -> bool {
    let names_it = |rule: &Rule| {
        let flags = ["-i", "-o"];
        flags
            .iter()
            .any(|flag| value(&rule.spec, flag) == Some(bridge))
    };
    rules(filter, "filter")
        .chain(rules(nat, "nat"))
        .filter(names_it)
        .any(|rule| {
            let target = value(&rule.spec, "-j").unwrap_or_default();
            [rule.chain.as_str(), target]
                .iter()
                .any(|chain| chain.starts_with("DOCKER") && *chain != "DOCKER-USER")
        })
}

/// Returns another CNI network whose containers have addresses in `cidr`.
pub(super) fn other_network(nat: &str, network: &str, cidr: Cidr) -> Option<String> {
    rules(nat, "nat")
        .filter(|rule| rule.chain == "POSTROUTING" && is_of_network(&rule.spec, Some(&cidr)))
        .find_map(|rule| {
            let comment = value(&rule.spec, "--comment")?;
            let name = comment.strip_prefix("name: \"")?.split('"').next()?;
            (name != network).then(|| name.to_owned())
        })
}

/// The chains of talosctl and the CNI firewall plugin, if they only contain
/// jumps to each other; both programs create them again when needed.
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

pub(super) fn nat_rules(
    text: &str,
    footprint: &Footprint,
    containers: &[&str],
    found: &mut Leftovers,
) {
    let name = format!("name: \"{}\"", footprint.network);
    for rule in rules(text, "nat").filter(|rule| rule.chain == "POSTROUTING") {
        let comment = value(&rule.spec, "--comment").unwrap_or_default();
        // The id comes from the CNI cache, which may name any chain, so the
        // plugin's comment must match.
        if !comment.starts_with(&name) {
            continue;
        }
        let by_id = containers
            .iter()
            .any(|id| comment.contains(&format!("id: \"{id}\"")));
        let by_name = is_of_network(&rule.spec, footprint.cidr.as_ref());
        let Some(chain) = value(&rule.spec, "-j").filter(|chain| chain.starts_with("CNI-")) else {
            continue;
        };
        if (by_id || by_name) && is_all_of(text, chain, &name) {
            found.nat_chains.push(chain.to_owned());
            found.rules.push(rule);
        }
    }
}

/// The only rule of a node's NAT chain without a comment of the bridge plugin.
const BROADCAST: [&str; 4] = ["-d", "255.255.255.255/32", "-j", "ACCEPT"];

/// Whether every rule of that NAT chain names the network `name`.
fn is_all_of(text: &str, chain: &str, name: &str) -> bool {
    rules(text, "nat")
        .filter(|rule| rule.chain == chain && rule.spec != BROADCAST)
        .all(|rule| value(&rule.spec, "--comment").is_some_and(|said| said.starts_with(name)))
}

/// Chains without a jump to them: a launcher was stopped while it created them.
/// An empty chain does not show its owner, but removing an empty chain without
/// references affects no one.
pub(super) fn half_made_chains(text: &str, footprint: &Footprint, found: &mut Leftovers) {
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
        let is_empty = !all.iter().any(|rule| rule.chain == chain);
        let is_ours = is_all_of(text, &chain, &ours);
        if !is_referred_to && is_empty {
            found.empty_nat_chains.push(chain);
        } else if !is_referred_to && is_ours {
            found.nat_chains.push(chain);
        }
    }
    let inside = all.into_iter();
    found.nat_chain_rules = inside
        .filter(|rule| found.nat_chains.contains(&rule.chain))
        .collect();
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

    #[test]
    fn only_rules_in_talosctls_words_are_for_a_bridge() {
        let text = "-A DOCKER-USER -i talos1b5b9ccb -o talos1b5b9ccb -j ACCEPT\n\
                    -A DOCKER-USER -i talos1b5b9ccb -o talos00000000 -j ACCEPT\n\
                    -A DOCKER-USER -i talos1b5b9ccb -o talos1b5b9ccb -j DROP\n\
                    -A DOCKER-USER -i taloslab -o taloslab -j ACCEPT\n\
                    -A FORWARD -i talos1b5b9ccb -o talos1b5b9ccb -j ACCEPT\n";
        let found = of_bridges(text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, "talos1b5b9ccb");
    }

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
        // A foreign rule keeps the CNI chains; Docker's chain has no other use.
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
        assert_eq!(found.nat_chain_rules.len(), 1);
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
    fn a_container_id_speaks_without_a_cidr() {
        let mut found = Leftovers::default();
        let footprint = Footprint {
            cidr: None,
            ..footprint()
        };
        nat_rules(NAT, &footprint, &["f506"], &mut found);
        assert_eq!(found.nat_chains.len(), 1);
        // The cache is a file of the user and may name any chain.
        let mut found = Leftovers::default();
        nat_rules(NAT, &footprint, &["aaaa"], &mut found);
        assert_eq!(found, Leftovers::default());
    }

    #[test]
    fn a_chain_with_a_rule_of_others_stays() {
        let more = "-A CNI-463743b1ababab1f0d70693d -s 10.0.0.1/32 -j ACCEPT\n";
        let mut found = Leftovers::default();
        nat_rules(&format!("{NAT}{more}"), &footprint(), &["f506"], &mut found);
        assert_eq!(found, Leftovers::default());
    }

    #[test]
    fn dockers_bridge_is_known_by_dockers_rules() {
        let bridge = "talos1b5b9ccb";
        assert!(!is_dockers(bridge, FILTER, NAT));
        let nat = "-A DOCKER -i talos1b5b9ccb -j RETURN\n";
        assert!(is_dockers(bridge, FILTER, nat));
        let filter = "-A FORWARD -o talos1b5b9ccb -j DOCKER\n";
        assert!(is_dockers(bridge, filter, ""));
        assert!(!is_dockers("talos00000000", filter, nat));
    }

    #[test]
    fn another_network_at_the_same_addresses_is_seen() {
        let of = |text: &str| other_network(NAT, "tx", Cidr::parse(text).unwrap());
        assert_eq!(of("172.20.0.0/24"), None);
        assert_eq!(of("10.88.0.0/16"), Some("podman".to_owned()));
    }
}

//! Checks the cluster's network: whether it and its gateway's ports are free,
//! and whether packets of the nodes pass the firewall.

use std::net::IpAddr;

use super::finding::Finding;
use super::inputs::Inputs;
use foundation::ctx::cluster::ClusterView;
use foundation::ctx::firewall::{self, Block, Forward, Hook, Packet};
use foundation::ctx::host::Host;
use foundation::ctx::network;
use foundation::ctx::ports::{self, Listener, Protocol};
use foundation::{program, typed};

/// Two clusters on one network both "succeed" and share an address (T10).
pub(super) fn cidr(inputs: &Inputs) -> Vec<Finding> {
    let wanted = inputs.settings.cidr;
    if Host::which_as_root("ip").is_none() {
        let text = format!("cannot tell whether {wanted} is free without `ip`");
        return vec![Finding::warn("cidr", text)];
    }
    let taken = match network::networks_in_use(&inputs.ctx, inputs.settings.name.as_str()) {
        Ok(taken) => taken,
        Err(unknown) => {
            let mut finding =
                Finding::warn("cidr", format!("cannot tell whether {wanted} is free"));
            for cause in unknown.causes {
                finding = finding.why(cause);
            }
            return vec![finding];
        }
    };
    let Some(other) = taken.iter().find(|other| other.cidr.overlaps(wanted)) else {
        return vec![Finding::ok("cidr", format!("the network {wanted} is free"))];
    };
    let free = network::first_free(&taken, wanted.prefix());
    vec![
        Finding::missing("cidr", format!("the network {wanted} is already in use"))
            .why(format!("{} has {}", other.who, other.cidr))
            .cure(typed!("cluster up --cidr {}", free)),
    ]
}

/// The ports that talosctl's helpers bind on the gateway.
pub(super) fn gateway_ports(inputs: &Inputs) -> Vec<Finding> {
    let Some(gateway) = inputs.settings.cidr.gateway().map(IpAddr::V4) else {
        return Vec::new();
    };
    let view = ClusterView::probe(&inputs.ctx, inputs.settings.name.as_str());
    if !view.members.is_empty() {
        let text = "the gateway's ports are the running cluster's own";
        return vec![Finding::ok("gateway-ports", text)];
    }
    let wanted = wanted_ports(inputs);
    let listeners = ports::listeners();
    let held: Vec<Finding> = wanted
        .iter()
        .filter_map(|(port, protocol, what)| {
            let holder = listeners.iter().find(|listener| {
                listener.port == *port && listener.protocol == *protocol && listener.takes(gateway)
            })?;
            Some(held_port(*port, what, holder))
        })
        .collect();
    if held.is_empty() {
        let numbers: Vec<String> = wanted.iter().map(|(port, ..)| port.to_string()).collect();
        let text = format!(
            "no other process binds {gateway} at port {}",
            numbers.join(", ")
        );
        return vec![Finding::ok("gateway-ports", text)];
    }
    held
}

fn wanted_ports(inputs: &Inputs) -> Vec<(u16, Protocol, &'static str)> {
    let kubernetes = inputs
        .flag("--control-plane-port")
        .and_then(|port| port.parse().ok())
        .unwrap_or(6443);
    let mut wanted = vec![(
        kubernetes,
        Protocol::Tcp,
        "the load balancer for Kubernetes",
    )];
    if inputs.version().serves_dns() && inputs.flag("--nameservers").is_none() {
        wanted.push((53, Protocol::Udp, "the nodes' DNS"));
    }
    wanted
}

fn held_port(port: u16, what: &str, holder: &Listener) -> Finding {
    let who = ports::holder_name(holder);
    Finding::missing(
        format!("port-{port}"),
        format!("port {port} is taken on every address, by {who}"),
    )
    .why(format!("{what} cannot bind the gateway's"))
    .cure("stop it, or let it listen on the addresses that it needs only")
}

/// Firewalls that would drop packets of the VMs: nodes then wait without a message.
pub(super) fn firewall(inputs: &Inputs) -> Vec<Finding> {
    let (cidr, bridge) = (inputs.settings.cidr, inputs.settings.name.bridge());
    let root = inputs.ctx.root_prefix();
    let sudo = if inputs.ctx.host.is_root() {
        ""
    } else {
        "sudo "
    };
    let mut findings = Vec::new();
    if firewall::runs_firewalld() && !firewall::firewalld_trusts(cidr, &bridge) {
        findings.push(
            Finding::warn(
                "firewalld",
                format!("firewalld runs, and does not trust {cidr}"),
            )
            .why("it drops packets from the nodes, so they never reach the API")
            .cure(format!(
                "{sudo}{}",
                program!("firewall-cmd --zone=trusted --add-source={}", cidr)
            )),
        );
    }
    for (hook, chain) in firewall::dropping_chains(root).unwrap_or_default() {
        if !firewall::chain_names_nodes(root, &chain, cidr, &bridge) {
            findings.push(dropping_chain(hook, &chain, &cidr.to_string(), sudo));
        }
    }
    match firewall::filter_table(root) {
        Some(table) => {
            let found = firewall::forward(&table, cidr, &bridge);
            findings.push(forward(&found, &cidr.to_string(), sudo));
            findings.push(input(inputs, &table, sudo));
        }
        None if Host::which_as_root("iptables").is_none() => {}
        None => findings.push(
            Finding::warn(
                "forward-policy",
                "packet filter rules are for root to see: not looked at",
            )
            .cure(format!("sudo -v, then `{}` again", typed!("doctor"))),
        ),
    }
    findings
}

fn dropping_chain(hook: Hook, chain: &str, cidr: &str, sudo: &str) -> Finding {
    let (id, what) = match hook {
        Hook::Forward => ("nftables-forward", "forwards"),
        Hook::Input => ("nftables-input", "receives"),
    };
    Finding::warn(id, format!("nftables chain `{chain}` drops what it {what} by default"))
        .why("each nftables table decides: packets that the rules of talosctl accept are still dropped there")
        .cure(format!(
            "{sudo}{}; {sudo}{}",
            program!("nft insert rule {} ip saddr {} accept", words(chain), cidr),
            program!("nft insert rule {} ip daddr {} accept", words(chain), cidr)
        ))
}

/// Nodes ask this host for addresses, names, their configuration and the
/// Kubernetes API; talosctl adds no rule for that.
fn input(inputs: &Inputs, table: &str, sudo: &str) -> Finding {
    let id = "input-policy";
    let bridge = inputs.settings.name.bridge();
    let packet = |protocol, port, service| Packet {
        protocol,
        port,
        service,
    };
    let mut packets = vec![packet("udp", 67, "DHCP requests")];
    for (port, protocol, service) in wanted_ports(inputs) {
        let protocol = match protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        packets.push(packet(protocol, port, service));
    }
    let dropped = firewall::first_dropped(table, inputs.settings.cidr, &bridge, &packets);
    let Some((packet, block)) = dropped else {
        return Finding::ok(id, "nothing in INPUT drops what nodes send to this host");
    };
    let rule = match block {
        Block::Policy => "its policy is DROP".to_owned(),
        Block::Rule(rule) => format!("`{rule}`"),
    };
    Finding::missing(
        id,
        format!("INPUT drops what nodes send to this host: {rule}"),
    )
    .why(format!(
        "{} (port {}) do not arrive, so no node becomes ready",
        packet.service, packet.port
    ))
    .cure(format!("{sudo}{}", firewall::accept_input(table, &bridge)))
}

/// Splits family, table and chain.
fn words(chain: &str) -> typed::Words {
    chain.split(' ').collect()
}

fn forward(found: &Forward, cidr: &str, sudo: &str) -> Finding {
    let id = "forward-policy";
    let accept = format!(
        "{sudo}{}; {sudo}{}",
        program!("iptables -I FORWARD -s {} -j ACCEPT", cidr),
        program!("iptables -I FORWARD -d {} -j ACCEPT", cidr)
    );
    match &found.block {
        None => Finding::ok(id, "nothing in FORWARD drops what nodes send"),
        Some(Block::Policy) if found.docker => Finding::ok(
            id,
            "FORWARD's policy is DROP, by Docker: talosctl's own rules let nodes through",
        ),
        Some(Block::Policy) => Finding::warn(id, "FORWARD's policy is DROP, and no rule accepts the nodes' network")
            .why("nodes depend on rules that talosctl adds; reloading the firewall drops them and cuts the nodes off")
            .cure(accept),
        Some(Block::Rule(rule)) if found.cni => {
            Finding::warn(id, format!("`{rule}` comes before talosctl's rules"))
                .why("it drops packets from the nodes, so they never reach the API")
                .cure(accept)
        }
        Some(Block::Rule(rule)) => Finding::warn(id, format!("`{rule}` drops what nodes send"))
            .why("talosctl inserts its rules before it; reloading the firewall drops them and cuts the nodes off")
            .cure(accept),
    }
}

/// For information: talosctl and its plugins set what they need.
pub(super) fn forwarding(_: &Inputs) -> Vec<Finding> {
    let is_on = |path: &str| {
        std::fs::read_to_string(path).map_or("absent", |text| match text.trim() {
            "0" => "off",
            _ => "on",
        })
    };
    let forward = is_on("/proc/sys/net/ipv4/ip_forward");
    let bridged = is_on("/proc/sys/net/bridge/bridge-nf-call-iptables");
    vec![Finding::ok(
        "forwarding",
        format!(
            "ip_forward is {forward} (talosctl switches it on), bridge-nf-call-iptables is {bridged}"
        ),
    )]
}

#[cfg(test)]
mod tests {
    use super::super::finding::Status;
    use super::*;

    #[test]
    fn dockers_policy_is_no_alarm_and_anothers_is() {
        let found = |block, docker, cni| {
            let found = Forward { block, docker, cni };
            forward(&found, "172.20.0.0/24", "").status
        };
        assert_eq!(found(None, false, false), Status::Ok);
        assert_eq!(found(Some(Block::Policy), true, false), Status::Ok);
        assert_eq!(found(Some(Block::Policy), false, false), Status::Warn);
        assert_eq!(
            found(Some(Block::Rule("x".into())), true, true),
            Status::Warn
        );
    }
}

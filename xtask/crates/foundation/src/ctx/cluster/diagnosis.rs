//! Why a cluster does not work: every check from the state folder to the kubelet
//! in one order, which ends in one cause. Read-only.
//!
//! The checks of [`health`](super::health) come first. Those here start short
//! processes, some of them as root, or ask the network.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use talos::process::Helper;

use super::fault::{Fault, FaultKind};
use super::health::connect;
use super::{ClusterView, NodeState, NodeView, console_tail};
use crate::ctx::firewall::{self, Block, Hook, Packet};
use crate::ctx::probe::Probe;
use crate::ctx::relay::RelayView;
use crate::ctx::talosctl::Talosctl;
use crate::ctx::{Ctx, network};
use crate::files;
use crate::{program, typed};

/// Longest wait for an answer of the nodes' DNS.
const DNS_LIMIT: Duration = Duration::from_millis(500);
/// Longest wait for the services of the nodes.
const SERVICES_LIMIT: Duration = Duration::from_secs(2);
/// A node whose QEMU is younger may still be on its way to the network.
const YOUNG: Duration = Duration::from_secs(20);
/// Age at which a boot without a word from Talos should at least ask for an address.
const OLD: Duration = Duration::from_mins(2);

/// The outcome of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Outcome {
    Ok,
    Fault {
        faults: Vec<Fault>,
    },
    /// Why it was not checked.
    Unknown {
        why: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    pub name: &'static str,
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// All checks of one cluster, in the order of cause and effect.
#[derive(Debug, Clone)]
pub struct Diagnosis {
    pub view: ClusterView,
    pub checks: Vec<Check>,
}

impl Diagnosis {
    /// The first fault, which explains the others.
    pub fn cause(&self) -> Option<&Fault> {
        self.checks.iter().find_map(|check| match &check.outcome {
            Outcome::Fault { faults } => faults.first(),
            Outcome::Ok | Outcome::Unknown { .. } => None,
        })
    }
}

/// The checks of a report, and the faults that each may find.
const CHECKS: [(&str, &[FaultKind]); 21] = [
    (
        "state folder",
        &[
            FaultKind::Foreign,
            FaultKind::HalfMade,
            FaultKind::NoProcess,
        ],
    ),
    ("kernel and initramfs", &[FaultKind::BootFile]),
    ("memory of this host", &[FaultKind::HostMemory]),
    ("disk space", &[FaultKind::DiskFull]),
    ("launchers", &[FaultKind::Launcher]),
    ("QEMU", &[FaultKind::Paused]),
    ("consoles", &[FaultKind::Died]),
    ("boot sequences", &[FaultKind::BootSequence]),
    ("memory of the nodes", &[FaultKind::GuestMemory]),
    ("kernels", &[FaultKind::KernelBug]),
    ("bridge", &[FaultKind::Bridge]),
    ("helpers", &[FaultKind::Helper]),
    ("firewall", &[FaultKind::Firewall]),
    ("DHCP leases", &[FaultKind::NoLease]),
    ("ARP", &[FaultKind::NoNeighbour]),
    ("DNS", &[FaultKind::Dns]),
    ("registries", &[FaultKind::Relay, FaultKind::Mirror]),
    ("time of this host", &[FaultKind::HostTime]),
    ("API of the nodes", &[FaultKind::Api, FaultKind::Starting]),
    ("etcd and kubelet", &[FaultKind::Etcd, FaultKind::Kubelet]),
    ("Kubernetes API", &[FaultKind::Kubernetes]),
];

/// Faults found, and checks that could not be made.
#[derive(Debug, Default)]
struct Found {
    faults: Vec<Fault>,
    unknown: BTreeMap<FaultKind, String>,
}

impl Found {
    fn unknown(kind: FaultKind, why: impl Into<String>) -> Self {
        Self {
            unknown: BTreeMap::from([(kind, why.into())]),
            ..Self::default()
        }
    }

    fn faults(faults: impl IntoIterator<Item = Fault>) -> Self {
        Self {
            faults: faults.into_iter().collect(),
            ..Self::default()
        }
    }

    fn add(&mut self, other: Self) {
        self.faults.extend(other.faults);
        self.unknown.extend(other.unknown);
    }

    fn into_checks(mut self) -> Vec<Check> {
        self.faults.sort_by_key(|fault| fault.kind);
        let check = |(name, kinds): (&'static str, &[FaultKind])| {
            let faults: Vec<Fault> = self
                .faults
                .iter()
                .filter(|fault| kinds.contains(&fault.kind))
                .cloned()
                .collect();
            let unknown = kinds.iter().find_map(|kind| self.unknown.get(kind));
            let outcome = match unknown {
                _ if !faults.is_empty() => Outcome::Fault { faults },
                Some(why) => Outcome::Unknown { why: why.clone() },
                None => Outcome::Ok,
            };
            Check { name, outcome }
        };
        CHECKS.into_iter().map(check).collect()
    }
}

impl ClusterView {
    /// Examines the cluster and everything around it; at most three seconds.
    pub fn diagnose(ctx: &Ctx, name: &str) -> Diagnosis {
        Self::probe(ctx, name).diagnosis(ctx)
    }

    /// The same for a cluster that this program creates at this moment.
    pub(super) fn diagnose_creation(ctx: &Ctx, name: &str) -> Diagnosis {
        let mut view = Self::probe(ctx, name);
        view.creator = Some(super::UP.to_owned());
        view.state = view.judge();
        view.diagnosis(ctx)
    }

    fn diagnosis(mut self, ctx: &Ctx) -> Diagnosis {
        self.check_health();
        let mut found = Found::default();
        if self.is_made() {
            found.add(host_time(&self));
            found.add(Found::faults(slow_starts(&self)));
            found.add(leases(&self));
            let (dropped, registries) = std::thread::scope(|scope| {
                let dropped = scope.spawn(|| packet_filters(ctx, &self));
                let registries = scope.spawn(|| dead_registries(ctx, &self));
                let asked = [
                    scope.spawn(|| dns(&self)),
                    scope.spawn(|| services(ctx, &self)),
                    scope.spawn(|| kubernetes(&self)),
                ];
                for check in asked {
                    found.add(check.join().unwrap_or_default());
                }
                let registries = registries.join().unwrap_or_default();
                (dropped.join().unwrap_or_default(), registries)
            });
            found.unknown.extend(dropped.unknown);
            self.faults.extend(dropped.faults);
            self.faults.extend(registries);
            self.faults.extend(lost_relay(ctx, &self));
            self.settle();
        }
        found.faults.extend(self.faults.iter().cloned());
        Diagnosis {
            checks: found.into_checks(),
            view: self,
        }
    }

    fn runs(&self, helper: Helper) -> bool {
        self.expected_helpers.contains(&helper)
    }

    /// What nodes connect to on the gateway.
    fn gateway_packets(&self) -> Vec<Packet> {
        let packet = |protocol, port, service| Packet {
            protocol,
            port,
            service,
        };
        let mut packets = Vec::new();
        if self.runs(Helper::Dhcpd) {
            packets.push(packet("udp", 67, "DHCP requests"));
        }
        for node in &self.nodes {
            let port = node.control.as_ref().and_then(|url| url.rsplit_once(':'));
            if let Some(port) = port.and_then(|(_, port)| port.parse().ok()) {
                packets.push(packet(
                    "tcp",
                    port,
                    "requests for the machine configuration",
                ));
            }
        }
        if self.runs(Helper::Dnsd) {
            packets.push(packet("udp", 53, "DNS questions"));
        }
        if let Some(port) = self.endpoint_port() {
            packets.push(packet("tcp", port, "connections to the Kubernetes API"));
        }
        packets
    }

    /// The port of the Kubernetes endpoint on the gateway.
    fn endpoint_port(&self) -> Option<u16> {
        let endpoint = self.endpoint.as_deref()?.strip_prefix("https://")?;
        let address: SocketAddr = endpoint.trim_end_matches('/').parse().ok()?;
        (Some(address.ip()) == self.gateway).then(|| address.port())
    }
}

/// What the packet filters of this host drop, where root's rules can be read without
/// a question.
pub(super) fn packet_filter_faults(ctx: &Ctx, view: &ClusterView) -> Vec<Fault> {
    packet_filters(ctx, view).faults
}

/// Rules of iptables, nftables, ufw and firewalld that drop what nodes send.
fn packet_filters(ctx: &Ctx, view: &ClusterView) -> Found {
    let Some(cidr) = view.cidr else {
        return Found::default();
    };
    let root = ctx.root_prefix();
    let Some(table) = firewall::filter_table(root) else {
        let why = format!(
            "`iptables -S` needs root; run `sudo -v`, then `{}`",
            typed!("cluster explain")
        );
        return Found::unknown(FaultKind::Firewall, why);
    };
    let mut faults = Vec::new();
    let sudo = if ctx.host.is_root() { "" } else { "sudo " };
    let bridge = &view.bridge;
    let fault = |what: String, rule: String| Fault::new(FaultKind::Firewall, what).evidence(rule);
    let packets = view.gateway_packets();
    if let Some((packet, block)) = firewall::first_dropped(&table, cidr, bridge, &packets) {
        faults.push(
            fault(
                format!("INPUT drops {} of the nodes", packet.service),
                describe(&block, "INPUT", bridge),
            )
            .hint(format!("{sudo}{}", firewall::accept_input(&table, bridge))),
        );
    }
    if let Some(block) = firewall::forward(&table, cidr, bridge).block {
        let accept = program!("iptables -I FORWARD -i {} -j ACCEPT", bridge);
        let back = program!("iptables -I FORWARD -o {} -j ACCEPT", bridge);
        faults.push(
            fault(
                "FORWARD drops what nodes send".to_owned(),
                describe(&block, "FORWARD", bridge),
            )
            .hint(format!("{sudo}{accept} && {sudo}{back}")),
        );
    }
    for (hook, chain) in firewall::dropping_chains(root).unwrap_or_default() {
        if firewall::chain_names_nodes(root, &chain, cidr, bridge) {
            continue;
        }
        let what = match hook {
            Hook::Input => "an nftables chain drops what nodes send to this host",
            Hook::Forward => "an nftables chain drops what nodes send",
        };
        let words: typed::Words = chain.split(' ').collect();
        faults.push(
            fault(what.to_owned(), format!("chain `{chain}` has policy drop")).hint(format!(
                "{sudo}{}",
                program!("nft insert rule {} iifname {} accept", words, bridge)
            )),
        );
    }
    let untrusted =
        faults.is_empty() && view.nodes.iter().any(|node| node.state != NodeState::Ready);
    if untrusted && firewall::runs_firewalld() && !firewall::firewalld_trusts(cidr, bridge) {
        faults.push(
            fault(
                "firewalld drops what nodes send".to_owned(),
                format!("its zone `trusted` has neither {cidr} nor `{bridge}`"),
            )
            .hint(format!(
                "{sudo}{}",
                program!("firewall-cmd --zone=trusted --add-source={}", cidr)
            )),
        );
    }
    Found::faults(faults)
}

fn describe(block: &Block, chain: &str, bridge: &str) -> String {
    match block {
        Block::Policy => format!("-P {chain} DROP, and no rule accepts what comes from `{bridge}`"),
        Block::Rule(rule) => rule.clone(),
    }
}

/// Nodes without an answer at the level of Ethernet, and why.
fn leases(view: &ClusterView) -> Found {
    let waits = |node: &&NodeView| is_slow(node) && (node.has_network || is_late(node));
    let waiting: Vec<&NodeView> = view.nodes.iter().filter(waits).collect();
    if waiting.is_empty() || !view.runs(Helper::Dhcpd) {
        return Found::default();
    }
    let log = view.state_dir.join("dhcpd.log");
    let log = files::read_text(&log, files::LARGE)
        .ok()
        .flatten()
        .unwrap_or_default();
    let ipam = files::read_text(&view.state_dir.join("ipam.db"), files::MEDIUM);
    let macs = macs(&ipam.ok().flatten().unwrap_or_default());
    let neighbours = network::neighbours();
    let mut faults = Vec::new();
    for node in waiting {
        let Some(ip) = node.ip else { continue };
        if neighbours.contains(&ip) {
            continue;
        }
        let Some(mac) = macs.get(&ip) else { continue };
        let name = &node.name;
        let fault = match last_request(&log, mac) {
            None => Fault::new(
                FaultKind::NoLease,
                format!("no DHCP request of {name} reached dhcpd"),
            )
            .evidence(format!("dhcpd.log does not name {mac}")),
            Some("DISCOVER") => Fault::new(
                FaultKind::NoLease,
                format!("{name} asks for an address and does not take the offer"),
            )
            .evidence(format!(
                "the last message of {mac} in dhcpd.log is DISCOVER"
            )),
            Some(_) => Fault::new(
                FaultKind::NoNeighbour,
                format!("{name} does not answer ARP"),
            )
            .evidence(format!("{ip} is not in the ARP table")),
        };
        let logs = typed!("cluster logs --name {} --boot {}", view.name, name);
        faults.push(fault.on_node(name).hint(logs));
    }
    Found::faults(faults)
}

/// Addresses by MAC, from one JSON object per line.
fn macs(ipam: &str) -> BTreeMap<IpAddr, String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "UPPERCASE")]
    struct Row {
        ip: IpAddr,
        mac: String,
    }
    let rows = ipam
        .lines()
        .filter_map(|line| serde_json::from_str::<Row>(line).ok());
    rows.map(|row| (row.ip, row.mac)).collect()
}

/// The type of the last message of this MAC in dhcpd's log: `DISCOVER`, `REQUEST`.
fn last_request<'a>(log: &'a str, mac: &str) -> Option<&'a str> {
    let (_, after) = log.rsplit_once(&format!("client MAC: {mac}"))?;
    let mut lines = after.lines();
    lines.find_map(|line| line.trim().strip_prefix("DHCP Message Type: "))
}

fn is_slow(node: &NodeView) -> bool {
    node.state == NodeState::Starting && age(node).is_some_and(|age| age > YOUNG)
}

/// An emulated Talos needs a minute before it configures its network.
fn is_late(node: &NodeView) -> bool {
    age(node).is_some_and(|age| age > OLD)
}

fn age(node: &NodeView) -> Option<Duration> {
    let started = node.qemu.as_ref().and_then(super::Process::started)?;
    SystemTime::now().duration_since(started).ok()
}

/// Nodes that boot, with the newest line of their consoles.
fn slow_starts(view: &ClusterView) -> Vec<Fault> {
    let starting = view.nodes.iter().filter(|node| {
        matches!(node.state, NodeState::Starting | NodeState::Booted) && node.qemu.is_some()
    });
    starting
        .map(|node| {
            let what = match node.state {
                NodeState::Booted => format!("{} has booted and is not ready yet", node.name),
                _ => format!("{} has not finished its boot", node.name),
            };
            let mut fault = Fault::new(FaultKind::Starting, what)
                .on_node(&node.name)
                .hint(typed!("cluster logs --name {} -f {}", view.name, node.name));
            fault.evidence = console_tail(&node.console, 1).pop();
            fault
        })
        .collect()
}

/// A name server that refuses, or that does not run.
fn dns(view: &ClusterView) -> Found {
    let Some(gateway) = view.gateway.filter(|_| view.runs(Helper::Dnsd)) else {
        return Found::default();
    };
    match ask_name_server(gateway) {
        Ok(()) => Found::default(),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Found::faults([Fault::new(
            FaultKind::Dns,
            format!("the nodes' name server {gateway}:53 refuses connections"),
        )
        .evidence(error.to_string())
        .hint(typed!("cluster start --name {}", view.name))]),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Found::unknown(
            FaultKind::Dns,
            format!(
                "{gateway}:53 did not answer within {} ms",
                DNS_LIMIT.as_millis()
            ),
        ),
        Err(error) => Found::unknown(FaultKind::Dns, format!("{gateway}:53: {error}")),
    }
}

/// Asks for the root's name servers; any answer will do.
fn ask_name_server(server: IpAddr) -> std::io::Result<()> {
    // Id, recursion desired, one question: `.`, type NS, class IN.
    const QUESTION: [u8; 17] = [0x7a, 0x10, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(DNS_LIMIT))?;
    socket.connect((server, 53))?;
    socket.send(&QUESTION)?;
    socket.recv(&mut [0; 512]).map(drop)
}

/// The relay of a cluster that was made with one.
pub(super) fn lost_relay(ctx: &Ctx, view: &ClusterView) -> Option<Fault> {
    let relay = RelayView::of_cluster(ctx, view);
    let spec = relay.wanted.as_ref().filter(|_| relay.is_lost())?;
    let what = format!(
        "the relay at {} is gone: nodes cannot reach the registries of this machine",
        spec.describe()
    );
    Some(Fault::new(FaultKind::Relay, what).hint(typed!("cluster up --name {}", view.name)))
}

/// The registries that nodes pull from and that do not answer.
pub(super) fn dead_registries(ctx: &Ctx, view: &ClusterView) -> Vec<Fault> {
    let Some(gateway) = view.gateway else {
        return Vec::new();
    };
    let relay = RelayView::of_cluster(ctx, view);
    let mut faults = Vec::new();
    let relayed: Vec<u16> = relay
        .wanted
        .iter()
        .flat_map(|spec| spec.ports.clone())
        .collect();
    for port in mirror_ports(view, gateway)
        .into_iter()
        .chain(relayed.clone())
    {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let address = if relayed.contains(&port) {
            loopback
        } else {
            gateway
        };
        let Err(error) = connect(address, port) else {
            continue;
        };
        let fault = Fault::new(
            FaultKind::Mirror,
            format!("the registry at port {port}, which nodes pull from, does not answer"),
        )
        .evidence(format!("{address}:{port}: {error}"))
        .hint(typed!("setup"));
        if !faults.contains(&fault) {
            faults.push(fault);
        }
    }
    faults
}

/// Ports of the gateway that the machine configurations name as mirrors.
fn mirror_ports(view: &ClusterView, gateway: IpAddr) -> Vec<u16> {
    let prefix = format!("http://{gateway}:");
    let mut ports = Vec::new();
    for node in &view.nodes {
        let text = files::read_text(&view.launch_config_path(node), files::MEDIUM)
            .ok()
            .flatten()
            .unwrap_or_default();
        let own = node.control.as_ref().and_then(|url| url.rsplit_once(':'));
        for rest in text.split(&prefix).skip(1) {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            let is_own = own.is_some_and(|(_, port)| port == digits);
            if let Ok(port) = digits.parse()
                && !is_own
                && !ports.contains(&port)
            {
                ports.push(port);
            }
        }
    }
    ports
}

/// Certificates of the cluster are not valid before it was created.
fn host_time(view: &ClusterView) -> Found {
    let state = view.state_dir.join(talos::state::files::STATE_FILE);
    let written = std::fs::metadata(&state).and_then(|found| found.modified());
    let is_ahead = written.is_ok_and(|written| written > SystemTime::now() + YOUNG);
    Found::faults(is_ahead.then(|| {
        Fault::new(
            FaultKind::HostTime,
            "the clock of this host is behind the time at which the cluster was created",
        )
        .evidence(format!("`{state}` was written in the future"))
        .hint(program!("date"))
    }))
}

/// etcd and the kubelet, from the services of all nodes that answer.
fn services(ctx: &Ctx, view: &ClusterView) -> Found {
    let ready = view
        .nodes
        .iter()
        .filter(|node| matches!(node.state, NodeState::Ready | NodeState::Booted));
    let addresses: Vec<String> = ready
        .filter_map(|node| node.ip)
        .map(|ip| ip.to_string())
        .collect();
    if addresses.is_empty() {
        return Found::unknown(FaultKind::Etcd, "no node answers");
    }
    let checkout = ctx.checkout().ok();
    let Some(talosctl) = Talosctl::find(ctx, checkout.as_ref()) else {
        return Found::unknown(FaultKind::Etcd, "talosctl was not found");
    };
    let nodes = format!("--nodes={}", addresses.join(","));
    let own = ctx.client_config(&view.name);
    let from = if own.exists() {
        format!("--talosconfig={}", own.talosconfig())
    } else {
        format!("--context={}", view.name)
    };
    let argv = [talosctl.path.as_str(), &from, &nodes, "service"];
    match Probe::new(argv).timeout(SERVICES_LIMIT).run() {
        Ok(output) if output.success => Found::faults(unhealthy(view, &output.stdout)),
        Ok(output) => Found::unknown(
            FaultKind::Etcd,
            output
                .stderr
                .lines()
                .next()
                .unwrap_or("talosctl failed")
                .to_owned(),
        ),
        Err(error) => Found::unknown(FaultKind::Etcd, error.to_string()),
    }
}

/// `NODE SERVICE STATE HEALTH LAST-CHANGE LAST-EVENT`, from `talosctl service`.
fn unhealthy(view: &ClusterView, table: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    for line in table.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [ip, service, state, health, ..] = words[..] else {
            continue;
        };
        let kind = match service {
            "etcd" => FaultKind::Etcd,
            "kubelet" => FaultKind::Kubelet,
            _ => continue,
        };
        if state == "Running" && health == "OK" {
            continue;
        }
        let node = view
            .nodes
            .iter()
            .find(|node| node.ip.is_some_and(|of| of.to_string() == ip));
        let name = node.map_or(ip, |node| node.name.as_str());
        faults.push(
            Fault::new(kind, format!("{service} of {name} is not healthy"))
                .on_node(name)
                .evidence(words.join(" "))
                .hint(typed!("talosctl -- -n {} logs {}", ip, service)),
        );
    }
    faults
}

/// The load balancer, as kubectl reaches it.
fn kubernetes(view: &ClusterView) -> Found {
    let (Some(gateway), Some(port)) = (view.gateway, view.endpoint_port()) else {
        return Found::default();
    };
    let endpoint = view.endpoint.as_deref().unwrap_or_default();
    Found::faults(connect(gateway, port).err().map(|error| {
        Fault::new(FaultKind::Kubernetes, format!("{endpoint} does not answer"))
            .evidence(format!("{gateway}:{port}: {error}"))
            .hint(typed!("cluster start --name {}", view.name))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DHCPD: &str = "2026/11/29 01:11:36 DHCPv4: got DHCPv4 Message\n  client MAC: 96:d2:c9:5f:c6:c6\n  server hostname: \n  options:\n    DHCP Message Type: DISCOVER\n\
        2026/11/29 01:11:36 DHCPv4: got DHCPv4 Message\n  client MAC: 26:84:05:a1:3f:e4\n  options:\n    DHCP Message Type: DISCOVER\n\
        2026/11/29 01:11:37 DHCPv4: got DHCPv4 Message\n  client MAC: 96:d2:c9:5f:c6:c6\n  options:\n    Requested IP Address: 172.20.0.2\n    DHCP Message Type: REQUEST\n";

    #[test]
    fn the_last_message_of_a_node_is_found() {
        assert_eq!(last_request(DHCPD, "96:d2:c9:5f:c6:c6"), Some("REQUEST"));
        assert_eq!(last_request(DHCPD, "26:84:05:a1:3f:e4"), Some("DISCOVER"));
        assert_eq!(last_request(DHCPD, "00:00:00:00:00:00"), None);
    }

    #[test]
    fn addresses_come_from_the_lease_file() {
        let ipam = include_str!("../../../../../testdata/state/1.12.0/ipam.db");
        assert!(
            macs(ipam).contains_key(&"172.20.0.2".parse().unwrap()),
            "{ipam}"
        );
    }

    #[test]
    fn every_fault_belongs_to_one_check() {
        let kinds: Vec<FaultKind> = CHECKS
            .iter()
            .flat_map(|(_, kinds)| *kinds)
            .copied()
            .collect();
        assert!(
            kinds.is_sorted(),
            "checks are in the order of cause and effect"
        );
        let mut unique = kinds.clone();
        unique.dedup();
        assert_eq!(kinds, unique);
        assert_eq!(kinds.last(), Some(&FaultKind::Kubernetes));
    }

    #[test]
    fn the_first_fault_is_the_cause() {
        let found = Found::faults([
            Fault::new(FaultKind::Kubernetes, "later"),
            Fault::new(FaultKind::Bridge, "first"),
        ]);
        let checks = found.into_checks();
        let faulty: Vec<&str> = checks
            .iter()
            .filter(|check| check.outcome != Outcome::Ok)
            .map(|check| check.name)
            .collect();
        assert_eq!(faulty, ["bridge", "Kubernetes API"]);
    }
}

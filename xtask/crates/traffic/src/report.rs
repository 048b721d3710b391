//! Events of an observer to what a user asks: which names, by which node, when, with
//! what result, and what left the host.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;
use talos::network::Cidr;

use crate::contact::{Contact, State, kind_of};
use crate::event::{Event, Protocol};
use crate::helper_log::{LogLine, Logged};
use crate::pull::{Part, Pull};

/// A registry at a port of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    pub port: u16,
    /// The registry that it stands for.
    pub host: String,
    /// It fetches from that registry what it does not have.
    pub is_pull_through: bool,
}

/// The server behind the reverse proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub host: String,
    pub port: u16,
    /// It is on this host.
    pub is_local: bool,
}

/// What listens on the gateway.
#[derive(Debug, Clone)]
pub struct Gateway {
    pub cidr: Cidr,
    pub mirrors: Vec<Mirror>,
    /// The helper's proxies and its server of manifests.
    pub proxy: Option<u16>,
    pub secure_proxy: Option<u16>,
    pub reverse_proxy: Option<u16>,
    pub https: Option<u16>,
    /// The proxy that the helper's patch names, one of the first two.
    pub patched: Option<u16>,
    pub target: Option<Target>,
}

/// A way by which something left the host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Exit {
    /// A node reached it past the gateway.
    Direct { to: String },
    /// The helper's proxy made a connection.
    Proxy { to: String },
    /// The helper's reverse proxy reached its target.
    ReverseProxy { to: String },
    /// A pull-through proxy answered, perhaps from what it had.
    Mirror { host: String, port: u16 },
    /// This host's DNS servers answered.
    Names { name: String },
}

/// What nodes asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Begin and end of each time that the bridge was observed; no end while it is.
    pub observed: Vec<(u64, Option<u64>)>,
    /// Packets that the kernel dropped before the observer saw them.
    pub lost: u64,
    /// The number of boots by node.
    pub boots: BTreeMap<IpAddr, u32>,
    /// When each of them began, in milliseconds since 1970.
    #[serde(skip)]
    pub boot_times: BTreeMap<IpAddr, Vec<u64>>,
    /// When each node became ready, by its name.
    pub ready: BTreeMap<String, Vec<u64>>,
    pub contacts: Vec<Contact>,
    pub pulls: Vec<Pull>,
    pub exits: BTreeSet<Exit>,
    /// Nodes that did not trust the helper's certificate, when, and the helper's words.
    pub untrusted: Vec<(u64, IpAddr, String)>,
    /// Connections to the helper's server of manifests: when, node, bytes received.
    pub manifests: Vec<(u64, IpAddr, u64)>,
}

/// A connection while the log is read.
#[derive(Debug)]
struct Flow {
    at: u64,
    node: IpAddr,
    to: SocketAddr,
    protocol: Protocol,
    boot: u32,
    state: State,
    hello: bool,
    server: Option<String>,
    received: u64,
    closed: Option<u64>,
    requests: BTreeMap<u64, Request>,
}

#[derive(Debug)]
struct Request {
    at: u64,
    boot: u32,
    method: String,
    target: String,
    host: Option<String>,
    status: Option<u16>,
    length: u64,
    digest: Option<String>,
}

type ContactKey = (String, u16, Protocol, Option<SocketAddr>, bool);

struct Builder<'a> {
    gateway: &'a Gateway,
    report: Report,
    flows: BTreeMap<u64, Flow>,
    /// The last name that an address was an answer for, by node.
    names: BTreeMap<(IpAddr, IpAddr), String>,
    contacts: BTreeMap<ContactKey, Contact>,
    pulls: BTreeMap<(String, String), Pull>,
    /// Requests to the plain proxy, by their names in the helper's log: its CONNECTs that
    /// ended or failed, its tunnels, and others.
    seen: [BTreeMap<String, u64>; 3],
}

/// Indices of `seen`.
const CONNECTS: usize = 0;
const TUNNELS: usize = 1;
const REQUESTS: usize = 2;
/// What the helper's patch names, and what `airgap status` asks for.
const MANIFEST: &str = "/debug.yaml";

impl Report {
    /// Reads the log of an observer, and that of the helper, which is empty without one.
    pub fn new(events: Vec<Event>, helper: &[LogLine], gateway: &Gateway) -> Self {
        let mut builder = Builder {
            gateway,
            report: Self::default(),
            flows: BTreeMap::new(),
            names: BTreeMap::new(),
            contacts: BTreeMap::new(),
            pulls: BTreeMap::new(),
            seen: Default::default(),
        };
        for event in events {
            builder.read(event);
        }
        builder.settle();
        builder.read_helper(helper);
        builder.finish()
    }

    /// When the node of that name and address became ready, by boot.
    pub fn ready(&self, name: &str, node: IpAddr) -> BTreeMap<u32, u64> {
        let boots = self.boot_times.get(&node).map_or(&[][..], Vec::as_slice);
        let mut ready = BTreeMap::new();
        for at in self.ready.get(name).into_iter().flatten() {
            let boot = boots.partition_point(|began| began <= at).max(1);
            let boot = u32::try_from(boot).unwrap_or(u32::MAX);
            ready.entry(boot).or_insert(*at);
        }
        ready
    }

    /// Whether the bridge is observed now, as far as the log tells.
    pub fn is_observed(&self) -> bool {
        self.observed.last().is_some_and(|(_, end)| end.is_none())
    }
}

impl Builder<'_> {
    fn boot(&self, node: IpAddr) -> u32 {
        self.report.boots.get(&node).copied().unwrap_or(1)
    }

    fn read(&mut self, event: Event) {
        match event {
            Event::Began { at } => self.report.observed.push((at, None)),
            Event::Ended { at, lost } => {
                self.report.lost += lost.unwrap_or_default();
                if let Some(last) = self.report.observed.last_mut() {
                    last.1 = Some(at);
                }
            }
            Event::Boot { at, node } => {
                *self.report.boots.entry(node).or_default() += 1;
                self.report.boot_times.entry(node).or_default().push(at);
            }
            Event::Ready { at, node } => {
                self.report.ready.entry(node).or_default().push(at);
            }
            Event::Opened {
                at,
                flow,
                node,
                to,
                protocol,
            } => {
                let opened = Flow {
                    at,
                    node,
                    to,
                    protocol,
                    boot: self.boot(node),
                    state: State::Tried,
                    hello: false,
                    server: None,
                    received: 0,
                    closed: None,
                    requests: BTreeMap::new(),
                };
                self.flows.insert(flow, opened);
            }
            Event::Question { at, node, name, .. } => {
                let boot = self.boot(node);
                self.asked(node, &name).add(at, boot);
            }
            Event::Answer {
                node,
                server,
                name,
                code,
                addresses,
                ..
            } => self.answered(node, server, name, code, &addresses),
            Event::Accepted { flow, .. }
            | Event::Refused { flow, .. }
            | Event::Hello { flow, .. }
            | Event::Request { flow, .. }
            | Event::Response { flow, .. }
            | Event::Closed { flow, .. } => {
                let boots = &self.report.boots;
                if let Some(flow) = self.flows.get_mut(&flow) {
                    let boot = boots.get(&flow.node).copied().unwrap_or(1);
                    flow.read(event, boot);
                }
            }
        }
    }

    fn asked(&mut self, node: IpAddr, name: &str) -> &mut crate::contact::Attempts {
        let contact = self.contact((name.to_owned(), 0, Protocol::Udp, None, true));
        contact.nodes.entry(node).or_default()
    }

    fn answered(
        &mut self,
        node: IpAddr,
        server: SocketAddr,
        name: String,
        code: u8,
        addresses: &[IpAddr],
    ) {
        let contact = self.contact((name.clone(), 0, Protocol::Udp, None, true));
        let state = match (code, addresses.is_empty()) {
            (0, false) => State::Reached,
            // The name exists, without an address of that kind.
            (0, true) => State::Tried,
            _ => State::Refused,
        };
        contact.state = contact.state.max(state);
        for address in addresses {
            self.names.insert((node, *address), name.clone());
        }
        if state == State::Reached && self.is_gateway(server.ip()) {
            self.report.exits.insert(Exit::Names { name });
        }
    }

    fn is_gateway(&self, address: IpAddr) -> bool {
        self.gateway.cidr.gateway().map(IpAddr::V4) == Some(address)
    }

    fn contact(&mut self, key: ContactKey) -> &mut Contact {
        let (host, port, protocol, via, only_asked) = key.clone();
        self.contacts.entry(key).or_insert_with(|| Contact {
            kind: kind_of(&host, port),
            host,
            port,
            protocol,
            only_asked,
            via,
            state: State::default(),
            statuses: BTreeSet::new(),
            bytes: 0,
            nodes: BTreeMap::new(),
            unattributed: 0,
            inside_tls: false,
            from_helper: 0,
        })
    }

    /// Adds each connection to what it was for.
    fn settle(&mut self) {
        let flows = std::mem::take(&mut self.flows);
        for flow in flows.values() {
            if !self.is_gateway(flow.to.ip()) {
                self.direct(flow);
                continue;
            }
            let port = Some(flow.to.port());
            if port == self.gateway.https {
                let bytes = (flow.at, flow.node, flow.received);
                self.report.manifests.push(bytes);
            } else if port == self.gateway.proxy {
                for request in flow.requests.values() {
                    self.proxied(flow, request);
                }
            } else {
                self.mirrored(flow);
            }
        }
        self.flows = flows;
    }

    fn direct(&mut self, flow: &Flow) {
        let address = flow.to.ip();
        let host = flow
            .server
            .clone()
            .or_else(|| self.names.get(&(flow.node, address)).cloned())
            .unwrap_or_else(|| address.to_string());
        let key = (host.clone(), flow.to.port(), flow.protocol, None, false);
        let contact = self.contact(key);
        contact.state = contact.state.max(flow.state);
        contact.bytes += flow.received;
        contact.inside_tls |= flow.hello;
        let statuses = flow.requests.values().filter_map(|request| request.status);
        contact.statuses.extend(statuses);
        let attempts = contact.nodes.entry(flow.node).or_default();
        attempts.add(flow.at, flow.boot);
        if flow.state == State::Reached {
            let to = contact.name();
            self.report.exits.insert(Exit::Direct { to });
        }
        for request in flow.requests.values() {
            self.pulled(flow, request, &host);
        }
    }

    /// A request to the helper's proxy: CONNECT, or one with a whole address.
    fn proxied(&mut self, flow: &Flow, request: &Request) {
        let is_connect = request.method == "CONNECT";
        let authority = if is_connect {
            request.target.as_str()
        } else {
            let rest = request.target.strip_prefix("http://");
            let rest = rest.unwrap_or_default();
            rest.split('/').next().unwrap_or_default()
        };
        let Some((host, port)) = split_authority(authority, 80) else {
            return;
        };
        let state = match request.status {
            None => State::Tried,
            // The helper answers so if it cannot connect.
            Some(502..=504) => State::Refused,
            Some(200..300) => State::Reached,
            Some(_) if is_connect => State::Refused,
            Some(_) => State::Reached,
        };
        let kind = if is_connect { CONNECTS } else { REQUESTS };
        *self.seen[kind].entry(request.target.clone()).or_default() += 1;
        if is_connect && state == State::Reached {
            *self.seen[TUNNELS]
                .entry(request.target.clone())
                .or_default() += 1;
        }
        let key = (host.clone(), port, Protocol::Tcp, Some(flow.to), false);
        let contact = self.contact(key);
        contact.state = contact.state.max(state);
        contact.inside_tls |= is_connect && flow.hello;
        contact.statuses.extend(request.status);
        contact.bytes += if is_connect {
            flow.received
        } else {
            request.length
        };
        let attempts = contact.nodes.entry(flow.node).or_default();
        attempts.add(request.at, request.boot);
        if state == State::Reached {
            let to = contact.name();
            self.report.exits.insert(Exit::Proxy { to });
        }
        if !is_connect {
            self.pulled(flow, request, &host);
        }
    }

    /// A connection to a registry at the gateway.
    fn mirrored(&mut self, flow: &Flow) {
        let mirrors = &self.gateway.mirrors;
        let mirror = mirrors.iter().find(|mirror| mirror.port == flow.to.port());
        let Some(mirror) = mirror.cloned() else {
            return;
        };
        for request in flow.requests.values() {
            self.pulled(flow, request, &mirror.host);
            let was_found = request.status.is_some_and(|status| status < 400);
            if mirror.is_pull_through && was_found && Part::parse(&request.target).is_some() {
                self.report.exits.insert(Exit::Mirror {
                    host: mirror.host.clone(),
                    port: mirror.port,
                });
            }
        }
    }

    fn pulled(&mut self, flow: &Flow, request: &Request, host: &str) {
        let Some(part) = Part::parse(&request.target) else {
            return;
        };
        let host = part.namespace.as_deref().unwrap_or(host).to_owned();
        let endpoint = match (&request.host, self.is_gateway(flow.to.ip())) {
            (Some(host), false) => host.clone(),
            _ => flow.to.to_string(),
        };
        let prefix = format!("{host}/{}", part.repository);
        let is_of_it = |pull: &Pull| {
            let rest = pull.image.strip_prefix(&prefix);
            rest.is_some_and(|rest| rest.starts_with([':', '@']))
                && pull.nodes.contains(&flow.node)
                && pull.endpoint == endpoint
        };
        if !part.is_manifest || (part.is_by_digest() && request.method != "HEAD") {
            // A part of an image that was asked for by its name, unless there is none.
            let whole = self.pulls.values_mut().filter(|pull| is_of_it(pull));
            if let Some(pull) = whole.max_by_key(|pull| pull.last) {
                if request
                    .status
                    .is_some_and(|status| (200..300).contains(&status))
                    && request.method == "GET"
                    && !part.is_manifest
                {
                    pull.bytes += request.length;
                }
                pull.last = pull.last.max(request.at);
                return;
            }
            if !part.is_manifest {
                return;
            }
        }
        let pull = self.pull(part.image(&host), endpoint, request.at);
        pull.statuses.extend(request.status);
        if request.digest.is_some() {
            pull.digest.clone_from(&request.digest);
        }
        pull.nodes.insert(flow.node);
        pull.boots
            .entry(flow.node)
            .or_default()
            .insert(request.boot);
    }

    fn pull(&mut self, image: String, endpoint: String, at: u64) -> &mut Pull {
        let pull = self.pulls.entry((image.clone(), endpoint.clone()));
        let pull = pull.or_insert_with(|| Pull {
            image,
            endpoint,
            digest: None,
            statuses: BTreeSet::new(),
            inside_tls: false,
            bytes: 0,
            first: at,
            last: at,
            nodes: BTreeSet::new(),
            boots: BTreeMap::new(),
        });
        pull.last = pull.last.max(at);
        pull
    }

    /// Requests that are within TLS on the bridge: only the helper knows their names. It
    /// logs those to all of its ports alike.
    fn read_helper(&mut self, lines: &[LogLine]) {
        let mut open: BTreeMap<&str, u64> = BTreeMap::new();
        let mut failed = 0_u64;
        for line in lines {
            match &line.what {
                // `airgap status` looks at the certificate from this host.
                Logged::Handshake(peer, _) if self.is_gateway(peer.ip()) => {}
                Logged::Handshake(peer, why) => {
                    let entry = (line.at, peer.ip(), why.clone());
                    self.report.untrusted.push(entry);
                }
                Logged::Tunnel(name) => {
                    if !self.was_seen(TUNNELS, name) {
                        *open.entry(name).or_default() += 1;
                        self.hidden(line.at, name, 443, State::Reached);
                    }
                }
                Logged::Connect(name) => {
                    if self.was_seen(CONNECTS, name) {
                        continue;
                    }
                    // The end of an open tunnel, else the helper could not connect.
                    match open.get_mut(name.as_str()) {
                        Some(count @ 1..) => *count -= 1,
                        _ => self.hidden(line.at, name, 443, State::Refused),
                    }
                }
                Logged::ProxyError(_) => failed += 1,
                Logged::Request(method, target) => {
                    if let Some(rest) = target.strip_prefix("http://") {
                        if !self.was_seen(REQUESTS, target) {
                            let authority = rest.split('/').next().unwrap_or_default();
                            // It logs neither the status nor a failure.
                            self.hidden(line.at, authority, 80, State::Tried);
                        }
                    } else if target != MANIFEST && target != "/" {
                        let state = match failed {
                            0 => State::Reached,
                            _ => State::Refused,
                        };
                        failed = failed.saturating_sub(1);
                        self.reversed(line.at, method, target, state);
                    }
                }
            }
        }
    }

    /// Whether the observer saw this request on the plain proxy; each counts once.
    fn was_seen(&mut self, kind: usize, name: &str) -> bool {
        match self.seen[kind].get_mut(name) {
            Some(count @ 1..) => {
                *count -= 1;
                true
            }
            _ => false,
        }
    }

    fn hidden(&mut self, at: u64, name: &str, default: u16, state: State) {
        let Some((host, to_port)) = split_authority(name, default) else {
            return;
        };
        let users = |port: u16| (port, self.users_of(port, at));
        // Without a connection at that time, the observer missed it: then it is the patch's.
        let secure = self.gateway.secure_proxy.map(users);
        let secure = secure.filter(|(_, users)| !users.is_empty());
        let (port, users) = match (secure, self.gateway.patched.or(self.gateway.proxy)) {
            (Some(secure), _) => secure,
            (None, Some(port)) => (port, BTreeSet::new()),
            (None, None) => return,
        };
        let via = self.gateway_at(port);
        let key = (host, to_port, Protocol::Tcp, via, false);
        let contact = self.contact(key);
        contact.state = contact.state.max(state);
        contact.inside_tls = true;
        contact.from_helper += 1;
        contact.add(at, &users);
        if state == State::Reached {
            let to = contact.name();
            self.report.exits.insert(Exit::Proxy { to });
        }
    }

    /// A request to the reverse proxy.
    fn reversed(&mut self, at: u64, method: &str, path: &str, state: State) {
        let (Some(port), Some(target)) = (self.gateway.reverse_proxy, self.gateway.target.clone())
        else {
            return;
        };
        let users = self.users_of(port, at);
        let via = self.gateway_at(port);
        let key = (target.host.clone(), target.port, Protocol::Tcp, via, false);
        let contact = self.contact(key);
        contact.state = contact.state.max(state);
        contact.inside_tls = true;
        contact.from_helper += 1;
        contact.add(at, &users);
        let to = contact.name();
        if let (Some(via), Some(part)) = (via, Part::parse(path))
            && part.is_manifest
            && (!part.is_by_digest() || method == "HEAD")
        {
            let host = part.namespace.as_deref().unwrap_or(&to);
            let pull = self.pull(part.image(host), via.to_string(), at);
            pull.inside_tls = true;
            if let [(node, boot)] = Vec::from_iter(users)[..] {
                pull.nodes.insert(node);
                pull.boots.entry(node).or_default().insert(boot);
            }
        }
        if state == State::Reached && !target.is_local {
            self.report.exits.insert(Exit::ReverseProxy { to });
        }
        let mut mirrors = self.gateway.mirrors.iter();
        if state == State::Reached
            && target.is_local
            && let Some(mirror) =
                mirrors.find(|mirror| mirror.port == target.port && mirror.is_pull_through)
        {
            self.report.exits.insert(Exit::Mirror {
                host: mirror.host.clone(),
                port: mirror.port,
            });
        }
    }

    fn gateway_at(&self, port: u16) -> Option<SocketAddr> {
        let gateway = self.gateway.cidr.gateway()?;
        Some(SocketAddr::new(gateway.into(), port))
    }

    /// Nodes, and their boots, with a connection to that port of the gateway at that time.
    /// The helper's clock has seconds.
    fn users_of(&self, port: u16, at: u64) -> BTreeSet<(IpAddr, u32)> {
        let is_open = |flow: &&Flow| {
            flow.to.port() == port
                && self.is_gateway(flow.to.ip())
                && flow.at < at + 1000
                && flow.closed.is_none_or(|closed| closed >= at)
        };
        let users = self.flows.values().filter(is_open);
        users.map(|flow| (flow.node, flow.boot)).collect()
    }

    fn finish(mut self) -> Report {
        let mut contacts: Vec<Contact> = self.contacts.into_values().collect();
        // A name that was only resolved on the way to a connection is the connection's.
        let connected: BTreeSet<String> = contacts
            .iter()
            .filter(|contact| !contact.only_asked)
            .map(|contact| contact.host.clone())
            .collect();
        contacts.retain(|contact| !contact.only_asked || !connected.contains(&contact.host));
        contacts.sort_by_key(|contact| {
            let first = contact.nodes.values().map(|attempts| attempts.first).min();
            (first, contact.name())
        });
        self.report.contacts = contacts;
        self.report.pulls = self.pulls.into_values().collect();
        self.report
            .pulls
            .sort_by_key(|pull| (pull.first, pull.image.clone()));
        self.report
    }
}

impl Flow {
    fn read(&mut self, event: Event, boot: u32) {
        match event {
            Event::Accepted { .. } => self.state = State::Reached,
            Event::Refused { .. } => self.state = self.state.max(State::Refused),
            Event::Hello { server, .. } => {
                self.hello = true;
                self.server = server;
            }
            Event::Request {
                at,
                number,
                method,
                target,
                host,
                ..
            } => {
                let request = Request {
                    at,
                    boot,
                    method,
                    target,
                    host,
                    status: None,
                    length: 0,
                    digest: None,
                };
                self.requests.insert(number, request);
            }
            Event::Response {
                number,
                status,
                length,
                digest,
                ..
            } => {
                if let Some(request) = self.requests.get_mut(&number) {
                    request.status = Some(status);
                    request.length = length.unwrap_or_default();
                    request.digest = digest;
                }
            }
            Event::Closed { at, received, .. } => {
                self.closed = Some(at);
                self.received = received.unwrap_or_default();
            }
            _ => {}
        }
    }
}

impl Contact {
    /// An attempt of one of these nodes; it is not known which if there are several.
    fn add(&mut self, at: u64, users: &BTreeSet<(IpAddr, u32)>) {
        match Vec::from_iter(users)[..] {
            [(node, boot)] => self.nodes.entry(*node).or_default().add(at, *boot),
            _ => self.unattributed += 1,
        }
    }
}

/// `HOST:PORT`, `[ADDRESS]:PORT`, or a host alone.
fn split_authority(text: &str, default: u16) -> Option<(String, u16)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ => (text, default),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| (host.to_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helper_log;
    use crate::{Event, Kind, Readiness, Severity, parse_events};

    fn gateway() -> Gateway {
        Gateway {
            cidr: Cidr::parse("172.20.0.0/24").unwrap(),
            mirrors: vec![Mirror {
                port: 5000,
                host: "docker.io".into(),
                is_pull_through: true,
            }],
            proxy: Some(8002),
            secure_proxy: Some(8003),
            reverse_proxy: Some(8004),
            https: Some(8001),
            patched: Some(8003),
            target: Some(Target {
                host: "registry.example".into(),
                port: 443,
                is_local: false,
            }),
        }
    }

    fn report(events: &str, helper: &str) -> Report {
        let (events, damaged) = parse_events(events);
        assert_eq!(damaged, 0);
        Report::new(events, &helper_log::parse(helper), &gateway())
    }

    fn opened(at: u64, flow: u64, node: u8, to: &str) -> String {
        format!(
            r#"{{"event":"opened","at":{at},"flow":{flow},"node":"172.20.0.{node}","to":"{to}","protocol":"tcp"}}"#
        )
    }

    fn request(at: u64, flow: u64, method: &str, target: &str, status: u16) -> String {
        format!(
            "{{\"event\":\"request\",\"at\":{at},\"flow\":{flow},\"number\":{at},\"method\":\"{method}\",\"target\":\"{target}\",\"host\":null}}\n\
             {{\"event\":\"response\",\"at\":{at},\"flow\":{flow},\"number\":{at},\"status\":{status},\"length\":100,\"digest\":null}}"
        )
    }

    #[test]
    fn a_proxied_name_is_reached_when_its_tunnel_opens() {
        let events = [
            opened(1, 0, 2, "172.20.0.1:8002"),
            request(2, 0, "CONNECT", "ghcr.io:443", 200),
            opened(3, 1, 3, "172.20.0.1:8002"),
            request(4, 1, "CONNECT", "discovery.talos.dev:443", 503),
            request(5, 1, "GET", "http://192.0.2.1:9080/x", 404),
        ];
        let report = report(&events.join("\n"), "");
        let states: Vec<_> = report
            .contacts
            .iter()
            .map(|contact| (contact.name(), contact.state))
            .collect();
        assert_eq!(
            states,
            [
                ("ghcr.io:443".into(), State::Reached),
                ("discovery.talos.dev:443".into(), State::Refused),
                ("192.0.2.1:9080".into(), State::Reached),
            ]
        );
        assert_eq!(report.contacts[2].statuses, [404].into());
        assert_eq!(report.exits.len(), 2, "{:?}", report.exits);
    }

    /// Seconds after 13:00:00, as in the helper's log.
    const fn clock(seconds: u64) -> u64 {
        1_795_957_200_000 + seconds * 1000
    }

    fn closed(at: u64, flow: u64) -> String {
        format!(r#"{{"event":"closed","at":{at},"flow":{flow},"sent":1,"received":1}}"#)
    }

    fn of<'a>(report: &'a Report, name: &str) -> &'a Contact {
        let mut contacts = report.contacts.iter();
        let found = contacts.find(|contact| contact.name() == name);
        found.unwrap_or_else(|| panic!("{name}: {report:#?}"))
    }

    #[test]
    fn names_within_tls_come_from_the_helper_and_nodes_from_the_bridge() {
        let helper = "2026/11/29 13:00:02 HTTP CONNECT: tunneling to ghcr.io:443\n\
            2026/11/29 13:00:04 CONNECT ghcr.io:443\n\
            2026/11/29 13:00:04 CONNECT discovery.talos.dev:443\n\
            2026/11/29 13:00:04 CONNECT ghcr.io:443\n\
            2026/11/29 13:00:04 GET http://192.0.2.1:9080/x\n\
            2026/11/29 13:00:05 http: TLS handshake error from 172.20.0.3:4000: remote error: tls: bad certificate\n";
        let one = opened(clock(2) + 100, 0, 2, "172.20.0.1:8003");
        let seen = report(&one, helper);
        let reached = of(&seen, "ghcr.io:443");
        // Its end is not another attempt, but the one that failed afterwards is.
        assert_eq!((reached.state, reached.count()), (State::Reached, 2));
        assert!(reached.inside_tls && reached.from_helper == 2);
        assert_eq!(reached.nodes.len(), 1);
        assert_eq!(of(&seen, "discovery.talos.dev:443").state, State::Refused);
        // Its status is inside TLS: neither reached nor refused is known.
        let unknown = of(&seen, "192.0.2.1:9080");
        assert_eq!((unknown.state, unknown.from_helper), (State::Tried, 1));
        assert!(unknown.statuses.is_empty());
        let to = "ghcr.io:443".to_owned();
        assert_eq!(seen.exits, [Exit::Proxy { to }].into());
        assert_eq!(seen.untrusted[0].1, "172.20.0.3".parse::<IpAddr>().unwrap());
        // With two nodes at that time it is not known which.
        let two = format!("{one}\n{}", opened(clock(2) + 200, 1, 3, "172.20.0.1:8003"));
        let seen = report(&two, helper);
        assert_eq!(of(&seen, "ghcr.io:443").unattributed, 2);
    }

    #[test]
    fn a_request_that_was_seen_is_not_counted_again_from_the_helpers_log() {
        let helper = "2026/11/29 13:00:02 HTTP CONNECT: tunneling to ghcr.io:443\n\
            2026/11/29 13:00:03 CONNECT quay.io:443\n\
            2026/11/29 13:00:03 GET http://192.0.2.1:9080/x\n\
            2026/11/29 13:00:04 CONNECT ghcr.io:443\n";
        let events = [
            opened(clock(2), 0, 2, "172.20.0.1:8002"),
            request(clock(2) + 1, 0, "CONNECT", "ghcr.io:443", 200),
            opened(clock(3), 1, 2, "172.20.0.1:8002"),
            request(clock(3) + 1, 1, "CONNECT", "quay.io:443", 503),
            request(clock(3) + 2, 1, "GET", "http://192.0.2.1:9080/x", 404),
        ];
        let seen = report(&events.join("\n"), helper);
        for contact in &seen.contacts {
            let found = (contact.count(), contact.from_helper, contact.unattributed);
            assert_eq!(found, (1, 0, 0), "{contact:?}");
        }
        assert_eq!(of(&seen, "quay.io:443").state, State::Refused);
        // Without an observer, the helper's log still shows that a tunnel left.
        let seen = report("", helper);
        let ghcr = of(&seen, "ghcr.io:443");
        assert_eq!((ghcr.state, ghcr.unattributed), (State::Reached, 1));
        assert_eq!(ghcr.via.unwrap().port(), 8003);
        assert_eq!(seen.exits.len(), 1);
    }

    #[test]
    fn requests_of_the_reverse_proxy_come_from_the_helpers_log() {
        let helper = "2026/11/29 13:00:01 GET /debug.yaml\n\
            2026/11/29 13:00:02 HEAD /v2/u/x/manifests/v1?ns=ghcr.io\n\
            2026/11/29 13:00:02 GET /v2/u/x/manifests/sha256:11?ns=ghcr.io\n\
            2026/11/29 13:00:03 http: proxy error: dial tcp 192.0.2.1:443: connect: connection refused\n\
            2026/11/29 13:00:03 HEAD /v2/u/y/manifests/v1\n";
        let events = [
            opened(clock(2), 0, 2, "172.20.0.1:8004"),
            closed(clock(2) + 500, 0),
            opened(clock(3), 1, 3, "172.20.0.1:8004"),
        ];
        let seen = report(&events.join("\n"), helper);
        let [contact] = &seen.contacts[..] else {
            panic!("{seen:#?}");
        };
        assert_eq!(contact.name(), "registry.example:443");
        assert_eq!(contact.via.unwrap().port(), 8004);
        assert_eq!((contact.state, contact.from_helper), (State::Reached, 3));
        let pulls: Vec<_> = seen
            .pulls
            .iter()
            .map(|pull| (pull.image.as_str(), pull.inside_tls, pull.was_found()))
            .collect();
        assert_eq!(
            pulls,
            [
                ("ghcr.io/u/x:v1", true, false),
                ("registry.example:443/u/y:v1", true, false)
            ]
        );
        assert_eq!(
            seen.pulls[1].nodes,
            ["172.20.0.3".parse::<IpAddr>().unwrap()].into()
        );
        let to = "registry.example:443".to_owned();
        assert_eq!(seen.exits, [Exit::ReverseProxy { to }].into());

        // Nothing leaves this host if the target is on it.
        let mut local = gateway();
        let target = |port| {
            Some(Target {
                host: "127.0.0.1".into(),
                port,
                is_local: true,
            })
        };
        local.target = target(5005);
        let lines = helper_log::parse(helper);
        assert_eq!(Report::new(Vec::new(), &lines, &local).exits, [].into());
        // But a pull-through proxy fetches what it does not have.
        local.target = target(5000);
        let seen = Report::new(Vec::new(), &lines, &local);
        assert!(matches!(
            seen.exits.first(),
            Some(Exit::Mirror { port: 5000, .. })
        ));
    }

    #[test]
    fn a_node_is_ready_in_the_boot_that_began_before() {
        let events = [
            r#"{"event":"boot","at":10,"node":"172.20.0.2"}"#,
            r#"{"event":"ready","at":20,"node":"t-worker-1"}"#,
            r#"{"event":"boot","at":30,"node":"172.20.0.2"}"#,
            r#"{"event":"boot","at":40,"node":"172.20.0.2"}"#,
            r#"{"event":"ready","at":50,"node":"t-worker-1"}"#,
        ];
        let report = report(&events.join("\n"), "");
        let node = "172.20.0.2".parse().unwrap();
        assert_eq!(report.ready("t-worker-1", node), [(1, 20), (3, 50)].into());
        assert_eq!(report.ready("t-worker-2", node), [].into());
        // Observed from its second boot on, which was the first to be seen.
        let other = "172.20.0.3".parse().unwrap();
        assert_eq!(report.ready("t-worker-1", other), [(1, 20)].into());
    }

    #[test]
    fn parts_of_an_image_count_for_it() {
        let digest = "sha256:11";
        let events = [
            r#"{"event":"boot","at":1,"node":"172.20.0.2"}"#.to_owned(),
            opened(2, 0, 2, "172.20.0.1:5000"),
            request(3, 0, "HEAD", "/v2/library/a/manifests/v1?ns=docker.io", 200),
            request(
                4,
                0,
                "GET",
                &format!("/v2/library/a/manifests/{digest}?ns=docker.io"),
                200,
            ),
            request(
                5,
                0,
                "GET",
                &format!("/v2/library/a/blobs/{digest}?ns=docker.io"),
                200,
            ),
            r#"{"event":"boot","at":6,"node":"172.20.0.2"}"#.to_owned(),
            opened(7, 1, 2, "172.20.0.1:5000"),
            request(
                8,
                1,
                "GET",
                &format!("/v2/library/b/manifests/{digest}"),
                404,
            ),
        ];
        let report = report(&events.join("\n"), "");
        let pulls: Vec<_> = report
            .pulls
            .iter()
            .map(|pull| (pull.image.as_str(), pull.bytes, pull.was_found()))
            .collect();
        let b = format!("docker.io/library/b@{digest}");
        assert_eq!(
            pulls,
            [
                ("docker.io/library/a:v1", 100, true),
                (b.as_str(), 0, false)
            ]
        );
        let node: IpAddr = "172.20.0.2".parse().unwrap();
        assert_eq!(report.pulls[1].boots[&node], [2].into());
        let exit = Exit::Mirror {
            host: "docker.io".into(),
            port: 5000,
        };
        assert_eq!(report.exits, [exit].into());
    }

    #[test]
    fn what_was_not_reached_is_judged_by_when_the_node_became_ready() {
        let events = [
            r#"{"event":"boot","at":500,"node":"172.20.0.2"}"#.to_owned(),
            opened(1000, 0, 2, "192.0.2.7:4460"),
            r#"{"event":"refused","at":1001,"flow":0,"by":"reset"}"#.to_owned(),
            opened(9000, 1, 2, "192.0.2.7:4460"),
            r#"{"event":"ready","at":12000,"node":"t-worker-1"}"#.to_owned(),
        ];
        let report = report(&events.join("\n"), "");
        let [contact] = &report.contacts[..] else {
            panic!("{report:?}");
        };
        assert_eq!((contact.kind, contact.state), (Kind::Time, State::Refused));
        let judge = |name: &str| {
            contact.severity(15_000, |node| Readiness {
                ready: report.ready(name, node),
                is_ready: false,
                boots: report.boots[&node],
            })
        };
        assert!(matches!(judge("t-worker-2"), Some(Severity::Fatal { .. })));
        assert!(matches!(
            judge("t-worker-1"),
            Some(Severity::Delays {
                seconds: 11,
                boot: 1,
                ..
            })
        ));
    }

    #[test]
    fn an_answer_of_dns_names_an_address() {
        let events = [
            r#"{"event":"began","at":1}"#,
            r#"{"event":"question","at":2,"node":"172.20.0.2","server":"172.20.0.1:53","name":"a.example","kind":"A"}"#,
            r#"{"event":"answer","at":3,"node":"172.20.0.2","server":"172.20.0.1:53","name":"a.example","kind":"A","code":0,"addresses":["192.0.2.7"]}"#,
            &opened(4, 0, 2, "192.0.2.7:443"),
        ];
        let report = report(&events.join("\n"), "");
        let names: Vec<String> = report.contacts.iter().map(Contact::name).collect();
        assert_eq!(names, ["a.example:443"]);
        assert!(report.is_observed());
        let name = "a.example".to_owned();
        assert_eq!(report.exits, [Exit::Names { name }].into());
        let event: Event = serde_json::from_str(events[0]).unwrap();
        assert_eq!(event, Event::Began { at: 1 });
    }
}

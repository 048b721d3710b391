//! Packets to events: a table of connections, with what has been seen of each.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

use talos::network::Cidr;

use crate::event::{Event, Protocol, Refusal};
use crate::packet::{Content, Packet, Segment};
use crate::{dns, http, tls};

/// Connections that are remembered at once; the oldest is forgotten.
const MOST_FLOWS: usize = 16_384;
/// Datagrams of one socket to one address within this time are one event.
const SAME_DATAGRAM: u64 = 1000;
const DNS: u16 = 53;
const DHCP: u16 = 67;

/// Turns the packets of a bridge into events.
#[derive(Debug)]
pub struct Observer {
    cidr: Cidr,
    flows: HashMap<Key, Flow>,
    order: VecDeque<(Key, u64)>,
    /// Nodes that asked for an address and have not used it yet.
    booting: HashSet<[u8; 6]>,
    next: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    protocol: Protocol,
    node: SocketAddr,
    peer: SocketAddr,
}

#[derive(Debug)]
struct Flow {
    id: u64,
    /// The first sequence number of the node, and of its peer.
    first: [Option<u32>; 2],
    /// Payload until the FIN, of each.
    ended: [Option<u64>; 2],
    accepted: bool,
    over: bool,
    hello: bool,
    requests: u64,
    /// Numbers of requests without a response.
    waiting: VecDeque<u64>,
    last: u64,
}

impl Observer {
    /// `cidr` is the nodes' network.
    pub fn new(cidr: Cidr) -> Self {
        Self {
            cidr,
            flows: HashMap::new(),
            order: VecDeque::new(),
            booting: HashSet::new(),
            next: 0,
        }
    }

    /// Numbers connections from there on: a log has the numbers of observers before.
    #[must_use]
    pub fn continuing(mut self, next: u64) -> Self {
        self.next = next;
        self
    }

    /// Reads one frame and adds its events.
    pub fn read(&mut self, at: u64, frame: &[u8], events: &mut Vec<Event>) {
        let Some(packet) = Packet::decode(frame) else {
            return;
        };
        match packet.content {
            Content::Udp(payload) if packet.to.port() == DHCP => {
                if is_discover(payload) {
                    self.booting.insert(packet.hardware);
                }
            }
            Content::Unreachable { protocol, from, to } => {
                let key = Key {
                    protocol,
                    node: from,
                    peer: to,
                };
                self.refused(at, key, Refusal::Unreachable, events);
            }
            Content::Udp(payload) => self.datagram(at, &packet, payload, events),
            Content::Tcp(segment, payload) => self.segment(at, &packet, segment, payload, events),
        }
    }

    fn is_node(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => {
                self.cidr.contains(address) && self.cidr.gateway() != Some(address)
            }
            // talosctl derives a unique local network.
            IpAddr::V6(address) => address.segments()[0] & 0xfe00 == 0xfc00,
        }
    }

    /// Whose packet this is: the key, and whether the node sent it.
    fn side(&self, protocol: Protocol, packet: &Packet<'_>, begins: bool) -> Option<(Key, bool)> {
        let forward = Key {
            protocol,
            node: packet.from,
            peer: packet.to,
        };
        let backward = Key {
            protocol,
            node: packet.to,
            peer: packet.from,
        };
        if self.flows.contains_key(&backward) {
            return Some((backward, false));
        }
        let is_known = self.flows.contains_key(&forward);
        let may_begin = begins && self.is_node(packet.from.ip());
        let is_inside = self.is_node(packet.from.ip()) && self.is_node(packet.to.ip());
        (is_known || (may_begin && !is_inside)).then_some((forward, true))
    }

    fn booted(&mut self, at: u64, packet: &Packet<'_>, events: &mut Vec<Event>) {
        let node = packet.from.ip();
        if self.is_node(node) && self.booting.remove(&packet.hardware) {
            events.push(Event::Boot { at, node });
        }
    }

    /// A new connection, which replaces one of the same addresses.
    fn open(&mut self, at: u64, key: Key, events: &mut Vec<Event>) -> &mut Flow {
        while self.flows.len() >= MOST_FLOWS {
            let Some((old, id)) = self.order.pop_front() else {
                break;
            };
            if self.flows.get(&old).is_some_and(|flow| flow.id == id) {
                self.flows.remove(&old);
            }
        }
        let id = self.next;
        self.next += 1;
        self.order.push_back((key, id));
        // Replaced connections leave their place in the order.
        if self.order.len() > 2 * MOST_FLOWS {
            let flows = &self.flows;
            self.order
                .retain(|(key, id)| flows.get(key).is_some_and(|flow| flow.id == *id));
        }
        events.push(Event::Opened {
            at,
            flow: id,
            node: key.node.ip(),
            to: key.peer,
            protocol: key.protocol,
        });
        let flow = Flow {
            id,
            first: [None, None],
            ended: [None, None],
            accepted: false,
            over: false,
            hello: false,
            requests: 0,
            waiting: VecDeque::new(),
            last: at,
        };
        match self.flows.entry(key) {
            Entry::Occupied(place) => {
                let place = place.into_mut();
                *place = flow;
                place
            }
            Entry::Vacant(place) => place.insert(flow),
        }
    }

    fn refused(&mut self, at: u64, key: Key, by: Refusal, events: &mut Vec<Event>) {
        if let Some(flow) = self.flows.get_mut(&key)
            && !flow.over
        {
            // A later datagram of the same socket is refused again.
            flow.over = key.protocol == Protocol::Tcp;
            events.push(Event::Refused {
                at,
                flow: flow.id,
                by,
            });
        }
    }

    fn datagram(&mut self, at: u64, packet: &Packet<'_>, payload: &[u8], events: &mut Vec<Event>) {
        self.booted(at, packet, events);
        let Some((key, is_forward)) = self.side(Protocol::Udp, packet, true) else {
            return;
        };
        match self.flows.get_mut(&key) {
            Some(flow) if !is_forward => {
                if !flow.accepted {
                    flow.accepted = true;
                    events.push(Event::Accepted { at, flow: flow.id });
                }
                flow.last = at;
            }
            Some(flow) if at < flow.last + SAME_DATAGRAM => flow.last = at,
            _ => {
                self.open(at, key, events);
            }
        }
        if key.peer.port() == DNS
            && let Some(message) = dns::parse(payload)
        {
            events.push(dns_event(at, key, message));
        }
    }

    fn segment(
        &mut self,
        at: u64,
        packet: &Packet<'_>,
        segment: Segment,
        payload: &[u8],
        events: &mut Vec<Event>,
    ) {
        self.booted(at, packet, events);
        let begins = segment.syn && !segment.ack;
        let Some((key, is_forward)) = self.side(Protocol::Tcp, packet, begins) else {
            return;
        };
        if begins && is_forward {
            let is_repeated = self
                .flows
                .get(&key)
                .is_some_and(|flow| !flow.over && flow.first[0] == Some(segment.sequence));
            if !is_repeated {
                self.open(at, key, events).first[0] = Some(segment.sequence);
            }
            return;
        }
        let Some(flow) = self.flows.get_mut(&key) else {
            return;
        };
        flow.last = at;
        if segment.syn && segment.ack && !is_forward {
            if !flow.accepted {
                flow.accepted = true;
                flow.first[1] = Some(segment.sequence);
                events.push(Event::Accepted { at, flow: flow.id });
            }
            return;
        }
        if segment.rst && !is_forward && !flow.accepted {
            return self.refused(at, key, Refusal::Reset, events);
        }
        flow.payload(at, is_forward, payload, events);
        flow.end(at, is_forward, segment, events);
    }
}

impl Flow {
    fn payload(&mut self, at: u64, is_forward: bool, payload: &[u8], events: &mut Vec<Event>) {
        if !is_forward {
            let Some(response) = http::response(payload) else {
                return;
            };
            // An interim response is followed by the real one.
            if response.status < 200 {
                return;
            }
            if let Some(number) = self.waiting.pop_front() {
                events.push(Event::Response {
                    at,
                    flow: self.id,
                    number,
                    status: response.status,
                    length: response.length,
                    digest: response.digest,
                });
            }
            return;
        }
        if tls::is_hello(payload) {
            if !self.hello {
                self.hello = true;
                events.push(Event::Hello {
                    at,
                    flow: self.id,
                    server: tls::server_name(payload),
                });
            }
        } else if let Some(request) = http::request(payload).filter(|_| !self.hello) {
            let number = self.requests;
            self.requests += 1;
            self.waiting.push_back(number);
            events.push(Event::Request {
                at,
                flow: self.id,
                number,
                method: request.method,
                target: request.target,
                host: request.host,
            });
        }
    }

    /// A FIN ends one direction, a reset both.
    fn end(&mut self, at: u64, is_forward: bool, segment: Segment, events: &mut Vec<Event>) {
        if self.over || !(segment.fin || segment.rst) {
            return;
        }
        let side = usize::from(!is_forward);
        // The first sequence number is that of the SYN.
        let count = self.first[side].map(|first| {
            let end = segment.sequence.wrapping_add(segment.length);
            u64::from(end.wrapping_sub(first.wrapping_add(1)))
        });
        self.ended[side] = self.ended[side].or(count);
        if segment.rst || self.ended.iter().all(Option::is_some) {
            self.over = true;
            let [sent, received] = self.ended;
            events.push(Event::Closed {
                at,
                flow: self.id,
                sent,
                received,
            });
        }
    }
}

/// DHCP's message type is option 53; 1 is DISCOVER, which only a node without an
/// address sends.
fn is_discover(payload: &[u8]) -> bool {
    let Some(mut options) = payload.get(240..) else {
        return false;
    };
    while let [kind, rest @ ..] = options {
        match (*kind, rest) {
            (0, _) => options = rest,
            (53, [1, value, ..]) => return *value == 1,
            (_, [length, rest @ ..]) => {
                options = rest.get(usize::from(*length)..).unwrap_or_default();
            }
            _ => return false,
        }
    }
    false
}

fn dns_event(at: u64, key: Key, message: dns::Message) -> Event {
    let (node, server) = (key.node.ip(), key.peer);
    let dns::Message { name, kind, answer } = message;
    match answer {
        None => Event::Question {
            at,
            node,
            server,
            name,
            kind,
        },
        Some(answer) => Event::Answer {
            at,
            node,
            server,
            name,
            kind,
            code: answer.code,
            addresses: answer.addresses,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::tests::message;
    use crate::tls::tests::hello;
    use etherparse::PacketBuilder;

    const NODE: [u8; 4] = [172, 20, 0, 2];
    const AWAY: [u8; 4] = [192, 0, 2, 7];
    const GATEWAY: [u8; 4] = [172, 20, 0, 1];
    const HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 2];

    fn observer() -> Observer {
        Observer::new(Cidr::parse("172.20.0.0/24").unwrap())
    }

    /// Events of frames, all at the same time.
    fn events(frames: &[Vec<u8>]) -> Vec<Event> {
        let (mut observer, mut events) = (observer(), Vec::new());
        for frame in frames {
            observer.read(5, frame, &mut events);
        }
        events
    }

    #[derive(Clone, Copy)]
    enum Flag {
        Syn,
        SynAck,
        Ack,
        Fin,
        Rst,
    }

    fn tcp(
        from: ([u8; 4], u16),
        to: ([u8; 4], u16),
        flag: Flag,
        sequence: u32,
        payload: &[u8],
    ) -> Vec<u8> {
        let builder = PacketBuilder::ethernet2(HARDWARE, [2; 6])
            .ipv4(from.0, to.0, 64)
            .tcp(from.1, to.1, sequence, 1000);
        let builder = match flag {
            Flag::Syn => builder.syn(),
            Flag::SynAck => builder.syn().ack(1),
            Flag::Ack => builder.ack(1),
            Flag::Fin => builder.ack(1).fin(),
            Flag::Rst => builder.rst().ack(1),
        };
        let mut frame = Vec::new();
        builder.write(&mut frame, payload).unwrap();
        frame
    }

    fn udp(from: ([u8; 4], u16), to: ([u8; 4], u16), payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(HARDWARE, [2; 6])
            .ipv4(from.0, to.0, 64)
            .udp(from.1, to.1)
            .write(&mut frame, payload)
            .unwrap();
        frame
    }

    fn names(events: &[Event]) -> Vec<String> {
        let name = |event: &Event| {
            let value = serde_json::to_value(event).unwrap();
            value["event"].as_str().unwrap().to_owned()
        };
        events.iter().map(name).collect()
    }

    #[test]
    fn an_open_tunnel_is_seen_before_it_ends() {
        let (node, proxy) = ((NODE, 4000), (GATEWAY, 8002));
        let connect =
            b"CONNECT discovery.talos.dev:443 HTTP/1.1\r\nHost: discovery.talos.dev:443\r\n\r\n";
        let mut frames = vec![
            tcp(node, proxy, Flag::Syn, 9, b""),
            tcp(node, proxy, Flag::Syn, 9, b""),
            tcp(proxy, node, Flag::SynAck, 99, b""),
            tcp(node, proxy, Flag::Ack, 10, connect),
            tcp(
                proxy,
                node,
                Flag::Ack,
                100,
                b"HTTP/1.0 200 Connection established\r\n\r\n",
            ),
            tcp(node, proxy, Flag::Ack, 90, &hello("discovery.talos.dev")),
        ];
        let seen = events(&frames);
        assert_eq!(
            names(&seen),
            ["opened", "accepted", "request", "response", "hello"]
        );
        assert!(matches!(
            &seen[4],
            Event::Hello { server: Some(name), .. } if name == "discovery.talos.dev"
        ));
        // Sequence numbers count what was not captured.
        frames.push(tcp(node, proxy, Flag::Fin, 1010, b""));
        frames.push(tcp(proxy, node, Flag::Fin, 5_000_100, b"end"));
        let seen = events(&frames);
        assert_eq!(
            seen.last().unwrap(),
            &Event::Closed {
                at: 5,
                flow: 0,
                sent: Some(1000),
                received: Some(5_000_003)
            }
        );
    }

    #[test]
    fn refusals_are_resets_and_icmp_errors() {
        let (node, away) = ((NODE, 4000), (AWAY, 443));
        let seen = events(&[
            tcp(node, away, Flag::Syn, 9, b""),
            tcp(away, node, Flag::Rst, 0, b""),
            tcp(node, away, Flag::Syn, 77, b""),
        ]);
        assert_eq!(names(&seen), ["opened", "refused", "opened"]);

        let time = udp((NODE, 4001), (AWAY, 123), &[0x23; 48]);
        let mut error = Vec::new();
        let quoted = &time[14..];
        PacketBuilder::ethernet2([2; 6], HARDWARE)
            .ipv4(GATEWAY, NODE, 64)
            .icmpv4_raw(3, 13, [0; 4])
            .write(&mut error, quoted)
            .unwrap();
        let seen = events(&[time, error]);
        assert_eq!(names(&seen), ["opened", "refused"]);
        assert!(matches!(
            &seen[1],
            Event::Refused {
                by: Refusal::Unreachable,
                ..
            }
        ));
    }

    #[test]
    fn questions_name_their_server() {
        let seen = events(&[
            udp((NODE, 5000), ([8, 8, 8, 8], 53), &message("ghcr.io", None)),
            udp(
                ([8, 8, 8, 8], 53),
                (NODE, 5000),
                &message("ghcr.io", Some((3, [0; 4]))),
            ),
        ]);
        assert_eq!(names(&seen), ["opened", "question", "accepted", "answer"]);
        assert!(matches!(&seen[3], Event::Answer { code: 3, name, .. } if name == "ghcr.io"));
    }

    #[test]
    fn a_boot_begins_with_a_search_for_dhcp() {
        let mut discover = vec![1, 1, 6, 0];
        discover.resize(240, 0);
        discover.extend([53, 1, 1, 255]);
        let frames = [
            udp(([0; 4], 68), ([255; 4], 67), &discover),
            udp(([0; 4], 68), ([255; 4], 67), &discover),
            udp((NODE, 5000), (GATEWAY, 53), &message("a.b", None)),
        ];
        assert_eq!(names(&events(&frames)), ["boot", "opened", "question"]);
        discover[242] = 3;
        let renewal = udp((NODE, 68), (GATEWAY, 67), &discover);
        assert_eq!(events(&[renewal]), []);
    }

    #[test]
    fn traffic_between_nodes_and_to_nodes_is_not_theirs() {
        let other = [172, 20, 0, 3];
        assert_eq!(
            events(&[
                tcp((NODE, 4000), (other, 2379), Flag::Syn, 9, b""),
                tcp((GATEWAY, 4000), (NODE, 50000), Flag::Syn, 9, b""),
                tcp((AWAY, 4000), (NODE, 50000), Flag::Syn, 9, b""),
            ]),
            []
        );
    }

    proptest::proptest! {
        /// Whatever is captured, and however it is cut.
        #[test]
        fn frames_of_others_do_no_harm(
            noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
            cut in 0_usize..400,
        ) {
            let payload = [&hello("a.example")[..], &noise].concat();
            let mut frames = vec![
                tcp((NODE, 1), (AWAY, 443), Flag::Syn, 1, b""),
                tcp((NODE, 1), (AWAY, 443), Flag::Ack, 2, &payload),
                udp((NODE, 2), (AWAY, 53), &noise),
                noise,
            ];
            for frame in &mut frames {
                frame.truncate(cut);
            }
            events(&frames);
        }
    }
}

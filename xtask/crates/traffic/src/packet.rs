//! One frame as far as the observer needs it. A capture holds only the beginning of a
//! frame, so lengths come from the headers.

use std::net::{IpAddr, SocketAddr};

use etherparse::{LaxNetSlice, LaxSlicedPacket, LinkSlice, TransportSlice};

use crate::event::Protocol;

/// TCP, as the observer needs it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "flags of TCP")]
pub(crate) struct Segment {
    pub(crate) sequence: u32,
    pub(crate) syn: bool,
    pub(crate) ack: bool,
    pub(crate) fin: bool,
    pub(crate) rst: bool,
    /// Of the payload, by the IP header.
    pub(crate) length: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    Tcp(Segment, &'a [u8]),
    Udp(&'a [u8]),
    /// An ICMP error: the packet from the first to the second address was not
    /// delivered.
    Unreachable {
        protocol: Protocol,
        from: SocketAddr,
        to: SocketAddr,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet<'a> {
    /// The sender's hardware address.
    pub(crate) hardware: [u8; 6],
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) content: Content<'a>,
}

impl<'a> Packet<'a> {
    /// Returns `None` for a frame that is none of these.
    pub(crate) fn decode(frame: &'a [u8]) -> Option<Self> {
        let sliced = LaxSlicedPacket::from_ethernet(frame).ok()?;
        let hardware = match sliced.link.as_ref()? {
            LinkSlice::Ethernet2(ethernet) => ethernet.source(),
            _ => return None,
        };
        let net = sliced.net.as_ref()?;
        let (from, to) = addresses(net)?;
        let payload = payload_length(net)?;
        let (content, ports) = match sliced.transport.as_ref()? {
            TransportSlice::Tcp(tcp) => {
                let header = u32::from(tcp.data_offset()) * 4;
                let segment = Segment {
                    sequence: tcp.sequence_number(),
                    syn: tcp.syn(),
                    ack: tcp.ack(),
                    fin: tcp.fin(),
                    rst: tcp.rst(),
                    length: payload.saturating_sub(header),
                };
                let ports = (tcp.source_port(), tcp.destination_port());
                (Content::Tcp(segment, tcp.payload()), ports)
            }
            TransportSlice::Udp(udp) => {
                let ports = (udp.source_port(), udp.destination_port());
                (Content::Udp(udp.payload()), ports)
            }
            // Destination unreachable.
            TransportSlice::Icmpv4(icmp) if icmp.type_u8() == 3 => {
                (unreachable(icmp.payload())?, (0, 0))
            }
            TransportSlice::Icmpv6(icmp) if icmp.type_u8() == 1 => {
                (unreachable(icmp.payload())?, (0, 0))
            }
            _ => return None,
        };
        Some(Self {
            hardware,
            from: SocketAddr::new(from, ports.0),
            to: SocketAddr::new(to, ports.1),
            content,
        })
    }
}

fn addresses(net: &LaxNetSlice<'_>) -> Option<(IpAddr, IpAddr)> {
    match net {
        LaxNetSlice::Ipv4(ip) => {
            let header = ip.header();
            Some((
                header.source_addr().into(),
                header.destination_addr().into(),
            ))
        }
        LaxNetSlice::Ipv6(ip) => {
            let header = ip.header();
            Some((
                header.source_addr().into(),
                header.destination_addr().into(),
            ))
        }
        LaxNetSlice::Arp(_) => None,
    }
}

/// Extension headers of IPv6 count as payload: none of ours has any.
fn payload_length(net: &LaxNetSlice<'_>) -> Option<u32> {
    match net {
        LaxNetSlice::Ipv4(ip) => {
            let header = ip.header();
            let total = u32::from(header.total_len());
            Some(total.saturating_sub(u32::from(header.ihl()) * 4))
        }
        LaxNetSlice::Ipv6(ip) => Some(u32::from(ip.header().payload_length())),
        LaxNetSlice::Arp(_) => None,
    }
}

/// The packet that an ICMP error quotes: its IP header, and of its payload perhaps
/// only the ports.
fn unreachable<'a>(quoted: &[u8]) -> Option<Content<'a>> {
    let sliced = LaxSlicedPacket::from_ip(quoted).ok()?;
    let net = sliced.net.as_ref()?;
    let (from, to) = addresses(net)?;
    let (protocol, payload) = match net {
        LaxNetSlice::Ipv4(ip) => (ip.header().protocol().0, ip.payload().payload),
        LaxNetSlice::Ipv6(ip) => (ip.header().next_header().0, ip.payload().payload),
        LaxNetSlice::Arp(_) => return None,
    };
    let protocol = match protocol {
        6 => Protocol::Tcp,
        17 => Protocol::Udp,
        _ => return None,
    };
    let [a, b, c, d] = *payload.first_chunk::<4>()?;
    let (source, destination) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    Some(Content::Unreachable {
        protocol,
        from: SocketAddr::new(from, source),
        to: SocketAddr::new(to, destination),
    })
}

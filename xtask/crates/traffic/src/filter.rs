//! The capture filter: the kernel passes on only what the observer reads, so a pull of
//! gigabytes costs a few packets.

use std::fmt::Write;

use talos::network::Cidr;

/// Bytes captured of each frame: the heads of requests, and the name in a TLS hello.
pub const SNAPSHOT_LENGTH: u32 = 2048;

/// The first bytes of HTTP requests and responses that begin a segment.
const HEADS: [&[u8; 4]; 9] = [
    b"HTTP", b"GET ", b"HEAD", b"POST", b"PUT ", b"CONN", b"DELE", b"PATC", b"OPTI",
];
/// The place of a TCP segment's payload.
const PAYLOAD: &str = "((tcp[12] & 0xf0) >> 2)";

/// Returns the filter for a cluster's network, in the language of `pcap-filter(7)`. Within
/// the network only DNS, DHCP and the gateway's `ports` are of interest.
pub fn filter(cidr: Cidr, ports: &[u16]) -> String {
    let mut inside = "port 53 or port 123".to_owned();
    for port in ports {
        let _ = write!(inside, " or tcp port {port}");
    }
    // `and` and `or` bind equally strong.
    let mut heads = format!("(tcp[{PAYLOAD}:2] = 0x1603 and tcp[{PAYLOAD} + 5] = 1)");
    for head in HEADS {
        let word = u32::from_be_bytes(*head);
        let _ = write!(heads, " or tcp[{PAYLOAD}:4] = {word:#x}");
    }
    let outside = format!("not (src net {cidr} and dst net {cidr})");
    let ends = "tcp[tcpflags] & (tcp-syn | tcp-fin | tcp-rst) != 0";
    let unicast = "not dst net 224.0.0.0/4 and not dst host 255.255.255.255 and not port 67";
    format!(
        "udp dst port 67 or icmp[icmptype] = icmp-unreach \
         or (ip and {unicast} and ({outside} or {inside}) and (udp or {ends} or {heads})) \
         or (ip6 and not src net fe80::/10 and not dst net ff00::/8 \
         and (udp or ip6[6] = 58 or (ip6[6] = 6 and ip6[53] & 7 != 0)))"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_heads_and_ends_are_captured() {
        let text = filter(Cidr::parse("172.20.0.0/24").unwrap(), &[5000, 8002]);
        assert!(text.contains("tcp port 5000 or tcp port 8002"), "{text}");
        assert!(text.contains("= 0x48545450"), "HTTP: {text}");
    }
}

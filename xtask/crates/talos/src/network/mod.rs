//! The cluster network: the owner of each address, and whether there are
//! enough.
//!
//! talosctl counts from the address it is given, not from the network's first
//! (`NthIPInNetwork` in siderolabs/net): `172.20.0.7/24` silently makes the
//! gateway .8. It also assigns the broadcast address. Both are errors here.

use std::fmt;
use std::net::Ipv4Addr;

/// Offset of the virtual address of `--use-vip`.
const VIP_OFFSET: u32 = 50;
/// talosctl sets no limit, but no host runs more nodes than a /16 has addresses. In a
/// wider network an address does not identify a cluster.
const WIDEST: u8 = 16;
/// Offset of the first node; before it come the network's own address and the gateway.
const NODES_OFFSET: u32 = 2;

/// Why a text is not a usable cluster network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    #[error("`{text}` is not a CIDR such as 172.20.0.0/24")]
    Malformed { text: String },
    #[error(
        "`{text}` is an IPv6 network: use an IPv4 network, talosctl derives the IPv6 network from it"
    )]
    Ipv6 { text: String },
    #[error(
        "CIDR `{cidr}` is not a network address, did you mean {network}? (nodes would be counted from its host part)"
    )]
    HostBits { cidr: String, network: Cidr },
    #[error("CIDR {cidr} is {what}, nodes cannot use it")]
    Reserved { cidr: Cidr, what: &'static str },
    #[error(
        "CIDR {cidr} is too small: it needs {needs} addresses for {nodes} nodes and has {has}, use a /{prefix} or larger"
    )]
    TooSmall {
        cidr: Cidr,
        nodes: u32,
        /// Network, gateway, nodes (or the virtual address) and broadcast.
        needs: u64,
        has: u64,
        /// Longest prefix that would do.
        prefix: u8,
    },
    #[error("CIDR {cidr} is wider than a /{WIDEST}: no host can run that many nodes")]
    TooWide { cidr: Cidr },
    #[error(
        "in CIDR {cidr} the virtual address {address} is also a node's: use fewer than 49 nodes"
    )]
    VipTaken { cidr: Cidr, address: Ipv4Addr },
}

/// An IPv4 network: its first address and prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    base: Ipv4Addr,
    prefix: u8,
}

impl Cidr {
    /// Parses `172.20.0.0/24`; the address must be the first one of the network.
    ///
    /// # Errors
    /// The reason; for host bits with the likely intended network.
    pub fn parse(text: &str) -> Result<Self, CidrError> {
        let cidr = Self::containing(text)?;
        if text.trim().split('/').next() != Some(cidr.base.to_string().as_str()) {
            return Err(CidrError::HostBits {
                cidr: text.to_owned(),
                network: cidr,
            });
        }
        match cidr.reserved() {
            Some(what) => Err(CidrError::Reserved { cidr, what }),
            None => Ok(cidr),
        }
    }

    /// The network that an address with a prefix lies in, as interfaces show
    /// them: `172.20.0.1/24` is in 172.20.0.0/24. Reserved ones are accepted.
    ///
    /// # Errors
    /// [`CidrError::Malformed`] or [`CidrError::Ipv6`].
    pub fn containing(text: &str) -> Result<Self, CidrError> {
        let malformed = || CidrError::Malformed {
            text: text.to_owned(),
        };
        let (address, prefix) = text.trim().split_once('/').ok_or_else(malformed)?;
        if address.parse::<std::net::Ipv6Addr>().is_ok() {
            return Err(CidrError::Ipv6 {
                text: text.to_owned(),
            });
        }
        let address: Ipv4Addr = address.parse().map_err(|_| malformed())?;
        let digits = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix: u8 = prefix
            .parse()
            .ok()
            .filter(|p| digits && *p <= 32)
            .ok_or_else(malformed)?;
        Ok(Self::new(address, prefix))
    }

    fn new(address: Ipv4Addr, prefix: u8) -> Self {
        Self {
            base: Ipv4Addr::from_bits(address.to_bits() & mask(prefix)),
            prefix,
        }
    }

    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// Number of addresses, network and broadcast included.
    pub fn size(self) -> u64 {
        1 << (32 - u32::from(self.prefix))
    }

    pub fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.prefix) == self.base.to_bits()
    }

    /// Whether it is small enough to be one cluster's alone, with room for its
    /// gateway and a node.
    pub fn may_be_a_clusters(self) -> bool {
        self.prefix >= WIDEST && self.node(0).is_some() && self.reserved().is_none()
    }

    /// Whether two networks share an address: then one contains the other's first.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.base) || other.contains(self.base)
    }

    /// The bridge's address, also of the load balancer, DHCP and DNS: the first after the network's.
    pub fn gateway(self) -> Option<Ipv4Addr> {
        self.nth(1)
    }

    /// Address of the `index`th node from 0, control planes first.
    pub fn node(self, index: u32) -> Option<Ipv4Addr> {
        self.nth(NODES_OFFSET.checked_add(index)?)
    }

    /// Virtual address of the control plane with `--use-vip`.
    pub fn vip(self) -> Option<Ipv4Addr> {
        self.nth(VIP_OFFSET)
    }

    /// The `offset`th address, if the network has it below its broadcast address.
    fn nth(self, offset: u32) -> Option<Ipv4Addr> {
        (u64::from(offset) + 1 < self.size())
            .then(|| Ipv4Addr::from_bits(self.base.to_bits() + offset))
    }

    /// Checks that `nodes` nodes, and the virtual address if `vip`, find room.
    ///
    /// # Errors
    /// [`CidrError::TooSmall`] with the numbers, [`CidrError::TooWide`] or
    /// [`CidrError::VipTaken`].
    pub fn check_fits(self, nodes: u32, vip: bool) -> Result<(), CidrError> {
        if self.prefix < WIDEST {
            return Err(CidrError::TooWide { cidr: self });
        }
        let last_node = u64::from(NODES_OFFSET) + u64::from(nodes);
        let last = if vip {
            last_node.max(u64::from(VIP_OFFSET) + 1)
        } else {
            last_node
        };
        let needs = last + 1; // the broadcast address
        if needs > self.size() {
            let bits = needs.next_power_of_two().trailing_zeros();
            let prefix = u8::try_from(32u32.saturating_sub(bits)).unwrap_or(0);
            return Err(CidrError::TooSmall {
                cidr: self,
                nodes,
                needs,
                has: self.size(),
                prefix,
            });
        }
        match self.vip() {
            Some(address) if vip && last_node > u64::from(VIP_OFFSET) => Err(CidrError::VipTaken {
                cidr: self,
                address,
            }),
            _ => Ok(()),
        }
    }

    fn reserved(self) -> Option<&'static str> {
        let first = self.base;
        match () {
            () if first.octets()[0] == 0 => Some("\"this network\" (0.0.0.0/8)"),
            () if first.is_loopback() => Some("loopback"),
            () if first.is_link_local() => Some("link-local"),
            () if first.octets()[0] >= 224 => Some("multicast or reserved"),
            () => None,
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

impl std::str::FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

#[cfg(test)]
mod tests;

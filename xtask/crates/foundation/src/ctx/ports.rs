//! Listening sockets, from `/proc/net`; no connection is made.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::processes::{self, Process};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
}

/// A socket that accepts connections or datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    pub protocol: Protocol,
    pub address: IpAddr,
    pub port: u16,
    pub inode: u64,
}

impl Listener {
    /// Whether it prevents another process from binding `address` at this port.
    pub fn takes(&self, address: IpAddr) -> bool {
        self.address.is_unspecified() || self.address == address
    }
}

/// Returns all listeners of this network namespace; empty without `/proc`.
pub fn listeners() -> Vec<Listener> {
    let tables = [
        ("tcp", Protocol::Tcp),
        ("tcp6", Protocol::Tcp),
        ("udp", Protocol::Udp),
        ("udp6", Protocol::Udp),
    ];
    tables
        .into_iter()
        .flat_map(|(table, protocol)| {
            let text = fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
            parse(&text, protocol)
        })
        .collect()
}

/// Returns the process that owns a socket; other users' processes are only
/// visible to root.
pub fn holder(inode: u64) -> Option<Process> {
    let wanted = format!("socket:[{inode}]");
    processes::scan()
        .into_iter()
        .find(|process| holds(process.pid, &wanted))
}

/// The holder for a message: ``` `nginx` (pid 7) ```. Only root can see processes
/// of other users.
pub fn holder_name(listener: &Listener) -> String {
    holder(listener.inode).map_or_else(
        || "a process that only root can see".to_owned(),
        |process| format!("`{}` (pid {})", process.comm, process.pid),
    )
}

fn holds(pid: i32, wanted: &str) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    entries
        .filter_map(Result::ok)
        .any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == wanted))
}

/// Lines of `/proc/net/tcp` and its like: `sl local remote st … uid timeout
/// inode`. State 0A is LISTEN; an unconnected UDP socket has 07.
fn parse(text: &str, protocol: Protocol) -> Vec<Listener> {
    let state = match protocol {
        Protocol::Tcp => "0A",
        Protocol::Udp => "07",
    };
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (address, port) = fields.get(1)?.split_once(':')?;
            (*fields.get(3)? == state).then_some(())?;
            Some(Listener {
                protocol,
                address: parse_address(address)?,
                port: u16::from_str_radix(port, 16).ok()?,
                inode: fields.get(9)?.parse().ok()?,
            })
        })
        .collect()
}

/// Addresses are 32-bit words in the machine's byte order.
fn parse_address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = hex.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut bytes = [0; 16];
            for at in 0..4 {
                bytes[at * 4..at * 4 + 4].copy_from_slice(&word(at)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1388 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
   1: 0100007F:9C40 0100007F:1388 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0
";
    const TCP6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:192B 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 815 1 0 100 0 0 10 0
   1: 0000000000000000FFFF0000010014AC:1F41 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 816 1 0 100 0 0 10 0
";

    #[cfg(target_endian = "little")]
    #[test]
    fn only_listeners_are_read() {
        let found = parse(TCP, Protocol::Tcp);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].address, found[0].port, found[0].inode),
            (IpAddr::V4(Ipv4Addr::LOCALHOST), 5000, 4711)
        );
        assert!(!found[0].takes("172.20.0.1".parse().unwrap()));
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn a_wildcard_takes_every_address() {
        let found = parse(TCP6, Protocol::Tcp);
        assert_eq!(found[0].port, 6443);
        assert!(found[0].takes("172.20.0.1".parse().unwrap()));
        assert_eq!(found[1].address, "172.20.0.1".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn our_own_listener_is_found_and_we_hold_it() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let found = listeners()
            .into_iter()
            .find(|listener| listener.port == port && listener.protocol == Protocol::Tcp)
            .unwrap();
        let process = holder(found.inode).unwrap();
        assert_eq!(process.pid, i32::try_from(std::process::id()).unwrap());
    }
}

//! What an observer saw, one JSON object a line. Later events of a connection name it
//! by its number.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// The transport of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
}

/// How a connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Refusal {
    /// A reset in place of an answer.
    Reset,
    /// An ICMP error.
    Unreachable,
}

/// One event; `at` is in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// The capture began on the bridge.
    Began {
        at: u64,
    },
    /// The capture ended, and the kernel dropped that many packets unseen; `None` if unknown.
    Ended {
        at: u64,
        lost: Option<u64>,
    },
    /// A node asked for an address: it booted.
    Boot {
        at: u64,
        node: IpAddr,
    },
    /// A node's console shows that it is ready.
    Ready {
        at: u64,
        /// The name that talosctl gives it.
        node: String,
    },
    /// A node opened a connection, or sent a datagram.
    Opened {
        at: u64,
        flow: u64,
        node: IpAddr,
        to: SocketAddr,
        protocol: Protocol,
    },
    Accepted {
        at: u64,
        flow: u64,
    },
    Refused {
        at: u64,
        flow: u64,
        by: Refusal,
    },
    /// A TLS handshake began.
    Hello {
        at: u64,
        flow: u64,
        server: Option<String>,
    },
    Request {
        at: u64,
        flow: u64,
        /// Counts the requests of the connection.
        number: u64,
        method: String,
        target: String,
        host: Option<String>,
    },
    Response {
        at: u64,
        flow: u64,
        number: u64,
        status: u16,
        length: Option<u64>,
        digest: Option<String>,
    },
    /// A connection ended; payload in bytes. `None` if its beginning was not seen.
    Closed {
        at: u64,
        flow: u64,
        sent: Option<u64>,
        received: Option<u64>,
    },
    Question {
        at: u64,
        node: IpAddr,
        server: SocketAddr,
        name: String,
        kind: String,
    },
    Answer {
        at: u64,
        node: IpAddr,
        server: SocketAddr,
        name: String,
        kind: String,
        code: u8,
        addresses: Vec<IpAddr>,
    },
}

/// Parses a log. The last line may be torn; other lines that do not parse are counted.
pub fn parse_events(text: &str) -> (Vec<Event>, usize) {
    let mut events = Vec::new();
    let mut damaged = 0;
    for line in text.split_inclusive('\n') {
        match serde_json::from_str(line) {
            Ok(event) => events.push(event),
            Err(_) if !line.ends_with('\n') => {}
            Err(_) => damaged += 1,
        }
    }
    (events, damaged)
}

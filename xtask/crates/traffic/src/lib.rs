//! What the nodes of a cluster ask the network for. Packets that were captured on the
//! cluster's bridge become events ([`Observer`]), and events a report ([`Report`]).
//!
//! The crate opens no file and no socket: a capture comes through [`Read`](std::io::Read).

mod contact;
mod dns;
mod event;
mod expected;
mod filter;
pub mod helper_log;
mod http;
mod observer;
mod packet;
mod pcap;
mod pull;
mod report;
mod severity;
mod tls;

pub use contact::{Attempts, Contact, Kind, State};
pub use event::{Event, Protocol, Refusal, parse_events};
pub use expected::Expected;
pub use filter::{SNAPSHOT_LENGTH, filter};
pub use observer::Observer;
pub use pcap::{Captured, PcapReader};
pub use pull::Pull;
pub use report::{Exit, Gateway, Mirror, Report, Target};
pub use severity::{Readiness, Severity};

//! One name outside of the cluster's network that nodes asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use crate::event::Protocol;

/// What became of the attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Without an answer.
    #[default]
    Tried,
    Refused,
    Reached,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tried => "tried",
            Self::Refused => "refused",
            Self::Reached => "reached",
        }
    }
}

/// What a name is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Discovery,
    /// NTP, or NTS.
    Time,
    /// A DNS server outside of the network.
    Resolver,
    Registry,
    /// Image Factory.
    Factory,
    Other,
}

/// Attempts of one node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Attempts {
    pub count: u64,
    pub first: u64,
    pub last: u64,
    /// When it was asked for in each boot; 1 is the first that was observed.
    pub boots: BTreeMap<u32, Vec<u64>>,
}

impl Attempts {
    pub(crate) fn add(&mut self, at: u64, boot: u32) {
        if self.count == 0 {
            self.first = at;
        }
        self.count += 1;
        self.first = self.first.min(at);
        self.last = self.last.max(at);
        let times = self.boots.entry(boot).or_default();
        let place = times.partition_point(|other| *other <= at);
        times.insert(place, at);
    }
}

/// One name, at one port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contact {
    /// A host name, or an address that no answer of DNS names.
    pub host: String,
    pub port: u16,
    pub protocol: Protocol,
    pub kind: Kind,
    /// Nodes only asked DNS for the name.
    pub only_asked: bool,
    /// The proxy that it was asked of.
    pub via: Option<SocketAddr>,
    pub state: State,
    /// Statuses of HTTP responses.
    pub statuses: BTreeSet<u16>,
    /// Payload of connections that ended, to nodes.
    pub bytes: u64,
    pub nodes: BTreeMap<IpAddr, Attempts>,
    /// Attempts of unknown nodes: the helper's log does not name them.
    pub unattributed: u64,
    /// A connection was encrypted: paths, statuses and images are not visible.
    pub inside_tls: bool,
    /// Requests that only the helper's log shows, without a status.
    pub from_helper: u64,
}

impl Contact {
    /// `discovery.talos.dev:443`; the name alone if only DNS was asked.
    pub fn name(&self) -> String {
        match (self.only_asked, self.host.contains(':')) {
            (true, _) => self.host.clone(),
            (false, true) => format!("[{}]:{}", self.host, self.port),
            (false, false) => format!("{}:{}", self.host, self.port),
        }
    }

    pub fn count(&self) -> u64 {
        let counts = self.nodes.values().map(|attempts| attempts.count);
        counts.sum::<u64>() + self.unattributed
    }
}

/// Hosts that Talos and Kubernetes pull from.
const REGISTRIES: [&str; 8] = [
    "docker.io",
    "registry-1.docker.io",
    "auth.docker.io",
    "registry.k8s.io",
    "quay.io",
    "gcr.io",
    "ghcr.io",
    "pkg.dev",
];
const NTP: u16 = 123;
const NTS: u16 = 4460;
const DNS: u16 = 53;

pub(crate) fn kind_of(host: &str, port: u16) -> Kind {
    let is_of = |domain: &str| {
        host == domain
            || host
                .strip_suffix(domain)
                .is_some_and(|rest| rest.ends_with('.'))
    };
    match port {
        NTP | NTS => Kind::Time,
        DNS => Kind::Resolver,
        _ if is_of("discovery.talos.dev") => Kind::Discovery,
        _ if is_of("factory.talos.dev") => Kind::Factory,
        _ if is_of("time.cloudflare.com") || is_of("ntp.org") => Kind::Time,
        _ if REGISTRIES.iter().any(|registry| is_of(registry)) => Kind::Registry,
        _ => Kind::Other,
    }
}

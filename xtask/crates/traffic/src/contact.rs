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

/// How much it matters to the cluster that a name was not reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "severity")]
pub enum Severity {
    /// A node did not become ready, and waits for this.
    Fatal {
        why: String,
    },
    /// Attempts went on for that long in one boot.
    Delays {
        seconds: u64,
        why: String,
    },
    Noise {
        why: String,
    },
}

impl Severity {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Fatal { .. } => "fatal",
            Self::Delays { .. } => "delays the boot",
            Self::Noise { .. } => "noise",
        }
    }

    pub fn why(&self) -> &str {
        match self {
            Self::Fatal { why } | Self::Delays { why, .. } | Self::Noise { why } => why,
        }
    }
}

/// Attempts of one node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Attempts {
    pub count: u64,
    pub first: u64,
    pub last: u64,
    /// First and last attempt of each boot; 1 is the first that was observed.
    pub boots: BTreeMap<u32, (u64, u64)>,
}

impl Attempts {
    pub(crate) fn add(&mut self, at: u64, boot: u32) {
        if self.count == 0 {
            self.first = at;
        }
        self.count += 1;
        self.last = self.last.max(at);
        let span = self.boots.entry(boot).or_insert((at, at));
        span.1 = span.1.max(at);
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

    /// Judges it, unless it was reached: `is_ready` tells which nodes became ready in the
    /// end.
    pub fn severity(&self, is_ready: impl Fn(IpAddr) -> bool) -> Option<Severity> {
        if self.state == State::Reached {
            return None;
        }
        let all_ready = self.nodes.keys().all(|node| is_ready(*node));
        let why = match self.kind {
            Kind::Discovery => {
                let why = "nodes work without the discovery service, unless KubeSpan is enabled";
                return Some(Severity::Noise { why: why.into() });
            }
            Kind::Time => "nodes wait for the time before they start etcd and the kubelet",
            Kind::Resolver => {
                "names are not resolved until the machine configuration names a DNS server"
            }
            Kind::Registry | Kind::Factory => "an image comes from a mirror, or not at all",
            Kind::Other => "what asks for it is not known",
        };
        let why = why.to_owned();
        if !all_ready {
            return Some(Severity::Fatal { why });
        }
        let spans = self.nodes.values().flat_map(|node| node.boots.values());
        let seconds = spans.map(|(first, last)| (last - first) / 1000).max();
        Some(match (self.kind, seconds.unwrap_or_default()) {
            (Kind::Resolver, _) => Severity::Noise {
                why: "the default servers are asked before the machine configuration is applied"
                    .to_owned(),
            },
            (_, 0) => Severity::Noise {
                why: "every node became ready without it".to_owned(),
            },
            (_, seconds) => Severity::Delays { seconds, why },
        })
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

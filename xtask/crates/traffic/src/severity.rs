//! How much it matters that a name was not reached: the times of the attempts, compared
//! with the time at which the node became ready.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;

use crate::contact::{Contact, Kind, State};

/// How much it matters to the cluster that a name was not reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "severity")]
pub enum Severity {
    /// The node is not ready, and keeps asking for it.
    Fatal {
        node: IpAddr,
        why: String,
    },
    /// The node asked for it that long before it became ready, and then not again.
    Delays {
        node: IpAddr,
        boot: u32,
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
            Self::Fatal { why, .. } | Self::Delays { why, .. } | Self::Noise { why } => why,
        }
    }

    fn rank(&self) -> (u8, u64) {
        match self {
            Self::Fatal { .. } => (2, 0),
            Self::Delays { seconds, .. } => (1, *seconds),
            Self::Noise { .. } => (0, 0),
        }
    }
}

/// When a node became ready.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Milliseconds since 1970, by boot.
    pub ready: BTreeMap<u32, u64>,
    /// Whether it is ready now, also if it is not known since when.
    pub is_ready: bool,
    /// The number of its boots.
    pub boots: u32,
}

/// Retries are not exact: a gap may be this much longer than the ones before, in
/// milliseconds, and twice as long with a growing delay.
const SLACK: u64 = 2_000;
/// A single attempt, or several at once, is not a wait.
const SHORTEST: u64 = 1_000;
/// A node that is not ready asks again within this time, as Talos' longest delays.
const PATIENCE: u64 = 60_000;

impl Contact {
    /// Judges it at the time `now`, unless it was reached.
    pub fn severity(&self, now: u64, readiness: impl Fn(IpAddr) -> Readiness) -> Option<Severity> {
        if self.state == State::Reached {
            return None;
        }
        if self.kind == Kind::Discovery {
            return Some(noise(
                "nodes work without the discovery service, unless KubeSpan is enabled",
            ));
        }
        let mut worst = noise(match self.kind {
            Kind::Resolver => {
                "the default servers are asked before the machine configuration is applied"
            }
            _ => "it did not keep a node from becoming ready",
        });
        for (node, attempts) in &self.nodes {
            let readiness = readiness(*node);
            for (boot, times) in &attempts.boots {
                let found = self.in_boot(*node, *boot, times, &readiness, now);
                if let Some(found) = found.filter(|found| found.rank() > worst.rank()) {
                    worst = found;
                }
            }
        }
        Some(worst)
    }

    /// `times` are sorted.
    fn in_boot(
        &self,
        node: IpAddr,
        boot: u32,
        times: &[u64],
        readiness: &Readiness,
        now: u64,
    ) -> Option<Severity> {
        let ready = readiness.ready.get(&boot).copied();
        let is_last = boot >= readiness.boots;
        if ready.is_none() && is_last && !readiness.is_ready {
            let (first, last) = (*times.first()?, *times.last()?);
            let keeps_asking = last - first >= SHORTEST && now < last + patience(times);
            return keeps_asking.then(|| Severity::Fatal {
                node,
                why: self.why().to_owned(),
            });
        }
        // Of an earlier boot without a time nothing is known.
        let end = match ready {
            Some(ready) => ready,
            None if is_last => now,
            None => return None,
        };
        let before = &times[..times.partition_point(|at| *at <= end)];
        let (first, last) = (*before.first()?, *before.last()?);
        let gap = longest_gap(before);
        let next = times.get(before.len()).copied();
        // With the same rhythm after it was ready, and before: it did not wait for it.
        let goes_on = match next {
            Some(next) => next <= last + 2 * gap + SLACK,
            None => ready.is_none() && now <= last + 2 * gap + SLACK,
        };
        if goes_on || self.kind == Kind::Resolver {
            return None;
        }
        // After the last attempt it waited for one more gap, or was ready before that.
        let waited = (last + gap).min(end) - first;
        (waited >= SHORTEST).then(|| Severity::Delays {
            node,
            boot,
            seconds: waited / 1000,
            why: self.why().to_owned(),
        })
    }

    fn why(&self) -> &'static str {
        match self.kind {
            Kind::Time => "nodes wait for the time before they start etcd and the kubelet",
            Kind::Resolver => {
                "names are not resolved until the machine configuration names a DNS server"
            }
            Kind::Registry | Kind::Factory => "an image comes from a mirror, or not at all",
            Kind::Discovery | Kind::Other => "what asks for it is not known",
        }
    }
}

fn noise(why: &str) -> Severity {
    Severity::Noise {
        why: why.to_owned(),
    }
}

fn longest_gap(times: &[u64]) -> u64 {
    let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
    gaps.max().unwrap_or_default()
}

/// How long after its last attempt a node that is not ready still counts as waiting.
fn patience(times: &[u64]) -> u64 {
    (2 * longest_gap(times) + SLACK).max(PATIENCE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contact::Attempts;
    use crate::event::Protocol;

    const NODE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(172, 20, 0, 2));

    /// Asked for at these seconds, in the given boot.
    fn contact(kind: Kind, boot: u32, seconds: &[u64]) -> Contact {
        let mut attempts = Attempts::default();
        for at in seconds {
            attempts.add(at * 1000, boot);
        }
        Contact {
            host: "192.0.2.7".into(),
            port: 4460,
            protocol: Protocol::Tcp,
            kind,
            only_asked: false,
            via: None,
            state: State::Refused,
            statuses: std::collections::BTreeSet::new(),
            bytes: 0,
            nodes: [(NODE, attempts)].into(),
            unattributed: 0,
            inside_tls: false,
            from_helper: 0,
        }
    }

    fn ready(boots: &[(u32, u64)], is_ready: bool, count: u32) -> Readiness {
        Readiness {
            ready: boots.iter().map(|(boot, at)| (*boot, at * 1000)).collect(),
            is_ready,
            boots: count,
        }
    }

    fn judged(contact: &Contact, now: u64, readiness: &Readiness) -> (&'static str, Option<u64>) {
        let severity = contact.severity(now * 1000, |_| readiness.clone()).unwrap();
        let seconds = match severity {
            Severity::Delays { seconds, .. } => Some(seconds),
            _ => None,
        };
        (severity.as_str(), seconds)
    }

    #[test]
    fn a_node_that_is_not_ready_waits_for_what_it_keeps_asking_for() {
        let never = ready(&[], false, 1);
        let time = contact(Kind::Time, 1, &[10, 20, 30]);
        assert_eq!(judged(&time, 35, &never).0, "fatal");
        // It asks for it no more, so it waits for something else.
        assert_eq!(judged(&time, 300, &never).0, "noise");
        // Once, while it still boots.
        let once = contact(Kind::Time, 1, &[10]);
        assert_eq!(judged(&once, 11, &never).0, "noise");
        // With a growing delay the next attempt may be later.
        let slow = contact(Kind::Registry, 1, &[10, 50, 130]);
        assert_eq!(judged(&slow, 280, &never).0, "fatal");
        // Ready in its first boot, and not in the second.
        let again = ready(&[(1, 12)], false, 2);
        assert_eq!(judged(&time, 35, &again).0, "noise");
        let second = contact(Kind::Time, 2, &[110, 120]);
        assert_eq!(judged(&second, 125, &again).0, "fatal");
        let Some(Severity::Fatal { node, .. }) = second.severity(125_000, |_| again.clone()) else {
            panic!("{second:?}");
        };
        assert_eq!(node, NODE);
    }

    #[test]
    fn retries_that_end_before_a_node_is_ready_delay_its_boot() {
        let time = contact(Kind::Time, 1, &[10, 12, 14]);
        // One more gap, and then it was ready or not soon.
        for (at, seconds) in [(15, 5), (16, 6), (40, 6)] {
            let readiness = ready(&[(1, at)], true, 1);
            assert_eq!(
                judged(&time, 100, &readiness),
                ("delays the boot", Some(seconds))
            );
        }
        let once = contact(Kind::Time, 1, &[10]);
        assert_eq!(judged(&once, 100, &ready(&[(1, 40)], true, 1)).0, "noise");
        // The longest wait of all boots.
        let mut both = contact(Kind::Registry, 1, &[10, 12]);
        let attempts = both.nodes.get_mut(&NODE).unwrap();
        for at in [110, 120] {
            attempts.add(at * 1000, 2);
        }
        let readiness = ready(&[(1, 20), (2, 140)], true, 2);
        assert_eq!(
            judged(&both, 200, &readiness),
            ("delays the boot", Some(20))
        );
    }

    #[test]
    fn retries_that_go_on_after_a_node_is_ready_are_noise() {
        let ready_at = |at| ready(&[(1, at)], true, 1);
        let other = contact(Kind::Other, 1, &[10, 20, 30, 40, 50]);
        assert_eq!(judged(&other, 100, &ready_at(35)).0, "noise");
        // Only afterwards.
        assert_eq!(judged(&other, 100, &ready_at(5)).0, "noise");
        // After a pause it is another attempt.
        let later = contact(Kind::Registry, 1, &[10, 20, 300]);
        assert_eq!(
            judged(&later, 400, &ready_at(40)),
            ("delays the boot", Some(20))
        );
        // Ready, but not known since when.
        let readiness = ready(&[], true, 1);
        assert_eq!(judged(&other, 51, &readiness).0, "noise");
        assert_eq!(
            judged(&other, 900, &readiness),
            ("delays the boot", Some(50))
        );
        let resolver = contact(Kind::Resolver, 1, &[10, 20, 30]);
        assert_eq!(judged(&resolver, 100, &ready_at(60)).0, "noise");
        let discovery = contact(Kind::Discovery, 1, &[10, 20, 30]);
        assert_eq!(judged(&discovery, 31, &ready(&[], false, 1)).0, "noise");
    }
}

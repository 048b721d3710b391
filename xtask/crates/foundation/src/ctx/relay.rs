//! The registry relay of a cluster: the process through which nodes reach the
//! registries on this machine's loopback. Found in the process table.

use std::os::unix::fs::MetadataExt;

use camino::{Utf8Path, Utf8PathBuf};
use talos::network::Cidr;

use super::Ctx;
use super::cluster::ClusterView;
use super::ledger::Ledger;
use super::processes::{self, Process};
use crate::plan::Resource;

/// The task of a relay. It is passed as arguments, so that it can be read from
/// the process table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelaySpec {
    /// The folder of the cluster, which identifies it among clusters of the
    /// same name.
    pub state_dir: Utf8PathBuf,
    /// The cluster's network. The relay listens on the gateway, its first
    /// address, and only serves clients from this network.
    pub cidr: Cidr,
    /// Ports; each is relayed to the same port of 127.0.0.1.
    pub ports: Vec<u16>,
}

impl RelaySpec {
    /// The arguments of this program that run the relay (`serve`) or start it
    /// in the background.
    pub fn args(&self, serve: bool) -> Vec<String> {
        let ports: Vec<String> = self.ports.iter().map(ToString::to_string).collect();
        let mut args: Vec<String> = ["internal", "gateway"].map(str::to_owned).into();
        args.push(format!("--of={}", self.state_dir));
        args.push(format!("--cidr={}", self.cidr));
        args.push(format!("--ports={}", ports.join(",")));
        args.extend(serve.then(|| "--serve".to_owned()));
        args
    }

    /// The reverse of [`Self::args`] with `serve`; `None` for other processes.
    fn from_argv(argv: &[String]) -> Option<Self> {
        let [_, internal, gateway, state_dir, cidr, ports, serve] = argv else {
            return None;
        };
        if (internal.as_str(), gateway.as_str(), serve.as_str())
            != ("internal", "gateway", "--serve")
        {
            return None;
        }
        let ports = ports.strip_prefix("--ports=")?.split(',');
        Some(Self {
            state_dir: state_dir.strip_prefix("--of=")?.into(),
            cidr: Cidr::parse(cidr.strip_prefix("--cidr=")?).ok()?,
            ports: ports.map(|port| port.parse().ok()).collect::<Option<_>>()?,
        })
    }

    /// As a ledger entry.
    pub fn resource(&self) -> Resource {
        Resource::Relay {
            state_dir: self.state_dir.clone(),
            cidr: self.cidr.to_string(),
            ports: self.ports.clone(),
        }
    }

    /// `172.20.0.1, ports 5000, 5005`
    pub fn describe(&self) -> String {
        let ports: Vec<String> = self.ports.iter().map(ToString::to_string).collect();
        let gateway = self
            .cidr
            .gateway()
            .map_or_else(String::new, |gateway| gateway.to_string());
        format!("{gateway}, port {}", ports.join(", "))
    }
}

/// A running relay.
#[derive(Debug, Clone)]
pub struct Relay {
    pub process: Process,
    pub relaying: RelaySpec,
}

/// The expected and the running relays of a cluster.
#[derive(Debug, Clone, Default)]
pub struct RelayView {
    /// The ledger's entry of the relay that was started with the cluster.
    pub wanted: Option<RelaySpec>,
    pub running: Vec<Relay>,
}

impl RelayView {
    /// Finds the relay of the cluster in that folder.
    pub fn probe(ctx: &Ctx, state_dir: &Utf8Path) -> Self {
        Self {
            wanted: wanted(ctx, state_dir),
            running: find(&processes::scan(), state_dir),
        }
    }

    /// The relay of a cluster view, from the process table that it read.
    pub fn of_cluster(ctx: &Ctx, view: &ClusterView) -> Self {
        Self {
            wanted: wanted(ctx, &view.state_dir),
            running: view.relays.clone(),
        }
    }

    /// Whether it was started but does not run any more.
    pub fn is_lost(&self) -> bool {
        self.wanted.is_some() && self.running.is_empty()
    }

    /// The relay that nodes can use, if any.
    pub fn served(&self) -> Option<&RelaySpec> {
        self.running.first().map(|relay| &relay.relaying)
    }
}

fn wanted(ctx: &Ctx, wanted: &Utf8Path) -> Option<RelaySpec> {
    // Only used to report a lost relay: without a readable ledger nothing is
    // started or stopped.
    let entries = Ledger::in_dir(&ctx.dirs.state).live().unwrap_or_default();
    entries
        .into_iter()
        .rev()
        .find_map(|entry| match entry.resource {
        Resource::Relay { state_dir, cidr, ports }
            // A relay of an earlier boot of the host is gone.
            if state_dir == wanted && entry.boot_id == ctx.host.boot_id =>
        {
            Some(RelaySpec {
                state_dir,
                cidr: Cidr::parse(&cidr).ok()?,
                ports,
            })
        }
        _ => None,
    })
}

/// Only processes of this user: another user can start a process with the same
/// arguments.
pub(super) fn find(table: &[Process], state_dir: &Utf8Path) -> Vec<Relay> {
    let own = rustix::process::geteuid().as_raw();
    let is_ours =
        |pid| std::fs::metadata(format!("/proc/{pid}")).is_ok_and(|found| found.uid() == own);
    table
        .iter()
        .filter_map(|process| {
            let relaying = RelaySpec::from_argv(&process.argv)?;
            let process = process.clone();
            Some(Relay { process, relaying })
        })
        .filter(|relay| relay.relaying.state_dir == state_dir && is_ours(relay.process.pid))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relaying() -> RelaySpec {
        RelaySpec {
            state_dir: "/h/.talos/clusters/a b".into(),
            cidr: Cidr::parse("172.20.0.0/24").unwrap(),
            ports: vec![5000, 5005],
        }
    }

    fn argv(serve: bool) -> Vec<String> {
        let mut argv = vec!["/x/xtask".to_owned()];
        argv.extend(relaying().args(serve));
        argv
    }

    #[test]
    fn a_relay_is_known_by_its_arguments_and_its_starter_is_none() {
        assert_eq!(RelaySpec::from_argv(&argv(true)), Some(relaying()));
        assert_eq!(RelaySpec::from_argv(&argv(false)), None);
        let mut other = argv(true);
        other[2] = "relay".to_owned();
        assert_eq!(RelaySpec::from_argv(&other), None);
        other = argv(true);
        other.push("--more".to_owned());
        assert_eq!(RelaySpec::from_argv(&other), None);
    }

    #[test]
    fn it_is_described_by_the_address_that_nodes_use() {
        assert_eq!(relaying().describe(), "172.20.0.1, port 5000, 5005");
    }
}

//! The relay of a cluster: what of ours lets its nodes reach the registries on
//! this machine's loopback. Found by looking at the process table.

use std::os::unix::fs::MetadataExt;

use camino::{Utf8Path, Utf8PathBuf};
use talos::network::Cidr;

use super::Ctx;
use super::cluster::ClusterView;
use super::processes::{self, Process};
use crate::plan::Resource;
use crate::record::ledger::Ledger;

/// What a relay is to do. Its arguments say it, so that a look at the process
/// says it too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relaying {
    /// The folder of the cluster; it tells clusters of one name apart.
    pub state_dir: Utf8PathBuf,
    /// The network whose first address, the gateway, it listens on. Only what
    /// comes from this network is served.
    pub cidr: Cidr,
    /// Each is relayed to the same port of 127.0.0.1.
    pub ports: Vec<u16>,
}

impl Relaying {
    /// The words after the program's name, `serve` being the relay itself and
    /// not what starts it.
    pub fn args(&self, serve: bool) -> Vec<String> {
        let ports: Vec<String> = self.ports.iter().map(ToString::to_string).collect();
        let mut args: Vec<String> = ["internal", "gateway"].map(str::to_owned).into();
        args.push(format!("--of={}", self.state_dir));
        args.push(format!("--cidr={}", self.cidr));
        args.push(format!("--ports={}", ports.join(",")));
        args.extend(serve.then(|| "--serve".to_owned()));
        args
    }

    /// The reverse of [`Self::args`] with `serve`; none for any other process.
    fn of(argv: &[String]) -> Option<Self> {
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

    /// As the ledger has it.
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

/// A relay that runs.
#[derive(Debug, Clone)]
pub struct Relay {
    pub process: Process,
    pub relaying: Relaying,
}

/// What should be there, and what is.
#[derive(Debug, Clone, Default)]
pub struct RelayView {
    /// By the ledger: what we started when the cluster was made.
    pub wanted: Option<Relaying>,
    pub running: Vec<Relay>,
}

impl RelayView {
    /// Look for the relay of the cluster in that folder.
    pub fn look(ctx: &Ctx, state_dir: &Utf8Path) -> Self {
        Self {
            wanted: wanted(ctx, state_dir),
            running: find(&processes::scan(), state_dir),
        }
    }

    /// The relay of a cluster that was looked at: the process table was read then.
    pub fn of(ctx: &Ctx, view: &ClusterView) -> Self {
        Self {
            wanted: wanted(ctx, &view.state_dir),
            running: view.relays.clone(),
        }
    }

    /// Whether it was started, and is gone.
    pub fn is_lost(&self) -> bool {
        self.wanted.is_some() && self.running.is_empty()
    }

    /// What nodes can use, where anything is.
    pub fn served(&self) -> Option<&Relaying> {
        self.running.first().map(|relay| &relay.relaying)
    }
}

fn wanted(ctx: &Ctx, wanted: &Utf8Path) -> Option<Relaying> {
    // Only asked what is lost: where it cannot be read, nothing is made or ended.
    let entries = Ledger::of(&ctx.dirs.state).live().unwrap_or_default();
    entries
        .into_iter()
        .rev()
        .find_map(|entry| match entry.resource {
        Resource::Relay { state_dir, cidr, ports }
            // One of an earlier boot is gone with it.
            if state_dir == wanted && entry.boot_id == ctx.host.boot_id =>
        {
            Some(Relaying {
                state_dir,
                cidr: Cidr::parse(&cidr).ok()?,
                ports,
            })
        }
        _ => None,
    })
}

/// Ours alone: anybody may give a process our arguments.
pub(super) fn find(table: &[Process], state_dir: &Utf8Path) -> Vec<Relay> {
    let own = rustix::process::geteuid().as_raw();
    let is_ours =
        |pid| std::fs::metadata(format!("/proc/{pid}")).is_ok_and(|found| found.uid() == own);
    table
        .iter()
        .filter_map(|process| {
            let relaying = Relaying::of(&process.argv)?;
            let process = process.clone();
            Some(Relay { process, relaying })
        })
        .filter(|relay| relay.relaying.state_dir == state_dir && is_ours(relay.process.pid))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relaying() -> Relaying {
        Relaying {
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
        assert_eq!(Relaying::of(&argv(true)), Some(relaying()));
        assert_eq!(Relaying::of(&argv(false)), None);
        let mut other = argv(true);
        other[2] = "relay".to_owned();
        assert_eq!(Relaying::of(&other), None);
        other = argv(true);
        other.push("--more".to_owned());
        assert_eq!(Relaying::of(&other), None);
    }

    #[test]
    fn it_is_described_by_the_address_that_nodes_use() {
        assert_eq!(relaying().describe(), "172.20.0.1, port 5000, 5005");
    }
}

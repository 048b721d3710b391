//! A cluster as it is now: its folder, its processes, its consoles. Nothing in
//! the folder is believed without looking: pid files outlive their processes.

mod claims;
mod console;
mod folder;
mod members;
mod observer;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use talos::names::{ClusterName, Role};
use talos::network::Cidr;

use super::Ctx;
use super::leftovers::Footprint;
use super::processes::{self, Process};
use super::relay::{self, Relay};
use crate::failure::{Failure, Result};
use crate::plan::Resource;
use crate::program;
use crate::record::ledger::Ledger;
use folder::Folder;

pub use console::{ConsoleFollower, console_tail};
pub use members::Member;
#[cfg(target_os = "linux")]
pub(crate) use members::is_of;
pub use observer::Observer;

/// What can be said of a cluster in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterState {
    Absent,
    /// Made by halves: no `state.yaml`, or processes without a folder.
    Partial,
    /// Every node is ready.
    Running,
    /// Something lives, but not every node is ready.
    Degraded,
    /// Nothing lives any more, as after a reboot of the host.
    Stale,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    Starting,
    /// The boot sequence is done.
    Booted,
    Ready,
    Down,
}

impl ClusterState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Partial => "partial",
            Self::Running => "running",
            Self::Degraded => "degraded",
            Self::Stale => "stale",
        }
    }
}

impl NodeState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Booted => "booted",
            Self::Ready => "ready",
            Self::Down => "down",
        }
    }
}

/// One cluster.
#[derive(Debug, Clone)]
pub struct ClusterView {
    pub name: String,
    pub state: ClusterState,
    pub state_dir: Utf8PathBuf,
    pub has_folder: bool,
    pub cidr: Option<Cidr>,
    pub gateway: Option<IpAddr>,
    pub bridge: String,
    /// What the nodes say that they run.
    pub talos: Option<String>,
    /// `qemu`, `docker`; none without a `state.yaml`.
    pub provisioner: Option<String>,
    pub nodes: Vec<NodeView>,
    /// Every process that was identified as this cluster's.
    pub members: Vec<Member>,
    /// What of ours lets its nodes reach the registries.
    pub relays: Vec<Relay>,
    /// Pid files that name no process of this cluster.
    pub stale_pid_files: Vec<Utf8PathBuf>,
    pub problems: Vec<String>,
    /// What could not be looked at: then nothing may be called gone.
    pub unread: Vec<String>,
    /// What `state.yaml` says that a cluster of this name in this folder cannot
    /// have: nothing is removed by what such a file says.
    pub doubts: Vec<String>,
    /// `https://172.20.0.1:6443`, from `state.yaml`.
    pub endpoint: Option<String>,
}

#[derive(Debug, Clone)]
pub struct NodeView {
    pub name: String,
    pub role: Option<Role>,
    pub ip: Option<IpAddr>,
    pub launcher: Option<Process>,
    pub qemu: Option<Process>,
    pub state: NodeState,
    /// Kernel time of the ready line, else of the end of the boot sequence.
    pub boot_seconds: Option<f64>,
    /// Why the node is dead, where its console tells.
    pub death: Option<String>,
    pub console: Utf8PathBuf,
    pub monitor: Utf8PathBuf,
    /// `http://GATEWAY:PORT` of the launcher.
    pub control: Option<String>,
}

/// A process that has just been started may be seen before it can be identified.
const DOWN_FOR: Duration = Duration::from_secs(3);
/// With a QEMU that lives a dead node may start again by itself: a panic waits a
/// second, of the guest's time.
const DEAD_FOR: Duration = Duration::from_secs(20);

impl NodeView {
    /// Not between two QEMUs: the launcher is gone too.
    pub fn is_down_for_good(&self) -> bool {
        self.qemu.is_none() && self.launcher.is_none()
    }

    /// How long a dead node is looked at before it is believed to be dead.
    pub fn patience(&self) -> Duration {
        if self.is_down_for_good() {
            DOWN_FOR
        } else {
            DEAD_FOR
        }
    }

    /// Its launcher has not started its QEMU yet: it is making the network.
    pub fn is_being_launched(&self) -> bool {
        self.launcher.is_some() && self.qemu.is_none()
    }
}

impl ClusterView {
    /// Look at one cluster.
    pub fn look(ctx: &Ctx, name: &str) -> Self {
        let state_dir = Self::state_dir(ctx, name);
        let mut view = Self::look_at(name, state_dir, processes::try_scan());
        if let Err(failure) = Ledger::of(&ctx.dirs.state).check() {
            view.unread.push(failure.in_one_line());
        }
        view
    }

    /// As [`Self::try_names`], for those who only show them.
    pub fn names(ctx: &Ctx) -> Vec<String> {
        Self::try_names(ctx).unwrap_or_default()
    }

    /// Names of all clusters of this user: folders, and what the ledger knows.
    ///
    /// # Errors
    /// When a folder that may hold some cannot be read.
    pub fn try_names(ctx: &Ctx) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for home in ctx.dirs.cluster_homes() {
            let clusters = home.join("clusters");
            names.extend(folder::folders_in(&clusters).map_err(|error| {
                Failure::host(format!("cannot read `{clusters}`"))
                    .cause(error)
                    .hint(program!("ls -ld {}", clusters))
            })?);
        }
        for entry in Ledger::of(&ctx.dirs.state).live()? {
            let Resource::Cluster { name, .. } = entry.resource else {
                continue;
            };
            // The file may say anything.
            if ClusterName::existing(&name).is_ok()
                && !names.contains(&name)
                && Self::look(ctx, &name).state != ClusterState::Absent
            {
                names.push(name);
            }
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Where the folder is, or would be: below a state folder of this user,
    /// whatever a ledger says.
    fn state_dir(ctx: &Ctx, name: &str) -> Utf8PathBuf {
        let dirs = Self::state_dirs(ctx, name);
        let found = dirs.iter().find(|dir| dir.symlink_metadata().is_ok());
        found.or(dirs.first()).cloned().unwrap_or_default()
    }

    /// All places where the folder of a cluster of this user may be.
    pub fn state_dirs(ctx: &Ctx, name: &str) -> Vec<Utf8PathBuf> {
        let homes = ctx.dirs.cluster_homes();
        let dirs = homes.iter().map(|home| home.join("clusters").join(name));
        dirs.collect()
    }

    fn look_at(name: &str, state_dir: Utf8PathBuf, table: io::Result<Vec<Process>>) -> Self {
        let mut unread = Vec::new();
        let table = table.unwrap_or_else(|error| {
            unread.push(format!("the process table: {error}"));
            Vec::new()
        });
        let folder = Folder::read(&state_dir, &mut unread);
        let (cidr, gateway) = folder.network(name);
        let members = members::find(&table, &folder, gateway);
        let mut nodes = match &folder.saved {
            Some(saved) => saved
                .sorted_nodes()
                .into_iter()
                .map(|node| NodeView::of_saved(node, gateway, &state_dir))
                .collect(),
            None => folder.nodes(),
        };
        for node in &mut nodes {
            node.attach(&members);
        }
        let stale_pid_files = members::stale_pid_files(&folder, &members);
        let saved = folder.saved.as_ref();
        let mut view = Self {
            name: name.to_owned(),
            state: ClusterState::Absent,
            has_folder: folder.exists,
            cidr,
            gateway,
            bridge: talos::names::bridge_name(name),
            talos: None,
            provisioner: saved.map(|saved| saved.provisioner.clone()),
            nodes,
            members,
            relays: relay::find(&table, &state_dir),
            stale_pid_files,
            doubts: saved.map_or_else(Vec::new, |saved| claims::doubts(saved, name, &state_dir)),
            endpoint: saved.map(|saved| saved.cluster.kubernetes_endpoint.clone()),
            problems: folder.problems,
            unread,
            state_dir,
        };
        view.read_consoles();
        view.state = view.judge(folder.saved.is_some());
        view
    }

    /// The addresses of its nodes and its gateway, as far as they lie in a
    /// network that can be one cluster's.
    pub fn addresses(&self) -> Vec<Ipv4Addr> {
        let Some(cidr) = self.cidr.filter(|cidr| cidr.may_be_a_clusters()) else {
            return Vec::new();
        };
        let own = self.nodes.iter().filter_map(|node| node.ip);
        own.chain(self.gateway)
            .filter_map(|address| match address {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            })
            .filter(|address| cidr.contains(*address))
            .collect()
    }

    fn judge(&self, saved: bool) -> ClusterState {
        let alive = !self.members.is_empty();
        match (saved, alive) {
            (false, false) if !self.has_folder => ClusterState::Absent,
            (false, _) => ClusterState::Partial,
            (true, false) if self.provisioner.as_deref() == Some("qemu") => ClusterState::Stale,
            (true, _) if self.nodes.iter().all(|node| node.state == NodeState::Ready) => {
                ClusterState::Running
            }
            (true, _) => ClusterState::Degraded,
        }
    }

    fn read_consoles(&mut self) {
        // Side by side: a boot that has printed much is long to search.
        let reports: Vec<_> = std::thread::scope(|scope| {
            let nodes = self.nodes.iter();
            let reading: Vec<_> = nodes
                .map(|node| scope.spawn(|| console::report(&node.console)))
                .collect();
            reading
                .into_iter()
                .map(std::thread::ScopedJoinHandle::join)
                .collect()
        });
        for (node, report) in self.nodes.iter_mut().zip(reports) {
            let Ok(report) = report else { continue };
            node.death = report.death;
            if node.is_down_for_good() {
                continue;
            }
            node.state = report.state;
            node.boot_seconds = report.seconds;
            if self.talos.is_none() {
                self.talos = report.talos;
            }
        }
    }

    /// Traces to look for on the host.
    pub fn footprint(&self) -> Footprint {
        let home = self.state_dir.parent().and_then(Utf8Path::parent);
        Footprint {
            network: self.name.clone(),
            bridge: self.bridge.clone(),
            cidr: self.cidr.filter(|_| self.doubts.is_empty()),
            cni_cache: home.unwrap_or(Utf8Path::new("/")).join("cni/cache/results"),
        }
    }

    /// Inodes of the network namespaces that its processes are in, but our own.
    pub fn namespaces(&self) -> Vec<u64> {
        let own = Process::probe(i32::try_from(std::process::id()).unwrap_or(0))
            .and_then(|process| process.network_namespace());
        let inodes = self
            .members
            .iter()
            .filter_map(|member| member.process.network_namespace());
        inodes.filter(|inode| Some(*inode) != own).collect()
    }
}

//! The current state of a cluster, from its folder, its processes and its
//! consoles. Values in the folder are verified: pid files outlive their
//! processes.

mod claims;
mod console;
mod diagnosis;
mod fault;
mod folder;
mod health;
mod lineage;
mod members;
mod observer;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use talos::console::BootState;
use talos::names::{ClusterName, Role};
use talos::network::Cidr;
use talos::process::Helper;
use talos::state::{LaunchConfig, NodeFile, StateFile};

use super::Ctx;
use super::ledger::Ledger;
use super::leftovers::Footprint;
use super::locks;
use super::processes::{self, Process};
use super::relay::{self, Relay};
use super::stopped;
use crate::failure::{Failure, Result};
use crate::files;
use crate::plan::Resource;
use crate::{program, typed};
use folder::Folder;

pub use console::{ConsoleFollower, console_tail};
pub use diagnosis::{Check, Diagnosis, Outcome};
pub use fault::{Fault, FaultKind};
pub use lineage::{BootFile, InstallerImage, Lineage, sha256};
pub use members::Member;
#[cfg(target_os = "linux")]
pub(crate) use members::is_of;
pub use observer::{Observed, Observer};

/// The state of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterState {
    Absent,
    /// `cluster up` or `talosctl cluster create` is at work.
    Creating,
    /// Partially created: no `state.yaml`, or processes without a folder.
    Partial,
    /// Every process runs, and every node is ready and answers.
    Running,
    /// Something runs, but not everything works.
    Degraded,
    /// Stopped by `cluster stop`.
    Stopped,
    /// No process runs any more, as after a reboot of the host.
    Stale,
    /// Made by another provisioner of talosctl, such as Docker.
    Foreign,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    Starting,
    /// The boot sequence has finished.
    Booted,
    Ready,
    /// Ready by its console, but its API does not answer.
    Unreachable,
    /// Its QEMU is stopped by a signal.
    Paused,
    /// A boot sequence failed.
    Failed,
    Down,
}

impl ClusterState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Creating => "creating",
            Self::Partial => "half-made",
            Self::Running => "running",
            Self::Degraded => "degraded",
            Self::Stopped => "stopped",
            Self::Stale => "stale",
            Self::Foreign => "foreign",
        }
    }
}

impl NodeState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Booted => "booted",
            Self::Ready => "ready",
            Self::Unreachable => "unreachable",
            Self::Paused => "paused",
            Self::Failed => "failed",
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
    /// The Talos version that the nodes print.
    pub talos: Option<String>,
    /// `qemu` or `docker`; `None` without a `state.yaml`.
    pub provisioner: Option<String>,
    pub nodes: Vec<NodeView>,
    /// All processes identified as this cluster's.
    pub members: Vec<Member>,
    /// Relays through which its nodes reach the registries on this machine.
    pub relays: Vec<Relay>,
    /// Pid files that do not name a process of this cluster.
    pub stale_pid_files: Vec<Utf8PathBuf>,
    pub problems: Vec<String>,
    /// What could not be read: then nothing may be reported as gone.
    pub unread: Vec<String>,
    /// What this look left out, and why.
    pub not_checked: Vec<String>,
    /// Implausible values in `state.yaml`: nothing is removed on the word of
    /// such a file.
    pub doubts: Vec<String>,
    /// `https://172.20.0.1:6443`, from `state.yaml`.
    pub endpoint: Option<String>,
    /// Helpers that talosctl started for it.
    pub expected_helpers: Vec<Helper>,
    /// Whether `cluster stop` was the last that happened to it.
    pub is_stopped: bool,
    /// Who creates it at this moment: `cluster up (pid 12)`.
    pub creator: Option<String>,
    /// What is wrong, the first cause first; only filled by [`Self::examine`].
    pub faults: Vec<Fault>,
}

#[derive(Debug, Clone)]
pub struct NodeView {
    pub name: String,
    pub role: Option<Role>,
    /// Bytes; `None` without a `state.yaml`.
    pub memory: Option<u64>,
    pub ip: Option<IpAddr>,
    pub launcher: Option<Process>,
    pub qemu: Option<Process>,
    pub state: NodeState,
    /// Kernel time of the ready line, or of the end of the boot sequence.
    pub boot_seconds: Option<f64>,
    /// Whether this boot is past the point at which Talos configures its network.
    pub has_network: bool,
    /// Why the node died, if its console shows it.
    pub death: Option<String>,
    /// The sequence that failed in this boot or in the one before it.
    pub failure: Option<String>,
    /// The line about a process that was killed because memory ran out.
    pub out_of_memory: Option<String>,
    /// A bug of the kernel or of a module that the node survived.
    pub oops: Option<String>,
    /// Why it is not ready; only filled by [`ClusterView::examine`].
    pub cause: Option<String>,
    pub console: Utf8PathBuf,
    pub monitor: Utf8PathBuf,
    /// The launcher's control API, `http://GATEWAY:PORT`.
    pub control: Option<String>,
}

/// Who creates the cluster at this moment, this program itself excepted.
fn creator(ctx: &Ctx, name: &str, table: &[Process]) -> Option<String> {
    let holder = locks::holder(&ctx.dirs.state, &lock_name(name));
    if let Some(holder) = holder.filter(|holder| holder.pid != std::process::id()) {
        let is_up = holder.doing == UP;
        return is_up.then(|| format!("{UP} (pid {})", holder.pid));
    }
    let own = i32::try_from(std::process::id()).ok();
    let own = own.and_then(Process::probe)?.network_namespace();
    // One in a namespace of its own makes another cluster of that name.
    let is_here = |process: &&Process| match process.network_namespace() {
        Some(namespace) => Some(namespace) == own,
        // Another user's, root's as a rule.
        None => !process.is_in_inner_pid_namespace(),
    };
    let mut processes = table.iter();
    let process = processes
        .by_ref()
        .filter(|process| talos::process::creates(&process.argv, name))
        .find(is_here)?;
    Some(format!("talosctl (pid {})", process.pid))
}

/// What `cluster up` calls itself in its lock.
pub const UP: &str = "cluster up";

/// The name of the lock under which a cluster is created, destroyed, started or
/// rebooted.
pub fn lock_name(cluster: &str) -> String {
    format!("cluster-{cluster}")
}

/// A process that was just started cannot be identified yet.
const DOWN_FOR: Duration = Duration::from_secs(3);
/// While its QEMU runs, a dead node may restart by itself: after a panic the
/// kernel waits one second of guest time.
const DEAD_FOR: Duration = Duration::from_secs(20);

impl NodeView {
    /// Whether the launcher is gone as well: without it no QEMU is started
    /// again.
    pub fn is_down_for_good(&self) -> bool {
        self.qemu.is_none() && self.launcher.is_none()
    }

    /// How long a node must appear dead before it counts as dead.
    pub fn patience(&self) -> Duration {
        if self.is_down_for_good() {
            DOWN_FOR
        } else {
            DEAD_FOR
        }
    }

    /// Its state, from the console and the process.
    fn state_in(&self, boot: Option<BootState>) -> NodeState {
        if self.qemu.as_ref().is_some_and(health::is_stopped) {
            return NodeState::Paused;
        }
        match boot {
            _ if self.death.is_some() => NodeState::Down,
            Some(BootState::Booted) => NodeState::Booted,
            Some(BootState::Ready) => NodeState::Ready,
            _ if self.failure.is_some() => NodeState::Failed,
            // Ending: the node is about to boot again.
            Some(BootState::Starting | BootState::Ending | BootState::Dead) | None => {
                NodeState::Starting
            }
        }
    }

    /// Whether the launcher still sets up the network and has not started QEMU.
    pub fn is_being_launched(&self) -> bool {
        self.launcher.is_some() && self.qemu.is_none()
    }
}

impl ClusterView {
    /// Reads the processes, the state folder and the consoles of one cluster.
    pub fn probe(ctx: &Ctx, name: &str) -> Self {
        let state_dir = Self::state_dir(ctx, name);
        let table = processes::try_scan();
        let creator = creator(ctx, name, table.as_deref().unwrap_or_default());
        let mut view = Self::from_table(name, state_dir, table);
        if let Err(failure) = Ledger::in_dir(&ctx.dirs.state).check() {
            view.unread.push(failure.in_one_line());
        }
        view.creator = creator;
        view.is_stopped = stopped::is_stopped(ctx, name, &view.state_dir);
        view.state = view.judge();
        view
    }

    /// Like [`Self::probe`], and checks that everything that should be there is
    /// there and that the nodes answer. Fills `faults`.
    pub fn examine(ctx: &Ctx, name: &str) -> Self {
        Self::probe(ctx, name).examined(ctx)
    }

    fn examined(mut self, ctx: &Ctx) -> Self {
        if !self.is_made() {
            self.check_health();
            return self;
        }
        let seen = self.clone();
        let packet_filters = || diagnosis::packet_filter_faults(ctx, &seen);
        // Without root each look asks sudo, so only when something is wrong.
        let dropped = if ctx.host.is_root() {
            std::thread::scope(|scope| {
                let dropped = scope.spawn(packet_filters);
                self.check_health();
                dropped.join().unwrap_or_default()
            })
        } else {
            self.check_health();
            if self.state == ClusterState::Running {
                self.not_checked.push(format!(
                    "packet filters, which only root can read; `{}` asks sudo",
                    typed!("cluster explain --name {}", self.name)
                ));
                Vec::new()
            } else {
                packet_filters()
            }
        };
        self.faults.extend(dropped);
        self.faults.extend(diagnosis::lost_relay(ctx, &self));
        self.faults.extend(diagnosis::dead_registries(ctx, &self));
        self.settle();
        self
    }

    fn launch_config_path(&self, node: &NodeView) -> Utf8PathBuf {
        self.state_dir.join(NodeFile::Config.name(&node.name))
    }

    /// The launch configuration of a node; `None` if it cannot be read.
    fn launch_config(&self, node: &NodeView) -> Option<LaunchConfig> {
        let text = files::read_text(&self.launch_config_path(node), files::MEDIUM).ok()??;
        LaunchConfig::parse(&text).ok()
    }

    /// Time since its folder was created; `None` without one.
    pub fn age(&self) -> Option<Duration> {
        let found = self.state_dir.symlink_metadata().ok()?;
        let created = found.created().or_else(|_| found.modified()).ok()?;
        created.elapsed().ok()
    }

    /// Whether it has processes that should work together.
    fn is_made(&self) -> bool {
        matches!(
            self.state,
            ClusterState::Running | ClusterState::Degraded | ClusterState::Creating
        )
    }

    /// Like [`Self::try_names`], empty on errors; only for display.
    pub fn names(ctx: &Ctx) -> Vec<String> {
        Self::try_names(ctx).unwrap_or_default()
    }

    /// Returns the names of all clusters of this user, from folders and the
    /// ledger.
    ///
    /// # Errors
    /// If a folder that may contain clusters cannot be read.
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
        for entry in Ledger::in_dir(&ctx.dirs.state).live()? {
            let Resource::Cluster { name, .. } = entry.resource else {
                continue;
            };
            // The ledger may contain any name.
            if ClusterName::existing(&name).is_ok()
                && !names.contains(&name)
                && Self::probe(ctx, &name).state != ClusterState::Absent
            {
                names.push(name);
            }
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// The folder of a cluster, existing or not. Always below a state folder of
    /// this user, whatever the ledger contains.
    fn state_dir(ctx: &Ctx, name: &str) -> Utf8PathBuf {
        let dirs = Self::state_dirs(ctx, name);
        let found = dirs.iter().find(|dir| dir.symlink_metadata().is_ok());
        found.or(dirs.first()).cloned().unwrap_or_default()
    }

    /// Paths of the consoles of its nodes; cheap, because only names are read.
    pub fn consoles(ctx: &Ctx, name: &str) -> Vec<Utf8PathBuf> {
        let dir = Self::state_dir(ctx, name);
        let names = files::names_in(&dir).unwrap_or_default();
        let is_console = |name: &String| {
            matches!(
                talos::state::classify(name),
                Some(StateFile::Node {
                    file: NodeFile::Log,
                    ..
                })
            )
        };
        let mut consoles: Vec<Utf8PathBuf> = names
            .iter()
            .filter(|name| is_console(name))
            .map(|name| dir.join(name))
            .collect();
        consoles.sort();
        consoles
    }

    /// All possible folders of a cluster of this user.
    pub fn state_dirs(ctx: &Ctx, name: &str) -> Vec<Utf8PathBuf> {
        let homes = ctx.dirs.cluster_homes();
        let dirs = homes.iter().map(|home| home.join("clusters").join(name));
        dirs.collect()
    }

    fn from_table(name: &str, state_dir: Utf8PathBuf, table: io::Result<Vec<Process>>) -> Self {
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
            expected_helpers: health::expected_helpers(&folder.files),
            not_checked: Vec::new(),
            is_stopped: false,
            creator: None,
            faults: Vec::new(),
            problems: folder.problems,
            unread,
            state_dir,
        };
        view.read_consoles();
        view.state = view.judge();
        view
    }

    /// The addresses of the nodes and the gateway, if the network is plausible
    /// for one cluster.
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

    fn judge(&self) -> ClusterState {
        let alive = !self.members.is_empty();
        let is_whole = || {
            let mut nodes = self.nodes.iter();
            nodes.all(|node| node.state == NodeState::Ready) && self.faults.is_empty()
        };
        match self.provisioner.as_deref() {
            _ if self.creator.is_some() => ClusterState::Creating,
            None if !alive && !self.has_folder => ClusterState::Absent,
            None => ClusterState::Partial,
            Some(provisioner) if provisioner != "qemu" => ClusterState::Foreign,
            Some(_) if !alive && self.is_stopped => ClusterState::Stopped,
            Some(_) if !alive => ClusterState::Stale,
            Some(_) if is_whole() => ClusterState::Running,
            Some(_) => ClusterState::Degraded,
        }
    }

    fn read_consoles(&mut self) {
        // In parallel: a long boot takes time to search.
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
            node.failure = report.failure;
            node.out_of_memory = report.out_of_memory;
            node.oops = report.oops.filter(|_| node.death.is_none());
            node.state = node.state_in(report.state);
            node.boot_seconds = report.seconds;
            node.has_network = report.has_network;
            if self.talos.is_none() {
                self.talos = report.talos;
            }
        }
    }

    /// What to look for on the host.
    pub fn footprint(&self) -> Footprint {
        let home = self.state_dir.parent().and_then(Utf8Path::parent);
        Footprint {
            network: self.name.clone(),
            bridge: self.bridge.clone(),
            cidr: self.cidr.filter(|_| self.doubts.is_empty()),
            cni_cache: home.unwrap_or(Utf8Path::new("/")).join("cni/cache/results"),
        }
    }

    /// Inodes of the network namespaces of its processes, except this program's
    /// own.
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

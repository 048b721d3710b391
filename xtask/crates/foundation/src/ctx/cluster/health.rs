//! Compares a cluster with what it should be: its processes, its bridge, disk space, the
//! verdict of each boot sequence, and an API that answers. Starts no process, so
//! that `cluster status` stays fast.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use camino::Utf8Path;
use talos::process::{Helper, Kind};
use talos::state::{NodeFile, StateFile, classify};

use super::fault::{Fault, FaultKind};
use super::{ClusterState, ClusterView, NodeState, NodeView, console_tail};
use crate::ctx::network::has_interface;
use crate::ctx::processes::Process;
use crate::typed;

/// apid's port.
pub(super) const API_PORT: u16 = 50_000;
/// Longest wait for a connection to a node; an open port answers within a
/// millisecond, a guest without KVM within twenty.
const CONNECT: Duration = Duration::from_millis(250);
/// The same, for a node that waits for this host's processors itself.
const CONNECT_BUSY: Duration = Duration::from_millis(1500);
/// QEMU stops a guest that cannot write to its disk.
const LEAST_DISK: u64 = 64 << 20;

/// Returns the helpers that talosctl started for the cluster, from their pid files.
pub(super) fn expected_helpers(files: &[String]) -> Vec<Helper> {
    let mut helpers: Vec<Helper> = files
        .iter()
        .filter_map(|name| match classify(name)? {
            StateFile::HelperPid(helper) => Some(helper),
            _ => None,
        })
        .collect();
    helpers.sort();
    helpers
}

impl ClusterView {
    /// Adds everything that is wrong to `faults`.
    pub(super) fn check_health(&mut self) {
        let mut faults = self.whole_cluster();
        if faults.is_empty() && self.is_made() {
            faults.extend(disk_full(&self.state_dir));
            faults.extend(self.nodes.iter().flat_map(|node| self.node_faults(node)));
            let bridge = self.missing_bridge();
            faults.extend(self.missing_helpers());
            if bridge.is_none() {
                faults.extend(self.silent_nodes());
            }
            faults.extend(bridge);
            let missing = self.missing_boot_files();
            if faults.is_empty() {
                // The nodes run: only their next boot would fail.
                self.problems
                    .extend(missing.into_iter().map(|fault| fault.what));
            } else {
                faults.extend(missing);
            }
        }
        self.faults = faults;
        self.settle();
    }

    /// Puts the first cause first, and beside each node its own; adapts the state
    /// of the cluster.
    pub(super) fn settle(&mut self) {
        self.faults.sort_by_key(|fault| fault.kind);
        for node in &mut self.nodes {
            let is_ready = node.state == NodeState::Ready;
            let concerns = |fault: &&Fault| match &fault.node {
                Some(name) => *name == node.name,
                None => !is_ready,
            };
            let cause = self.faults.iter().find(concerns);
            node.cause = cause.map(|fault| fault.what.clone());
            if node.cause.is_none() && !is_ready && self.provisioner.is_some() {
                node.cause = console_tail(&node.console, 1).pop();
            }
        }
        self.state = self.judge();
    }

    /// States in which single processes do not matter.
    fn whole_cluster(&self) -> Vec<Fault> {
        let name = &self.name;
        let destroy = || typed!("cluster destroy --name {}", name);
        let fault = match self.state {
            ClusterState::Foreign => {
                let provisioner = self.provisioner.as_deref().unwrap_or("another provisioner");
                Fault::new(
                    FaultKind::Foreign,
                    format!("cluster `{name}` belongs to talosctl's provisioner `{provisioner}`"),
                )
                .hint(destroy())
            }
            ClusterState::Partial => {
                let mut fault = Fault::new(
                    FaultKind::HalfMade,
                    format!("cluster `{name}` is half made: its creation did not finish"),
                )
                .hint(destroy());
                fault.evidence = self.problems.first().or(self.unread.first()).cloned();
                fault
            }
            ClusterState::Stale => {
                let fault = Fault::new(
                    FaultKind::NoProcess,
                    format!("no process of cluster `{name}` runs"),
                );
                let fault = if self.older_than_boot() {
                    fault.evidence("this host was restarted after the nodes last ran")
                } else {
                    fault
                };
                fault.hint(typed!("cluster start --name {}", name))
            }
            ClusterState::Absent
            | ClusterState::Creating
            | ClusterState::Stopped
            | ClusterState::Running
            | ClusterState::Degraded => return Vec::new(),
        };
        vec![fault]
    }

    /// Whether all consoles were last written before this host was started.
    fn older_than_boot(&self) -> bool {
        let Some(boot) = boot_time() else {
            return false;
        };
        let written = |path: &Utf8Path| std::fs::metadata(path).and_then(|found| found.modified());
        let mut times = self.nodes.iter().map(|node| written(&node.console));
        !self.nodes.is_empty() && times.all(|time| time.is_ok_and(|time| time < boot))
    }

    fn node_faults(&self, node: &NodeView) -> Vec<Fault> {
        let name = &node.name;
        let cluster = &self.name;
        let start = || typed!("cluster start --name {}", cluster);
        let logs = || typed!("cluster logs --name {} --boot {}", cluster, name);
        let pid_file = || {
            let path = self.state_dir.join(NodeFile::Pid.name(name));
            format!("`{path}` names no process of this cluster")
        };
        let mut faults = Vec::new();
        let mut add = |fault: Fault| faults.push(fault.on_node(name));
        if let Some(death) = &node.death {
            add(Fault::new(FaultKind::Died, format!("{name} died: {death}")).hint(logs()));
        } else if node.is_down_for_good() {
            add(Fault::new(
                FaultKind::Launcher,
                format!("{name} does not run: its QEMU and its launcher are gone"),
            )
            .evidence(pid_file())
            .hint(start()));
        }
        if node.launcher.is_none() && node.qemu.is_some() {
            add(Fault::new(
                FaultKind::Launcher,
                format!("the launcher of {name} is gone: a reboot would end the node"),
            )
            .evidence(pid_file())
            .hint(start()));
        }
        for (process, what) in [(&node.qemu, "QEMU"), (&node.launcher, "launcher")] {
            if let Some(process) = process.as_ref().filter(|process| is_stopped(process)) {
                add(Fault::new(
                    FaultKind::Paused,
                    format!("the {what} of {name} is stopped by a signal"),
                )
                .evidence(format!(
                    "process {} has state {}",
                    process.pid, process.state
                ))
                .hint(resume(process)));
            }
        }
        if let Some(failure) = node.failure.as_ref().filter(|_| node.death.is_none()) {
            add(Fault::new(FaultKind::BootSequence, format!("{name}: {failure}")).hint(logs()));
        }
        if let Some(line) = &node.out_of_memory {
            add(
                Fault::new(FaultKind::GuestMemory, format!("{name} ran out of memory"))
                    .evidence(line)
                    .hint(typed!("cluster destroy --name {}", cluster)),
            );
        }
        if let Some(oops) = &node.oops {
            add(Fault::new(
                FaultKind::KernelBug,
                format!("a bug in the kernel of {name}"),
            )
            .evidence(oops)
            .hint(logs()));
        }
        faults
    }

    fn missing_bridge(&self) -> Option<Fault> {
        if has_interface(&self.bridge) != Ok(false) || self.is_elsewhere() {
            return None;
        }
        let what = format!("the bridge `{}` of the nodes is gone", self.bridge);
        Some(
            Fault::new(FaultKind::Bridge, what)
                .evidence(format!("no interface `{}` in /proc/net/dev", self.bridge))
                .hint(typed!("cluster start --name {}", self.name)),
        )
    }

    /// Whether all its helpers run in another network namespace.
    fn is_elsewhere(&self) -> bool {
        let own = i32::try_from(std::process::id()).ok();
        let own = own
            .and_then(Process::probe)
            .and_then(|own| own.network_namespace());
        let helpers = self
            .helpers()
            .map(|(_, process)| process.network_namespace());
        let known: Vec<u64> = helpers.flatten().collect();
        !known.is_empty() && known.iter().all(|namespace| Some(*namespace) != own)
    }

    fn helpers(&self) -> impl Iterator<Item = (Helper, &Process)> {
        self.members.iter().filter_map(|member| match &member.kind {
            Kind::Helper { helper, .. } => Some((*helper, &member.process)),
            _ => None,
        })
    }

    fn missing_helpers(&self) -> Vec<Fault> {
        let fault = |helper: &Helper| {
            let stem = helper.stem();
            match self.helpers().find(|(found, _)| found == helper) {
                None => Some(
                    Fault::new(
                        FaultKind::Helper,
                        format!("{stem} is gone: {}", effect(*helper)),
                    )
                    .evidence(format!(
                        "`{}` names no process of this cluster",
                        self.state_dir.join(format!("{stem}.pid"))
                    ))
                    .hint(typed!("cluster start --name {}", self.name)),
                ),
                Some((_, process)) if is_stopped(process) => Some(
                    Fault::new(
                        FaultKind::Helper,
                        format!("{stem} is stopped by a signal: {}", effect(*helper)),
                    )
                    .evidence(format!(
                        "process {} has state {}",
                        process.pid, process.state
                    ))
                    .hint(resume(process)),
                ),
                Some(_) => None,
            }
        };
        self.expected_helpers.iter().filter_map(fault).collect()
    }

    /// Nodes that say that they are ready and do not answer.
    fn silent_nodes(&mut self) -> Vec<Fault> {
        let is_up = |node: &NodeView| {
            node.qemu.as_ref().is_some_and(|qemu| !is_stopped(qemu))
                && matches!(node.state, NodeState::Ready | NodeState::Booted)
        };
        let answers: Vec<Option<String>> = std::thread::scope(|scope| {
            let asking: Vec<_> = self
                .nodes
                .iter()
                .map(|node| {
                    let qemu = node.qemu.as_ref().filter(|_| is_up(node))?;
                    let ip = node.ip?;
                    Some(scope.spawn(move || connect_to_node(ip, qemu).err()))
                })
                .collect();
            let joined = asking.into_iter().map(|thread| thread?.join().ok()?);
            joined.collect()
        });
        let mut faults = Vec::new();
        for (node, error) in self.nodes.iter_mut().zip(answers) {
            let (Some(error), Some(ip)) = (error, node.ip) else {
                continue;
            };
            node.state = NodeState::Unreachable;
            faults.push(
                Fault::new(
                    FaultKind::Api,
                    format!("{} does not answer at its API port", node.name),
                )
                .on_node(&node.name)
                .evidence(format!("{ip}:{API_PORT}: {error}"))
                .hint(typed!("cluster explain --name {}", self.name)),
            );
        }
        faults
    }

    /// The kernel and initramfs that nodes load at each boot, where their launch
    /// configurations can be read.
    fn missing_boot_files(&self) -> Vec<Fault> {
        let mut faults: Vec<Fault> = Vec::new();
        for node in &self.nodes {
            let Some(config) = self.launch_config(node) else {
                continue;
            };
            for (file, target) in [(config.kernel, "kernel"), (config.initramfs, "initramfs")] {
                let what =
                    format!("the {target} `{file}`, which nodes load when they boot, is missing");
                let is_missing = !file.is_empty() && !Utf8Path::new(&file).is_file();
                if is_missing && faults.iter().all(|fault| fault.what != what) {
                    faults.push(
                        Fault::new(FaultKind::BootFile, what)
                            .evidence(format!("`{}` names it", self.launch_config_path(node)))
                            .hint(typed!("build {}", target)),
                    );
                }
            }
        }
        faults
    }
}

/// Connects to a port and closes the connection.
///
/// # Errors
/// Why it failed, in a few words.
pub(super) fn connect(ip: IpAddr, port: u16) -> Result<(), String> {
    connect_within(ip, port, CONNECT).map_err(|error| in_words(&error, CONNECT))
}

/// Like [`connect`], to the API of a node. A node that got no processor
/// meanwhile is slow, not silent, and gets more time.
fn connect_to_node(ip: IpAddr, qemu: &Process) -> Result<(), String> {
    let before = qemu.run_delay();
    let error = match connect_within(ip, API_PORT, CONNECT) {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    let waited = qemu.run_delay().saturating_sub(before);
    if error.kind() != ErrorKind::TimedOut || waited < CONNECT / 4 {
        return Err(in_words(&error, CONNECT));
    }
    connect_within(ip, API_PORT, CONNECT_BUSY).map_err(|error| in_words(&error, CONNECT_BUSY))
}

fn connect_within(ip: IpAddr, port: u16, limit: Duration) -> std::io::Result<()> {
    TcpStream::connect_timeout(&SocketAddr::new(ip, port), limit).map(drop)
}

fn in_words(error: &std::io::Error, limit: Duration) -> String {
    match error.kind() {
        ErrorKind::TimedOut => format!("no answer within {} ms", limit.as_millis()),
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => error.to_string(),
    }
}

pub(super) fn is_stopped(process: &Process) -> bool {
    matches!(process.state, 'T' | 't')
}

fn resume(process: &Process) -> String {
    let kill = crate::program!("kill -CONT {}", process.pid);
    match process.owner() {
        Some(owner) if owner != rustix::process::geteuid().as_raw() => format!("sudo {kill}"),
        _ => kill,
    }
}

/// What nodes miss without it.
fn effect(helper: Helper) -> &'static str {
    match helper {
        Helper::Dhcpd => "nodes get no address when they boot",
        Helper::LoadBalancer => "the Kubernetes API cannot be reached at its endpoint",
        Helper::Dnsd => "nodes cannot resolve names",
        Helper::ImageCache => "nodes cannot pull from the image cache",
        Helper::Virtiofsd => "nodes cannot reach their shared disks",
        Helper::Kms => "nodes cannot unlock their encrypted disks",
        Helper::JsonLogs => "logs of the nodes are lost",
        Helper::Siderolink => "nodes cannot join through SideroLink",
        Helper::Bgp => "nodes have no BGP neighbour",
    }
}

fn disk_full(state_dir: &Utf8Path) -> Option<Fault> {
    let found = rustix::fs::statvfs(state_dir.as_std_path()).ok()?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    (free < LEAST_DISK).then(|| {
        Fault::new(
            FaultKind::DiskFull,
            format!("the disk of `{state_dir}` is full: nodes stop at their next write"),
        )
        .evidence(format!("{} MiB are free", free >> 20))
        .hint(crate::program!("df -h {}", state_dir))
    })
}

/// When this host was started.
fn boot_time() -> Option<SystemTime> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    let seconds = line.trim().parse().ok()?;
    Some(UNIX_EPOCH + Duration::from_secs(seconds))
}

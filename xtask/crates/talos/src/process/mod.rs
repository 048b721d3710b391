//! Identifies the processes of a cluster by their argv and by the target of file
//! descriptor 1.
//!
//! Pid files do not identify a process (T2): the harness checks here before it sends
//! signals. The argv of `talosctl qemu-launch` and of some helpers does not contain the
//! cluster; their standard output is a log file in its state folder. Source:
//! docs/talos-facts.md#host-footprint, pkg/provision/providers/{vm,qemu},
//! cmd/talosctl/cmd/mgmt.

use crate::state::files::{NodeFile, StateFile, classify};

/// A helper process with `<stem>.pid` and `<stem>.log` in the state folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Helper {
    Dhcpd,
    LoadBalancer,
    Dnsd,
    ImageCache,
    Virtiofsd,
    Kms,
    JsonLogs,
    Siderolink,
    Bgp,
}

impl Helper {
    pub const ALL: [Self; 9] = [
        Self::Dhcpd,
        Self::LoadBalancer,
        Self::Dnsd,
        Self::ImageCache,
        Self::Virtiofsd,
        Self::Kms,
        Self::JsonLogs,
        Self::Siderolink,
        Self::Bgp,
    ];

    /// Stem of its files: `lb` of `lb.pid`.
    pub fn stem(self) -> &'static str {
        match self {
            Self::Dhcpd => "dhcpd",
            Self::LoadBalancer => "lb",
            Self::Dnsd => "dnsd",
            Self::ImageCache => "image-cache",
            Self::Virtiofsd => "virtiofsd",
            Self::Kms => "kms",
            Self::JsonLogs => "json-logs",
            Self::Siderolink => "siderolink-agent",
            Self::Bgp => "bgp",
        }
    }

    pub fn from_stem(stem: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|helper| helper.stem() == stem)
    }

    /// talosctl subcommand it runs, hidden in all lines.
    pub fn subcommand(self) -> &'static [&'static str] {
        match self {
            Self::Dhcpd => &["dhcpd-launch"],
            Self::LoadBalancer => &["loadbalancer-launch"],
            Self::Dnsd => &["dnsd-launch"],
            Self::ImageCache => &["image", "cache-serve"],
            Self::Virtiofsd => &["virtiofsd-launch"],
            Self::Kms => &["kms-launch"],
            Self::JsonLogs => &["json-logs-launch"],
            Self::Siderolink => &["siderolink-launch"],
            Self::Bgp => &["bgp-launch"],
        }
    }

    /// Flag with the address it listens on, if its argv has one.
    fn address_flag(self) -> Option<&'static str> {
        match self {
            Self::Dhcpd | Self::Dnsd | Self::JsonLogs => Some("--addr"),
            Self::LoadBalancer => Some("--loadbalancer-addr"),
            Self::ImageCache => Some("--address"),
            Self::Kms => Some("--kms-addr"),
            Self::Bgp => Some("--bgp-addr"),
            Self::Siderolink => Some("--sidero-link-api-endpoint"),
            Self::Virtiofsd => None,
        }
    }
}

/// The kind of a cluster's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// `talosctl qemu-launch`, the parent of a node's QEMU. Its node is known
    /// only when fd 1 is.
    QemuLaunch { node: Option<String> },
    /// A node's virtual machine.
    Qemu { node: String },
    /// A helper; `address` as in its argv, comma-separated when there are several.
    Helper {
        helper: Helper,
        address: Option<String>,
    },
    /// A `virtiofsd` that the helper supervises, for one disk of a node.
    VirtiofsdWorker { node: String },
    /// The TPM of a node: a daemon that the launcher does not supervise.
    Swtpm { node: String },
}

/// A process recognised as part of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TalosProcess {
    pub kind: Kind,
    /// The cluster's state folder, from the argv or from fd 1, in the form given to
    /// talosctl, so it may be relative. `None` when neither contains it: the process
    /// must not be signalled then.
    pub state_dir: Option<String>,
}

impl TalosProcess {
    /// Whether it certainly belongs to the cluster in `state_dir` (absolute,
    /// normalised).
    pub fn is_of(&self, state_dir: &str) -> bool {
        let of = self
            .state_dir
            .as_deref()
            .map(|dir| dir.trim_end_matches('/'));
        of == Some(state_dir.trim_end_matches('/'))
    }

    /// The node it serves, if one.
    pub fn node(&self) -> Option<&str> {
        match &self.kind {
            Kind::QemuLaunch { node } => node.as_deref(),
            Kind::Qemu { node } | Kind::VirtiofsdWorker { node } | Kind::Swtpm { node } => {
                Some(node)
            }
            Kind::Helper { .. } => None,
        }
    }
}

/// Whether a process is a `talosctl cluster create` of the cluster `name`.
pub fn creates<S: AsRef<str>>(argv: &[S], name: &str) -> bool {
    let argv: Vec<&str> = argv.iter().map(AsRef::as_ref).collect();
    let is_talosctl = argv
        .first()
        .is_some_and(|program| file_name(program).starts_with("talosctl"));
    is_talosctl
        && argv.windows(2).any(|words| words == ["cluster", "create"])
        && flag(&argv, "--name").unwrap_or("talos-default") == name
}

/// Identifies a process. `argv` is /proc/PID/cmdline split at NUL, `stdout` the
/// target of /proc/PID/fd/1 if it can be read.
pub fn identify<S: AsRef<str>>(argv: &[S], stdout: Option<&str>) -> Option<TalosProcess> {
    let argv: Vec<&str> = argv.iter().map(AsRef::as_ref).collect();
    let log = stdout.and_then(LogTarget::parse);
    launcher(&argv, log.as_ref())
        .or_else(|| helper(&argv, log.as_ref()))
        .or_else(|| qemu(&argv))
        .or_else(|| swtpm(&argv))
        .or_else(|| virtiofsd_worker(&argv))
}

/// A log file of a state folder, the target of fd 1.
struct LogTarget<'a> {
    dir: &'a str,
    file: StateFile,
}

impl<'a> LogTarget<'a> {
    fn parse(target: &'a str) -> Option<Self> {
        // The kernel marks an unlinked file; the folder may be gone already.
        let path = target.strip_suffix(" (deleted)").unwrap_or(target);
        let (dir, name) = path.rsplit_once('/')?;
        Some(Self {
            dir,
            file: classify(name)?,
        })
    }
}

fn launcher(argv: &[&str], log: Option<&LogTarget>) -> Option<TalosProcess> {
    if argv.get(1) != Some(&"qemu-launch") {
        return None;
    }
    let of_node = log.and_then(|log| match &log.file {
        StateFile::Node {
            node,
            file: NodeFile::Log,
        } => Some((log.dir, node.clone())),
        _ => None,
    });
    Some(TalosProcess {
        kind: Kind::QemuLaunch {
            node: of_node.as_ref().map(|(_, node)| node.clone()),
        },
        state_dir: of_node.map(|(dir, _)| dir.to_owned()),
    })
}

fn helper(argv: &[&str], log: Option<&LogTarget>) -> Option<TalosProcess> {
    let helper = Helper::ALL
        .into_iter()
        .find(|h| argv.get(1..).is_some_and(|a| a.starts_with(h.subcommand())))?;
    let own_log = log.and_then(|log| match &log.file {
        StateFile::HelperLog(of) if *of == helper => Some(log.dir),
        _ => None,
    });
    let state_dir = flag(argv, "--state-path").or(own_log).map(str::to_owned);
    let address = helper
        .address_flag()
        .and_then(|name| flag(argv, name))
        .map(str::to_owned);
    Some(TalosProcess {
        kind: Kind::Helper { helper, address },
        state_dir,
    })
}

/// QEMU, also while a wrapper script of that name has not yet exec'ed it.
fn qemu(argv: &[&str]) -> Option<TalosProcess> {
    let is_qemu = |arg: &&str| {
        let name = file_name(arg);
        name.starts_with("qemu-system-") || name == "qemu-kvm"
    };
    argv.iter().take(2).find(|arg| is_qemu(arg))?;
    let monitor = flag(argv, "-monitor")?
        .strip_prefix("unix:")?
        .strip_suffix(",server,nowait")?;
    let (dir, file) = monitor.rsplit_once('/')?;
    let node = file
        .strip_suffix(".monitor")
        .filter(|node| !node.is_empty())?;
    Some(TalosProcess {
        kind: Kind::Qemu {
            node: node.to_owned(),
        },
        state_dir: Some(dir.to_owned()),
    })
}

/// `swtpm socket --tpmstate dir=<state>/<node>-tpm,mode=0644 …`.
fn swtpm(argv: &[&str]) -> Option<TalosProcess> {
    (file_name(argv.first()?) == "swtpm").then_some(())?;
    let tpm = flag(argv, "--tpmstate")?.strip_prefix("dir=")?;
    let tpm = tpm.split(',').next().unwrap_or(tpm);
    let (dir, file) = tpm.trim_end_matches('/').rsplit_once('/')?;
    let node = file.strip_suffix("-tpm")?;
    Some(TalosProcess {
        kind: Kind::Swtpm {
            node: node.to_owned(),
        },
        state_dir: Some(dir.to_owned()),
    })
}

/// `virtiofsd --shared-dir … --socket-path <state>/<node>-N.virtiofs.sock …`.
fn virtiofsd_worker(argv: &[&str]) -> Option<TalosProcess> {
    (file_name(argv.first()?) == "virtiofsd").then_some(())?;
    let (dir, name) = flag(argv, "--socket-path")?.rsplit_once('/')?;
    match classify(name)? {
        StateFile::Node {
            node,
            file: NodeFile::VirtiofsSocket(_),
        } => Some(TalosProcess {
            kind: Kind::VirtiofsdWorker { node },
            state_dir: Some(dir.to_owned()),
        }),
        _ => None,
    }
}

/// Value of `--flag VALUE` or `--flag=VALUE`.
fn flag<'a>(argv: &[&'a str], name: &str) -> Option<&'a str> {
    let mut words = argv.iter();
    while let Some(arg) = words.next() {
        if *arg == name {
            return words.next().copied();
        }
        if let Some(value) = arg
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('='))
        {
            return Some(value);
        }
    }
    None
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests;

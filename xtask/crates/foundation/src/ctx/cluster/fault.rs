//! One reason why a cluster does not work: what is wrong, the line or value that
//! shows it, and a command to type.

use serde::Serialize;

/// What is wrong, in the order of cause and effect: of two faults the first one
/// usually explains the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Made by another provisioner of talosctl, such as Docker.
    Foreign,
    /// The state folder is incomplete or unreadable.
    HalfMade,
    /// No process of the cluster runs.
    NoProcess,
    /// A boot file that the nodes load is missing.
    BootFile,
    HostMemory,
    DiskFull,
    /// A node's launcher is gone: nothing starts its QEMU again.
    Launcher,
    /// A node's QEMU is stopped by a signal.
    Paused,
    /// A node died; its console has the reason.
    Died,
    /// A boot sequence failed.
    BootSequence,
    GuestMemory,
    /// A bug of the kernel or of a module, without a panic.
    KernelBug,
    Bridge,
    /// dhcpd, dnsd, the load balancer or another helper.
    Helper,
    /// A rule of the host drops packets of the nodes.
    Firewall,
    NoLease,
    NoNeighbour,
    Dns,
    Relay,
    Mirror,
    HostTime,
    /// The node does not answer at its API port.
    Api,
    /// The node boots.
    Starting,
    Etcd,
    Kubelet,
    Kubernetes,
}

impl FaultKind {
    /// Whether it says more than that a creation did not finish.
    pub fn explains_creation(self) -> bool {
        !matches!(self, Self::HalfMade | Self::NoProcess | Self::Starting)
    }

    /// Whether the nodes wait in vain for as long as it lasts.
    pub(super) fn outlasts_waiting(self) -> bool {
        matches!(
            self,
            Self::DiskFull
                | Self::Launcher
                | Self::Paused
                | Self::Bridge
                | Self::Helper
                | Self::Firewall
        )
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    #[serde(rename = "id")]
    pub kind: FaultKind,
    /// None if it concerns the whole cluster.
    pub node: Option<String>,
    /// `the launcher of worker-1 is gone`
    pub what: String,
    /// The line or value that shows it.
    pub evidence: Option<String>,
    /// A command to type.
    pub hint: Option<String>,
}

impl Fault {
    /// Whether a node that is rebooted now would not come back.
    pub fn prevents_boot(&self) -> bool {
        use FaultKind::{BootFile, Bridge, DiskFull, Firewall, Helper, Launcher, Paused};
        matches!(
            self.kind,
            BootFile | DiskFull | Launcher | Paused | Bridge | Helper | Firewall
        )
    }

    pub fn new(kind: FaultKind, what: impl Into<String>) -> Self {
        Self {
            kind,
            node: None,
            what: what.into(),
            evidence: None,
            hint: None,
        }
    }

    #[must_use]
    pub fn on_node(mut self, node: &str) -> Self {
        self.node = Some(node.to_owned());
        self
    }

    #[must_use]
    pub fn evidence(mut self, evidence: impl Into<String>) -> Self {
        self.evidence = Some(evidence.into());
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

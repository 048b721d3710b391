//! Names that Talos derives from a cluster's: nodes, bridge, namespaces, chains,
//! sockets.
//!
//! Source: cmd/talosctl/cmd/mgmt/cluster/create (node names),
//! `pkg/provision/providers/vm/network_linux.go` (bridge), providers/qemu/launch*.go
//! (sockets, netns), containernetworking plugins pkg/utils (chains).

mod host;

pub use host::*;
use std::fmt;

/// Longest cluster name: a host name label has 63 bytes, and nodes add
/// `-controlplane-99` (16) to it.
pub const MAX_CLUSTER_NAME: usize = 47;

/// Longest path of a unix socket on Linux: `sun_path` has 108 bytes with its NUL.
pub const MAX_SOCKET_PATH: usize = 107;

/// Why a cluster name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a cluster name must not be empty")]
    Empty,
    #[error(
        "cluster name `{name}` contains `{found}`: it becomes a folder and host names, use a to z, 0 to 9 and `-`"
    )]
    Character { name: String, found: char },
    #[error("cluster name `{name}` must begin and end with a letter or digit")]
    Edge { name: String },
    #[error(
        "cluster name `{name}` has {len} characters, at most {MAX_CLUSTER_NAME} leave room for `-controlplane-99`"
    )]
    TooLong { name: String, len: usize },
    /// The name of an existing folder is not a single path component.
    #[error("`{name}` is not the name of a folder")]
    NotAFolder { name: String },
    /// The name of an existing folder contains characters that would break lines or
    /// control a terminal.
    #[error("cluster name {name:?} contains a control character")]
    Control { name: String },
}

/// A cluster's name, safe as one path component.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterName(String);

impl ClusterName {
    /// Name for a new cluster: a DNS label, short enough for its nodes' host names.
    /// talosctl itself checks nothing here.
    ///
    /// # Errors
    /// The first rule that `name` breaks.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let owned = || name.to_owned();
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if let Some(found) = name.chars().find(|c| !allowed(*c)) {
            return Err(NameError::Character {
                name: owned(),
                found,
            });
        }
        if name.starts_with('-') || name.ends_with('-') {
            return Err(NameError::Edge { name: owned() });
        }
        if name.len() > MAX_CLUSTER_NAME {
            return Err(NameError::TooLong {
                name: owned(),
                len: name.len(),
            });
        }
        Ok(Self(owned()))
    }

    /// Name of a cluster that exists: whatever talosctl let through, as long as
    /// it is one component of a path without control characters, so that it can
    /// be shown and destroyed.
    ///
    /// # Errors
    /// [`NameError::Empty`], [`NameError::NotAFolder`] or [`NameError::Control`].
    pub fn existing(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name == "." || name == ".." || name.contains(['/', '\0']) {
            return Err(NameError::NotAFolder {
                name: name.to_owned(),
            });
        }
        if name.chars().any(char::is_control) {
            return Err(NameError::Control {
                name: name.to_owned(),
            });
        }
        Ok(Self(name.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Name of the `index`th node (from 1) of a role: `lab-worker-2`.
    pub fn node(&self, role: Role, index: u32) -> String {
        format!("{}-{role}-{index}", self.0)
    }

    /// All node names in the order in which they get addresses: control planes first.
    pub fn nodes(&self, control_planes: u32, workers: u32) -> Vec<String> {
        let of = |role, count| (1..=count).map(move |index| self.node(role, index));
        of(Role::ControlPlane, control_planes)
            .chain(of(Role::Worker, workers))
            .collect()
    }

    /// Name of its bridge, see [`bridge_name`].
    pub fn bridge(&self) -> String {
        bridge_name(&self.0)
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The role of a node in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    ControlPlane,
    Worker,
}

impl Role {
    /// From `state.yaml`'s type; `init` is a control plane that bootstraps itself.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "controlplane" | "init" => Some(Self::ControlPlane),
            "worker" => Some(Self::Worker),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ControlPlane => "controlplane",
            Self::Worker => "worker",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Splits `a-b-worker-2` into (`a-b`, worker, 2). Indices have no leading zero.
pub fn split_node(node: &str) -> Option<(&str, Role, u32)> {
    let (rest, index) = node.rsplit_once('-')?;
    let (cluster, role) = rest.rsplit_once('-')?;
    let role = match role {
        "controlplane" => Role::ControlPlane,
        "worker" => Role::Worker,
        _ => return None,
    };
    let number: u32 = index.parse().ok()?;
    (number > 0 && number.to_string() == index && !cluster.is_empty())
        .then_some((cluster, role, number))
}

/// A unix socket of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeSocket {
    /// QEMU's human monitor.
    Monitor,
    /// QEMU guest agent's character device.
    Agent,
    /// Debug shell's serial port (until 1.13, `--with-debug-shell`).
    Serial,
    /// swtpm's control socket, in the node's own folder.
    Tpm,
    /// virtiofsd's, for the `n`th disk (1.13+).
    Virtiofs(u32),
}

impl NodeSocket {
    /// Sockets that every node has.
    pub const ALWAYS: [Self; 2] = [Self::Monitor, Self::Agent];

    /// Path relative to the state folder.
    pub fn file(self, node: &str) -> String {
        match self {
            Self::Monitor => format!("{node}.monitor"),
            Self::Agent => format!("{node}.sock"),
            Self::Serial => format!("{node}.serial"),
            Self::Tpm => format!("{node}-tpm/swtpm.sock"),
            Self::Virtiofs(disk) => format!("{node}-{disk}.virtiofs.sock"),
        }
    }
}

/// A socket path that no process could bind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("socket path `{path}` is {over} bytes too long ({len}, at most {MAX_SOCKET_PATH})")]
pub struct SocketPathTooLong {
    pub path: String,
    /// Bytes of `path`.
    pub len: usize,
    /// Bytes by which the folder or cluster name must get shorter.
    pub over: usize,
}

/// Checks the paths of `sockets` of all `nodes` in a cluster's state folder.
///
/// # Errors
/// The longest path, when it exceeds [`MAX_SOCKET_PATH`]: QEMU would die with
/// `UNIX socket path … is too long` after talosctl reported success (T6).
pub fn check_socket_paths<S: AsRef<str>>(
    state_dir: &str,
    nodes: &[S],
    sockets: &[NodeSocket],
) -> Result<(), SocketPathTooLong> {
    let dir = state_dir.trim_end_matches('/');
    let path = |node: &S, socket: &NodeSocket| format!("{dir}/{}", socket.file(node.as_ref()));
    let paths = nodes
        .iter()
        .flat_map(|node| sockets.iter().map(move |s| path(node, s)));
    match paths.max_by_key(String::len) {
        Some(path) if path.len() > MAX_SOCKET_PATH => {
            let len = path.len();
            Err(SocketPathTooLong {
                path,
                len,
                over: len - MAX_SOCKET_PATH,
            })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;

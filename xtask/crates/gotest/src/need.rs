//! Tests, their needs of the host, and the calls that imply a need.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::names::Kind;

/// One test, suite method, subtest, benchmark, fuzz target or example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Test {
    /// Import path.
    pub package: String,
    /// As in `go test -run` and in the output of `go test -v`: `TestA/b`.
    pub name: String,
    pub kind: Kind,
    /// Path relative to the root of the checkout.
    pub file: String,
    /// 1-based.
    pub line: usize,
    /// Sorted; empty unless `Options::deep` is set.
    pub needs: Vec<Needed>,
}

/// A need of a test, with its evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needed {
    pub need: Need,
    /// Whether the test skips itself when the need is not met; otherwise it fails.
    pub skips: bool,
    /// `file:line`, or the reason of an override.
    pub because: String,
    /// The chain of calls from the test to the evidence.
    pub through: Vec<String>,
}

/// Something that not every host has. Serialized as one word.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum Need {
    Root,
    /// A free loop device.
    Loop,
    /// A disk of the host that has a partition.
    Partition,
    /// A node in `/dev` for every block device of the host.
    BlockNodes,
    /// Nodes in `/dev` for the partitions that it makes on its loop device.
    PartitionNodes,
    /// Permission to mount in a mount namespace of its own.
    Mount,
    /// Permission to make namespaces, and to change those of the host.
    Namespaces,
    DeviceMapper,
    Lvm,
    Containerd,
    /// Names of hosts outside.
    Internet,
    /// The environment of the Makefile's unit-tests target, by its host name.
    Buildkit,
    /// Control groups of version 1.
    CgroupV1,
    /// A kernel module, or the same built in.
    Module(String),
    /// A program on PATH.
    Tool(String),
    /// A set environment variable.
    Env(String),
    /// A file.
    Path(String),
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("root"),
            Self::Loop => f.write_str("loop"),
            Self::Partition => f.write_str("partition"),
            Self::BlockNodes => f.write_str("block-nodes"),
            Self::PartitionNodes => f.write_str("partition-nodes"),
            Self::Mount => f.write_str("mount"),
            Self::Namespaces => f.write_str("namespaces"),
            Self::DeviceMapper => f.write_str("device-mapper"),
            Self::Lvm => f.write_str("lvm"),
            Self::Containerd => f.write_str("containerd"),
            Self::Internet => f.write_str("internet"),
            Self::Buildkit => f.write_str("buildkit"),
            Self::CgroupV1 => f.write_str("cgroup-v1"),
            Self::Module(name) => write!(f, "module:{name}"),
            Self::Tool(name) => write!(f, "tool:{name}"),
            Self::Env(name) => write!(f, "env:{name}"),
            Self::Path(path) => write!(f, "path:{path}"),
        }
    }
}

impl From<Need> for String {
    fn from(need: Need) -> Self {
        need.to_string()
    }
}

impl From<String> for Need {
    /// An unknown word is the name of a tool.
    fn from(text: String) -> Self {
        match text.as_str() {
            "root" => Self::Root,
            "loop" => Self::Loop,
            "partition" => Self::Partition,
            "block-nodes" => Self::BlockNodes,
            "partition-nodes" => Self::PartitionNodes,
            "mount" => Self::Mount,
            "namespaces" => Self::Namespaces,
            "device-mapper" => Self::DeviceMapper,
            "lvm" => Self::Lvm,
            "containerd" => Self::Containerd,
            "internet" => Self::Internet,
            "buildkit" => Self::Buildkit,
            "cgroup-v1" => Self::CgroupV1,
            _ => match text.split_once(':') {
                Some(("module", name)) => Self::Module(name.to_owned()),
                Some(("env", name)) => Self::Env(name.to_owned()),
                Some(("path", path)) => Self::Path(path.to_owned()),
                Some(("tool", name)) => Self::Tool(name.to_owned()),
                _ => Self::Tool(text),
            },
        }
    }
}

/// Returns the needs of a call of a function outside the workspace, by its
/// package's path and its name. Only calls that cannot work otherwise are
/// listed.
pub(crate) fn of_call(path: &str, name: &str) -> &'static [Need] {
    match path {
        "golang.org/x/sys/unix" | "syscall" => match name {
            "Mount" | "Unmount" | "Fsopen" | "Fsmount" | "Fspick" | "MoveMount" | "OpenTree"
            | "MountSetattr" | "PivotRoot" => &[Need::Root, Need::Mount],
            "Unshare" | "Setns" | "Sethostname" | "InitModule" | "FinitModule" | "Reboot" => {
                &[Need::Root, Need::Namespaces]
            }
            "Chroot" | "Mknod" => &[Need::Root],
            _ => &[],
        },
        _ if path.starts_with("github.com/freddierice/go-losetup") => match name {
            "Attach" => &[Need::Root, Need::Loop],
            _ => &[],
        },
        _ if path.starts_with("github.com/anatol/devmapper")
            || path.ends_with("go-blockdevice/v2/devicemapper") =>
        {
            &[Need::Root, Need::DeviceMapper]
        }
        _ if path.starts_with("github.com/siderolabs/go-blockdevice") => match name {
            // A caller that asks for a partition's name opens it.
            "DevName" => &[Need::PartitionNodes],
            _ => &[],
        },
        _ => &[],
    }
}

/// The needs of running a program, besides the program itself.
pub(crate) fn of_program(program: &str) -> &'static [Need] {
    let name = program.rsplit('/').next().unwrap_or(program);
    match name {
        "losetup" => &[Need::Root, Need::Loop],
        "mount" | "umount" => &[Need::Root, Need::Mount],
        "cryptsetup" | "dmsetup" => &[Need::Root, Need::DeviceMapper],
        "lvm" | "pvcreate" | "vgcreate" | "lvcreate" | "vgs" | "lvs" | "pvs" => {
            &[Need::Root, Need::Lvm]
        }
        "containerd" => &[Need::Root, Need::Containerd],
        _ => &[],
    }
}

/// The need that the absence of a file implies.
pub(crate) fn of_path(path: &str) -> Need {
    if path.ends_with("/containerd") || path.ends_with("containerd.sock") {
        Need::Containerd
    } else if path.starts_with("/dev/loop") {
        Need::Loop
    } else if path.starts_with("/dev/mapper") {
        Need::DeviceMapper
    } else {
        Need::Path(path.to_owned())
    }
}

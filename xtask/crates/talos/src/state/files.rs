//! Names of the files in a state folder, both ways.

use crate::names::{self, NodeSocket};
use crate::process::Helper;
use std::collections::BTreeSet;

/// The file that talosctl writes last: without it the creation did not finish.
pub const STATE_FILE: &str = "state.yaml";
/// Addresses that dhcpd hands out.
const IPAM_FILE: &str = "ipam.db";
/// flock around CNI calls.
const CNI_LOCK: &str = "cni.lock";

/// A file of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeFile {
    /// Pid of the launcher (not of QEMU).
    Pid,
    /// Launcher, QEMU and serial console.
    Log,
    Monitor,
    /// QEMU guest agent's socket.
    Agent,
    /// Debug shell's socket, until 1.13.
    Serial,
    /// The launcher's configuration, see [`LaunchConfig`](super::LaunchConfig).
    Config,
    /// Disk by number, 0 is the system disk.
    Disk(u32),
    /// UEFI: 0 firmware, 1 variables.
    Flash(u32),
    /// Folder of the TPM.
    TpmDir,
    MetalIso,
    VirtiofsSocket(u32),
    VirtiofsDir(u32),
}

impl NodeFile {
    /// Its name in the state folder.
    pub fn name(self, node: &str) -> String {
        match self {
            Self::Pid => format!("{node}.pid"),
            Self::Log => format!("{node}.log"),
            Self::Monitor => NodeSocket::Monitor.file(node),
            Self::Agent => NodeSocket::Agent.file(node),
            Self::Serial => NodeSocket::Serial.file(node),
            Self::Config => format!("{node}.config"),
            Self::Disk(number) => format!("{node}-{number}.disk"),
            Self::Flash(number) => format!("{node}-flash{number}.img"),
            Self::TpmDir => format!("{node}-tpm"),
            Self::MetalIso => format!("{node}-metal-config.iso"),
            Self::VirtiofsSocket(disk) => NodeSocket::Virtiofs(disk).file(node),
            Self::VirtiofsDir(disk) => format!("{node}-{disk}.virtiofs.d"),
        }
    }

    /// Whether only nodes have such files, whatever their stem.
    fn tells_a_node(self) -> bool {
        !matches!(self, Self::Pid | Self::Log | Self::Agent)
    }
}

/// The meaning of a name in a state folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateFile {
    StateYaml,
    Ipam,
    CniLock,
    HelperPid(Helper),
    HelperLog(Helper),
    /// `siderolink-agent-cert.pem` and `-key.pem`.
    SiderolinkPem,
    Node {
        node: String,
        file: NodeFile,
    },
}

/// Returns the meaning of a name (not a path) in a state folder; `None` for a
/// name that talosctl does not write.
pub fn classify(name: &str) -> Option<StateFile> {
    match name {
        STATE_FILE => return Some(StateFile::StateYaml),
        IPAM_FILE => return Some(StateFile::Ipam),
        CNI_LOCK => return Some(StateFile::CniLock),
        "siderolink-agent-cert.pem" | "siderolink-agent-key.pem" => {
            return Some(StateFile::SiderolinkPem);
        }
        _ => {}
    }
    let helper = |suffix: &str| name.strip_suffix(suffix).and_then(Helper::from_stem);
    if let Some(helper) = helper(".pid") {
        return Some(StateFile::HelperPid(helper));
    }
    if let Some(helper) = helper(".log") {
        return Some(StateFile::HelperLog(helper));
    }
    let (node, file) = node_file(name)?;
    (!node.is_empty()).then(|| StateFile::Node {
        node: node.to_owned(),
        file,
    })
}

fn node_file(name: &str) -> Option<(&str, NodeFile)> {
    const PLAIN: [(&str, NodeFile); 8] = [
        (".pid", NodeFile::Pid),
        (".log", NodeFile::Log),
        (".monitor", NodeFile::Monitor),
        (".serial", NodeFile::Serial),
        (".config", NodeFile::Config),
        ("-tpm", NodeFile::TpmDir),
        ("-metal-config.iso", NodeFile::MetalIso),
        (".sock", NodeFile::Agent),
    ];
    type Numbered = fn(u32) -> NodeFile;
    const NUMBERED: [(&str, &str, Numbered); 4] = [
        ("-", ".disk", NodeFile::Disk),
        ("-flash", ".img", NodeFile::Flash),
        ("-", ".virtiofs.sock", NodeFile::VirtiofsSocket),
        ("-", ".virtiofs.d", NodeFile::VirtiofsDir),
    ];
    for (before, after, file) in NUMBERED {
        if let Some(found) = numbered(name, before, after) {
            return Some((found.0, file(found.1)));
        }
    }
    PLAIN
        .iter()
        .find_map(|(suffix, file)| Some((name.strip_suffix(suffix)?, *file)))
}

/// Splits `<stem><before>N<after>`.
fn numbered<'a>(name: &'a str, before: &str, after: &str) -> Option<(&'a str, u32)> {
    let rest = name.strip_suffix(after)?;
    let stem = rest.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = rest[stem.len()..].parse().ok()?;
    Some((stem.strip_suffix(before)?, number))
}

/// Returns the nodes that the names in a state folder belong to, control planes first;
/// works without `state.yaml`. A bare `.pid`, `.log` or `.sock` counts only if its stem
/// has the form of a node's name: a helper of a later line must not be taken for a
/// node.
pub fn nodes_of<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Vec<String> {
    let nodes: BTreeSet<_> = names
        .into_iter()
        .filter_map(|name| match classify(name.as_ref())? {
            StateFile::Node { node, file } if file.tells_a_node() || is_node_name(&node) => {
                Some((sort_key(&node), node))
            }
            _ => None,
        })
        .collect();
    nodes.into_iter().map(|(_, node)| node).collect()
}

/// Sorts nodes as talosctl counts them: role, then number, then name.
fn sort_key(node: &str) -> (Option<names::Role>, u32) {
    match names::split_node(node) {
        Some((_, role, index)) => (Some(role), index),
        None => (None, 0),
    }
}

/// `<cluster>-<role>-N`, `<cluster>-machine-N` (Omni) or `machine-<uuid>`.
fn is_node_name(stem: &str) -> bool {
    let numbered = |(rest, index): (&str, &str)| {
        rest.ends_with("-machine") && index.bytes().all(|b| b.is_ascii_digit()) && !index.is_empty()
    };
    names::split_node(stem).is_some()
        || stem.strip_prefix("machine-").is_some_and(names::is_uuid)
        || stem.rsplit_once('-').is_some_and(numbered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILES: [&str; 3] = [
        include_str!("../../../../testdata/state/1.11.0/files.txt"),
        include_str!("../../../../testdata/state/1.12.0/files.txt"),
        include_str!("../../../../testdata/state/1.13.0/files.txt"),
    ];

    const ALL: [NodeFile; 12] = [
        NodeFile::Pid,
        NodeFile::Log,
        NodeFile::Monitor,
        NodeFile::Agent,
        NodeFile::Serial,
        NodeFile::Config,
        NodeFile::Disk(0),
        NodeFile::Flash(1),
        NodeFile::TpmDir,
        NodeFile::MetalIso,
        NodeFile::VirtiofsSocket(2),
        NodeFile::VirtiofsDir(2),
    ];

    #[test]
    fn every_file_of_real_folders_is_told() {
        for names in FILES {
            for name in names.lines() {
                assert!(classify(name).is_some(), "{name}");
            }
            assert_eq!(
                nodes_of(names.lines()),
                ["lab-controlplane-1", "lab-worker-1"]
            );
        }
    }

    #[test]
    fn nodes_without_state_yaml() {
        let left = [
            "lab-worker-10-0.disk",
            "lab-worker-2.log",
            "lab-controlplane-1.pid",
            "machine-2eb47ed4-ebac-4b5f-a52a-57e39fb1b517.config",
            "lab-machine-3.log",
            "vmnet-keepalive.pid",
            "dhcpd.pid",
            "notes.txt",
            "x.log",
        ];
        assert_eq!(
            nodes_of(left),
            [
                "lab-machine-3",
                "machine-2eb47ed4-ebac-4b5f-a52a-57e39fb1b517",
                "lab-controlplane-1",
                "lab-worker-2",
                "lab-worker-10",
            ]
        );
    }

    #[test]
    fn helpers_are_not_nodes() {
        for helper in Helper::ALL {
            let stem = helper.stem();
            assert_eq!(
                classify(&format!("{stem}.pid")),
                Some(StateFile::HelperPid(helper))
            );
            assert_eq!(
                classify(&format!("{stem}.log")),
                Some(StateFile::HelperLog(helper))
            );
        }
        assert_eq!(
            classify("siderolink-agent-key.pem"),
            Some(StateFile::SiderolinkPem)
        );
        for other in ["", ".pid", ".monitor", "-0.disk", "README.md", "x-y.disk"] {
            assert_eq!(classify(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn names_round_trip(cluster in "[a-z][a-z0-9-]{0,20}", index in 1u32..200, pick in 0usize..12) {
            let node = format!("{cluster}-worker-{index}");
            let name = ALL[pick].name(&node);
            prop_assert_eq!(classify(&name), Some(StateFile::Node { node, file: ALL[pick] }));
        }

        #[test]
        fn classify_never_panics(name in "\\PC{0,40}") {
            let _ = classify(&name);
        }
    }
}

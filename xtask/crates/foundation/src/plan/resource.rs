//! Resources that steps create on the machine, as the ledger lists them.

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

/// A resource that the ledger can list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Resource {
    Cluster {
        name: String,
        state_dir: Utf8PathBuf,
        bridge: String,
        cidr: String,
    },
    /// What `cluster start` starts again of a cluster that exists.
    Start {
        name: String,
        state_dir: Utf8PathBuf,
        cidr: String,
    },
    Lab {
        dir: Utf8PathBuf,
    },
    /// The registry relay of the cluster in that folder.
    Relay {
        state_dir: Utf8PathBuf,
        cidr: String,
        ports: Vec<u16>,
    },
    /// A container of a registry.
    Container {
        name: String,
    },
    /// The rules, processes and files of a cluster's air gap.
    AirGap {
        name: String,
        dir: Utf8PathBuf,
        bridge: String,
    },
}

impl Resource {
    /// Entries with the same key refer to the same resource.
    pub fn key(&self) -> String {
        match self {
            Self::Cluster { state_dir, .. } => format!("cluster:{state_dir}"),
            Self::Start { state_dir, .. } => format!("start:{state_dir}"),
            Self::Lab { dir } => format!("lab:{dir}"),
            Self::Relay { state_dir, .. } => format!("relay:{state_dir}"),
            Self::Container { name } => format!("container:{name}"),
            Self::AirGap { dir, .. } => format!("airgap:{dir}"),
        }
    }

    /// For display, with its parts.
    pub fn describe(&self) -> String {
        match self {
            Self::Cluster {
                name,
                state_dir,
                bridge,
                ..
            } => {
                format!(
                    "cluster `{name}` (its processes, its bridge {bridge}, its folder `{state_dir}`)"
                )
            }
            Self::Start { name, .. } => {
                format!("cluster `{name}`, partly started (its processes, its bridge)")
            }
            Self::Lab { dir } => format!("the lab in `{dir}` (its processes and its folder)"),
            Self::Relay {
                state_dir, cidr, ..
            } => {
                format!("the relay in {cidr} for the cluster in `{state_dir}`")
            }
            Self::Container { name } => format!("the container `{name}`"),
            Self::AirGap { name, dir, bridge } => format!(
                "the air gap of cluster `{name}` (its rules for {bridge}, its processes, its folder `{dir}`)"
            ),
        }
    }
}

//! What a step leaves on the machine, as the ledger remembers it.

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

/// What the ledger can hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Resource {
    Cluster {
        name: String,
        state_dir: Utf8PathBuf,
        bridge: String,
        cidr: String,
    },
    Lab {
        dir: Utf8PathBuf,
    },
    /// What lets the nodes of the cluster in that folder reach registries.
    Relay {
        state_dir: Utf8PathBuf,
        cidr: String,
        ports: Vec<u16>,
    },
    /// A registry's container of ours.
    Container {
        name: String,
    },
}

impl Resource {
    /// Two entries with one key speak of the same thing.
    pub fn key(&self) -> String {
        match self {
            Self::Cluster { state_dir, .. } => format!("cluster:{state_dir}"),
            Self::Lab { dir } => format!("lab:{dir}"),
            Self::Relay { state_dir, .. } => format!("relay:{state_dir}"),
            Self::Container { name } => format!("container:{name}"),
        }
    }

    /// For people, naming what it is made of.
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
            Self::Lab { dir } => format!("the lab in `{dir}` (its processes and its folder)"),
            Self::Relay {
                state_dir, cidr, ..
            } => {
                format!("the relay in {cidr} for the cluster in `{state_dir}`")
            }
            Self::Container { name } => format!("the container `{name}`"),
        }
    }
}

//! libcni's cache files, `~/.talos/cni/cache/results/<network>-<uuid>-veth0`:
//! the one place that links a cluster to the network namespaces of its nodes after
//! the launchers are gone (T18).
//!
//! Source: github.com/containernetworking/cni/libcni/api.go (`cachedInfo`).

use super::StateError;
use crate::names;
use serde::Deserialize;

const FILE: &str = "CNI cache file";

/// The attachment of one node to its network.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CniAttachment {
    #[serde(rename = "networkName")]
    pub network: String,
    /// `/var/run/netns/cnitest-<uuid>`; older libcni did not write it.
    netns: Option<String>,
}

impl CniAttachment {
    /// Reads a cache file.
    ///
    /// # Errors
    /// [`StateError::Empty`] or [`StateError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, StateError> {
        if text.trim().is_empty() {
            return Err(StateError::Empty { file: FILE });
        }
        serde_json::from_str(text).map_err(|error| StateError::json(FILE, &error))
    }

    /// Name of its network namespace in /run/netns.
    pub fn netns_name(&self) -> Option<&str> {
        self.netns
            .as_deref()?
            .rsplit('/')
            .next()
            .filter(|name| names::is_cni_netns(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = include_str!(
        "../../../../testdata/state/1.12.0/lab-23c3de8a-a539-4bf0-ac05-ae5ebb9630de-veth0"
    );

    #[test]
    fn a_real_one() {
        let node = CniAttachment::parse(RECORDED).unwrap();
        assert_eq!(node.network, "lab");
        assert_eq!(
            node.netns_name(),
            Some("cnitest-4936a752-5b2a-9499-a159-ecf3af7c4d0c")
        );
    }

    #[test]
    fn half_written() {
        assert!(matches!(
            CniAttachment::parse(""),
            Err(StateError::Empty { .. })
        ));
        assert!(matches!(
            CniAttachment::parse(&RECORDED[..90]),
            Err(StateError::Malformed { .. })
        ));
    }
}

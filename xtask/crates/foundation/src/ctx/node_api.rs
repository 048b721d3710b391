//! Reads a node through its API, with talosctl. Nothing here changes the node.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use super::probe::{Probe, ProbeError};

/// An emulated node under load is slow. This also bounds the wait for a node that is gone.
const LIMIT: Duration = Duration::from_mins(1);
/// Largest file or log. BTF of a kernel has some MiB, an audit log may have many more.
const LARGEST: usize = 256 << 20;

/// How one node is reached.
#[derive(Debug, Clone)]
pub struct NodeApi {
    talosctl: Utf8PathBuf,
    talosconfig: Utf8PathBuf,
    /// Address, as talosctl takes it.
    pub address: String,
}

impl NodeApi {
    pub fn new(talosctl: Utf8PathBuf, talosconfig: Utf8PathBuf, address: String) -> Self {
        Self {
            talosctl,
            talosconfig,
            address,
        }
    }

    /// The command line of talosctl for this node.
    pub fn argv(&self, words: &[&str]) -> Vec<String> {
        let mut argv = vec![
            self.talosctl.to_string(),
            format!("--talosconfig={}", self.talosconfig),
            format!("--nodes={}", self.address),
        ];
        argv.extend(words.iter().map(|word| (*word).to_owned()));
        argv
    }

    /// Returns what talosctl prints.
    ///
    /// # Errors
    /// If it fails, or does not answer in time.
    pub fn text(&self, words: &[&str]) -> Result<String, ProbeError> {
        let probe = Probe::new(self.argv(words));
        probe.timeout(LIMIT).largest(LARGEST).stdout()
    }

    /// Returns the text of a file.
    ///
    /// # Errors
    /// As [`Self::text`]; a missing file is [`is_missing`].
    pub fn read(&self, path: &Utf8Path) -> Result<String, ProbeError> {
        self.text(&["read", path.as_str()])
    }

    /// Returns the bytes that talosctl prints: those of a file or a log.
    ///
    /// # Errors
    /// As [`Self::text`].
    pub fn bytes(&self, words: &[&str]) -> Result<Vec<u8>, ProbeError> {
        let probe = Probe::new(self.argv(words));
        probe.timeout(LIMIT).largest(LARGEST).bytes()
    }

    /// Returns the first bytes of a file, which may be large.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn start_of(&self, path: &Utf8Path, bytes: usize) -> Result<Vec<u8>, ProbeError> {
        let probe = Probe::new(self.argv(&["read", path.as_str()]));
        probe.timeout(LIMIT).start_of_output(bytes)
    }

    /// Returns the resources of a type.
    ///
    /// # Errors
    /// As [`Self::text`]; a type that this Talos does not have is [`is_unknown_type`].
    pub fn resources(&self, kind: &str) -> Result<Vec<Value>, ProbeError> {
        let text = self.text(&["get", kind, "-o", "json"])?;
        // One document after another.
        let documents = serde_json::Deserializer::from_str(&text).into_iter();
        let resources: Result<Vec<Value>, _> = documents.collect();
        resources.map_err(|error| ProbeError::Failed {
            program: self.talosctl.to_string(),
            said: format!("`get {kind}` printed invalid JSON: {error}"),
        })
    }
}

/// Whether the node answered that the file does not exist.
pub fn is_missing(error: &ProbeError) -> bool {
    matches!(error, ProbeError::Failed { said, .. } if said.contains("no such file or directory"))
}

/// Whether the node answered that it has no such type of resource.
pub fn is_unknown_type(error: &ProbeError) -> bool {
    matches!(error, ProbeError::Failed { said, .. } if said.contains("is not registered"))
}

//! Reads the ledger: the file of a user that lists each resource before it is
//! created. It only lists resources of this program. `record::ledger` appends to
//! it.

use std::collections::{BTreeMap, HashMap};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::own_files;
use crate::failure::{Failure, Result};
use crate::files;
use crate::plan::Resource;

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub op: Op,
    /// Milliseconds since 1970.
    pub at: u64,
    pub boot_id: String,
    /// The run that wrote it.
    pub run: String,
    pub resource: Resource,
}

/// Whether the resource may exist from this entry on, or is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    Intend,
    Gone,
}

/// The file of this user.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub(crate) path: Utf8PathBuf,
}

impl Ledger {
    pub fn in_dir(state: &Utf8Path) -> Self {
        Self {
            path: state.join("ledger.jsonl"),
        }
    }

    /// Checks that the ledger is readable; nothing may be created or destroyed
    /// otherwise.
    ///
    /// # Errors
    /// Those of [`Self::live`].
    pub fn check(&self) -> Result<()> {
        self.read().map(drop)
    }

    fn read(&self) -> Result<Vec<u8>> {
        let bytes = own_files::read(&self.path, files::LARGE).map_err(|error| {
            Failure::step(format!("cannot read the ledger `{}`", self.path))
                .cause(error)
                .hint("it lists what was created and is not removed yet: restore a readable file, or move it away if nothing is left")
        })?;
        Ok(bytes.unwrap_or_default())
    }

    /// Returns the resources that may still exist, oldest first. Lines that do
    /// not parse are the partial output of a killed run and are skipped.
    ///
    /// # Errors
    /// If the file exists and cannot be read: it must not count as empty.
    pub fn live(&self) -> Result<Vec<Entry>> {
        let bytes = self.read()?;
        let mut live: BTreeMap<usize, Entry> = BTreeMap::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        // Read as bytes: a line cut within a character must not hide the
        // others.
        let lines = bytes.split(|byte| *byte == b'\n');
        let entries = lines.filter_map(|line| serde_json::from_slice::<Entry>(line).ok());
        for (place, entry) in entries.enumerate() {
            let key = entry.resource.key();
            if let Some(before) = places.remove(&key) {
                live.remove(&before);
            }
            if entry.op == Op::Intend {
                places.insert(key, place);
                live.insert(place, entry);
            }
        }
        Ok(live.into_values().collect())
    }
}

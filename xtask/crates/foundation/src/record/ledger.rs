//! The ledger: one append-only file per user that names what we are about to
//! make, before we make it. It only ever lists what is ours.
#![expect(
    clippy::disallowed_methods,
    reason = "`record` is one of the two rooms that write"
)]

use std::fs::OpenOptions;
use std::io::Write;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::FlockOperation;
use rustix::io::retry_on_intr;
use serde::{Deserialize, Serialize};

use crate::failure::{Because, Result};
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

/// Whether the resource may exist from here on, or is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    Intend,
    Gone,
}

/// The file of this user.
#[derive(Debug, Clone)]
pub struct Ledger {
    path: Utf8PathBuf,
}

impl Ledger {
    pub fn of(state: &Utf8Path) -> Self {
        Self {
            path: state.join("ledger.jsonl"),
        }
    }

    /// Append one entry and wait until the disk has it.
    ///
    /// # Errors
    /// When the file cannot be written: then nothing may be made.
    pub fn append(&self, entry: &Entry) -> Result<()> {
        self.try_append(entry)
            .because(|| format!("cannot write the ledger `{}`", self.path))
    }

    fn try_append(&self, entry: &Entry) -> std::io::Result<()> {
        if let Some(parent) = self.path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&self.path)?;
        retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::LockExclusive))?;
        let before = file.metadata()?.len();
        let mut line = Vec::new();
        // A run killed in the middle of its line must not swallow ours.
        if !ends_with_newline(&file, before)? {
            line.push(b'\n');
        }
        serde_json::to_writer(&mut line, entry)?;
        line.push(b'\n');
        if let Err(error) = file.write_all(&line).and_then(|()| file.sync_data()) {
            // A full disk takes half a line; it says nothing, so it goes.
            let _ = file.set_len(before);
            return Err(error);
        }
        if before == 0 {
            // A new file's name is the folder's data.
            let folder = self.path.parent().unwrap_or(Utf8Path::new("."));
            std::fs::File::open(folder)?.sync_all()?;
        }
        Ok(())
    }

    /// What may still exist, oldest first. Lines that do not parse are the
    /// torn end of a killed run and say nothing.
    pub fn live(&self) -> Vec<Entry> {
        let bytes = std::fs::read(&self.path).unwrap_or_default();
        let mut live: Vec<Entry> = Vec::new();
        // As bytes: a line torn within a character must not hide the others.
        for entry in bytes
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice::<Entry>(line).ok())
        {
            live.retain(|other| other.resource.key() != entry.resource.key());
            if entry.op == Op::Intend {
                live.push(entry);
            }
        }
        live
    }
}

fn ends_with_newline(file: &std::fs::File, length: u64) -> std::io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let mut last = [b'\n'];
    if length > 0 {
        file.read_exact_at(&mut last, length - 1)?;
    }
    Ok(last == [b'\n'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(op: Op, name: &str) -> Entry {
        Entry {
            op,
            at: 1,
            boot_id: "b".into(),
            run: "r".into(),
            resource: Resource::Cluster {
                name: name.into(),
                state_dir: format!("/home/dev/.talos/clusters/{name}").into(),
                bridge: "talos00000000".into(),
                cidr: "172.20.0.0/24".into(),
            },
        }
    }

    #[test]
    fn what_is_gone_is_no_longer_live() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::of(Utf8Path::from_path(dir.path()).unwrap());
        assert!(ledger.live().is_empty());
        for (op, name) in [
            (Op::Intend, "a"),
            (Op::Intend, "b"),
            (Op::Gone, "a"),
            (Op::Intend, "b"),
        ] {
            ledger.append(&entry(op, name)).unwrap();
        }
        assert_eq!(ledger.live(), [entry(Op::Intend, "b")]);
    }

    #[test]
    fn a_torn_line_neither_speaks_nor_swallows_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let ledger = Ledger::of(root);
        ledger.append(&entry(Op::Intend, "a")).unwrap();
        let path = root.join("ledger.jsonl");
        let mut text = std::fs::read(&path).unwrap();
        text.extend_from_slice(b"{\"op\":\"gone\",\"at\":2,\"boo");
        std::fs::write(&path, text).unwrap();
        ledger.append(&entry(Op::Intend, "b")).unwrap();
        assert_eq!(
            ledger.live(),
            [entry(Op::Intend, "a"), entry(Op::Intend, "b")]
        );
    }

    #[test]
    fn a_line_torn_within_a_character_hides_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let ledger = Ledger::of(root);
        ledger.append(&entry(Op::Intend, "a")).unwrap();
        let path = root.join("ledger.jsonl");
        let mut bytes = std::fs::read(&path).unwrap();
        let torn = "{\"op\":\"gone\",\"run\":\"\u{e4}".as_bytes();
        bytes.extend_from_slice(&torn[..torn.len() - 1]);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(ledger.live(), [entry(Op::Intend, "a")]);
        ledger.append(&entry(Op::Gone, "a")).unwrap();
        assert!(ledger.live().is_empty());
    }
}

//! Appends to the ledger, which lists each resource before it is created.

use std::io::Write;

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::retry_on_intr;

use super::own;
use crate::ctx::ledger::{Entry, Ledger};
use crate::failure::{Because, Result};

impl Ledger {
    /// Appends one entry and waits until it is on disk.
    ///
    /// # Errors
    /// If the file cannot be written: then nothing may be created.
    pub fn append(&self, entry: &Entry) -> Result<()> {
        self.try_append(entry)
            .because(|| format!("cannot write the ledger `{}`", self.path))
    }

    fn try_append(&self, entry: &Entry) -> std::io::Result<()> {
        let mut file = own::open(&self.path, OFlags::RDWR | OFlags::APPEND, 0o600)?;
        retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::LockExclusive))?;
        let before = file.metadata()?.len();
        let mut line = Vec::new();
        // A partial line of a killed run must not swallow this entry.
        if !ends_with_newline(&file, before)? {
            line.push(b'\n');
        }
        serde_json::to_writer(&mut line, entry)?;
        line.push(b'\n');
        if let Err(error) = file.write_all(&line).and_then(|()| file.sync_data()) {
            // A full disk stores a partial line: remove it.
            let _ = file.set_len(before);
            return Err(error);
        }
        if before == 0 {
            // The name of a new file is part of its folder's data.
            own::sync_folder(&self.path)?;
        }
        Ok(())
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
#[expect(clippy::disallowed_methods, reason = "a test cuts a line")]
mod tests {
    use super::*;
    use crate::ctx::ledger::Op;
    use crate::plan::Resource;
    use camino::Utf8Path;

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
        let ledger = Ledger::in_dir(Utf8Path::from_path(dir.path()).unwrap());
        assert!(ledger.live().unwrap().is_empty());
        for (op, name) in [
            (Op::Intend, "a"),
            (Op::Intend, "b"),
            (Op::Gone, "a"),
            (Op::Intend, "b"),
        ] {
            ledger.append(&entry(op, name)).unwrap();
        }
        assert_eq!(ledger.live().unwrap(), [entry(Op::Intend, "b")]);
    }

    #[test]
    fn a_torn_line_neither_speaks_nor_swallows_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let ledger = Ledger::in_dir(root);
        ledger.append(&entry(Op::Intend, "a")).unwrap();
        let path = root.join("ledger.jsonl");
        let mut text = std::fs::read(&path).unwrap();
        text.extend_from_slice(b"{\"op\":\"gone\",\"at\":2,\"boo");
        std::fs::write(&path, text).unwrap();
        ledger.append(&entry(Op::Intend, "b")).unwrap();
        assert_eq!(
            ledger.live().unwrap(),
            [entry(Op::Intend, "a"), entry(Op::Intend, "b")]
        );
    }

    #[test]
    fn a_line_torn_within_a_character_hides_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let ledger = Ledger::in_dir(root);
        ledger.append(&entry(Op::Intend, "a")).unwrap();
        let path = root.join("ledger.jsonl");
        let mut bytes = std::fs::read(&path).unwrap();
        let torn = "{\"op\":\"gone\",\"run\":\"\u{e4}".as_bytes();
        bytes.extend_from_slice(&torn[..torn.len() - 1]);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(ledger.live().unwrap(), [entry(Op::Intend, "a")]);
        ledger.append(&entry(Op::Gone, "a")).unwrap();
        assert!(ledger.live().unwrap().is_empty());
    }
}

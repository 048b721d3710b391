//! Bodies of responses until they are read: in files without a name, which
//! together have a limit. Small bodies stay in memory.

use std::io::{Read, Seek, Write};
use std::sync::Arc;

use camino::Utf8PathBuf;
use tempfile::{SpooledTempFile, spooled_tempfile_in};
use tokio::sync::watch;

/// The largest profile seen in practice has 45 MB.
pub(super) const LARGEST: u64 = 128 << 20;
/// Limit of the bytes of all bodies that are not read yet.
const TOGETHER: u64 = 2 << 30;
/// While more bytes than this are not read yet, no further body is requested.
const ENOUGH: u64 = 256 << 20;
/// Maximum bytes of one body in memory.
const SMALL: usize = 128 << 10;

#[derive(Debug)]
pub(super) struct Spool {
    dir: Utf8PathBuf,
    largest: u64,
    together: u64,
    /// Bytes of all bodies that are not read yet.
    used: watch::Sender<u64>,
}

/// Why a body does not fit.
#[derive(Debug)]
pub(super) enum Full {
    Larger(u64),
    Together(u64),
    Disk(std::io::Error),
}

impl Spool {
    /// Files are made in this folder, which exists.
    pub(super) fn new(dir: Utf8PathBuf) -> Arc<Self> {
        Self::within(dir, LARGEST, TOGETHER)
    }

    pub(super) fn within(dir: Utf8PathBuf, largest: u64, together: u64) -> Arc<Self> {
        Arc::new(Self {
            dir,
            largest,
            together,
            used: watch::Sender::new(0),
        })
    }

    /// Waits until few enough bytes are not read yet.
    pub(super) async fn wait(&self) {
        let enough = ENOUGH.min(self.together);
        // The sender lives as long as `self`.
        let _ = self.used.subscribe().wait_for(|used| *used <= enough).await;
    }

    /// Memory for one more body.
    pub(super) fn body(self: &Arc<Self>) -> Body {
        Body {
            file: spooled_tempfile_in(SMALL, &self.dir),
            size: 0,
            spool: Arc::clone(self),
        }
    }
}

/// One body; its room is free again when it is dropped.
#[derive(Debug)]
pub(super) struct Body {
    file: SpooledTempFile,
    pub(super) size: u64,
    spool: Arc<Spool>,
}

impl Body {
    /// # Errors
    /// What is too much, or the system's.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let more = bytes.len() as u64;
        if self.size + more > self.spool.largest {
            return Err(Full::Larger(self.spool.largest));
        }
        let together = self.spool.together;
        let fits = self.spool.used.send_if_modified(|used| {
            let fits = *used + more <= together;
            if fits {
                *used += more;
            }
            fits
        });
        if !fits {
            return Err(Full::Together(together));
        }
        self.size += more;
        self.file.write_all(bytes).map_err(Full::Disk)
    }

    /// All of it, in memory.
    ///
    /// # Errors
    /// I/O errors.
    pub(super) fn read(&mut self) -> std::io::Result<Vec<u8>> {
        self.file.rewind()?;
        let mut bytes = Vec::with_capacity(usize::try_from(self.size).unwrap_or(0));
        self.file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.spool.used.send_modify(|used| *used -= self.size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_and_all_together_have_a_limit() {
        let dir = tempfile::tempdir().unwrap();
        let root = camino::Utf8Path::from_path(dir.path()).unwrap();
        let spool = Spool::within(root.to_owned(), 100, 150);
        let (mut one, mut other) = (spool.body(), spool.body());
        one.push(&[1; 100]).unwrap();
        assert!(matches!(one.push(&[1]), Err(Full::Larger(100))));
        assert!(matches!(other.push(&[2; 60]), Err(Full::Together(150))));
        other.push(&[2; 50]).unwrap();
        assert_eq!(one.read().unwrap(), [1; 100]);
        // Its room is free again.
        drop(one);
        other.push(&[2; 50]).unwrap();
        assert_eq!(other.size, 100);
        drop(other);
        assert_eq!(*spool.used.borrow(), 0);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_large_is_in_a_file_without_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let root = camino::Utf8Path::from_path(dir.path()).unwrap();
        let spool = Spool::new(root.to_owned());
        let mut body = spool.body();
        let part = vec![7; 100 << 10];
        for _ in 0..4 {
            body.push(&part).unwrap();
        }
        assert!(body.file.is_rolled());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(body.read().unwrap(), part.repeat(4));
    }
}

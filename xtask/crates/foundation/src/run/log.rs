//! The file that gets all output of one child.

use std::fs::File;
use std::io::{Result, Write};

use camino::Utf8Path;

use crate::record::own;

/// A child that prints without end must not fill the disk.
pub(super) const LIMIT: usize = 64 << 20;
const CUT: &[u8] = b"\n[log ends here: 64 MiB]\n";

/// At most [`LIMIT`] bytes, and a last line that says so. Without a file all
/// writes succeed.
#[derive(Debug, Default)]
pub(super) struct Log {
    file: Option<File>,
    written: usize,
}

impl Log {
    /// # Errors
    /// I/O errors.
    pub(super) fn create(path: &Utf8Path) -> Result<Self> {
        Ok(Self {
            file: Some(own::create(path, 0o600)?),
            written: 0,
        })
    }

    /// Adds `chunk`. After an error nothing more is written.
    ///
    /// # Errors
    /// I/O errors.
    pub(super) fn write(&mut self, chunk: &[u8]) -> Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let part = &chunk[..chunk.len().min(LIMIT - self.written)];
        self.written += part.len();
        let mut result = file.write_all(part);
        if part.len() < chunk.len() {
            result = result.and_then(|()| file.write_all(CUT));
        }
        if part.len() < chunk.len() || result.is_err() {
            self.file = None;
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_bounded_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("log");
        let mut log = Log::create(&path).unwrap();
        let mut chunk = vec![b'z'; 1 << 20];
        chunk[(1 << 20) - 1] = b'\n';
        for _ in 0..70 {
            log.write(&chunk).unwrap();
        }
        let log = std::fs::read(&path).unwrap();
        assert_eq!(log.len(), LIMIT + b"\n[log ends here: 64 MiB]\n".len());
        assert!(log.ends_with(b"[log ends here: 64 MiB]\n"));
    }
}

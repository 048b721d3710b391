//! A compressed tar archive of small files, in memory.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

/// Size of a tar record, in bytes.
const RECORD: usize = 512;

/// Files by name.
pub(crate) struct Archive {
    out: GzEncoder<Vec<u8>>,
    /// Seconds since 1970, of every file.
    time: u64,
}

impl Archive {
    pub(crate) fn new(time: u64) -> Self {
        Self {
            out: GzEncoder::new(Vec::new(), Compression::default()),
            time,
        }
    }

    /// Adds a file; `name` has at most 100 bytes.
    ///
    /// # Errors
    /// If the name is longer.
    pub(crate) fn add(&mut self, name: &str, contents: &[u8]) -> std::io::Result<()> {
        self.out
            .write_all(&header(name, contents.len(), self.time)?)?;
        self.out.write_all(contents)?;
        let rest = contents.len() % RECORD;
        let padding = if rest == 0 { 0 } else { RECORD - rest };
        self.out.write_all(&[0; RECORD][..padding])
    }

    /// # Errors
    /// The encoder's.
    pub(crate) fn finish(mut self) -> std::io::Result<Vec<u8>> {
        self.out.write_all(&[0; 2 * RECORD])?;
        self.out.finish()
    }
}

/// A header in the format of POSIX.1-1988 (ustar).
fn header(name: &str, size: usize, time: u64) -> std::io::Result<[u8; RECORD]> {
    if name.len() > 100 {
        return Err(std::io::Error::other(format!("`{name}` is too long")));
    }
    let mut header = [0; RECORD];
    let mut put = |at: usize, text: &str| {
        header[at..at + text.len()].copy_from_slice(text.as_bytes());
    };
    put(0, name);
    put(100, "0000600\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, &format!("{time:011o}\0"));
    // The checksum field counts as spaces.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(header)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test asks tar")]
mod tests {
    use super::*;

    #[test]
    fn tar_reads_what_was_written() {
        let mut archive = Archive::new(1_700_000_000);
        let long = "x".repeat(1024);
        for (name, contents) in [("s/a", ""), ("s/b", "text\n"), ("s/c", &long)] {
            archive.add(name, contents.as_bytes()).unwrap();
        }
        assert!(archive.add(&"n".repeat(101), b"").is_err());
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.tar.gz");
        std::fs::write(&file, archive.finish().unwrap()).unwrap();
        let status = std::process::Command::new("tar")
            .arg("-xzf")
            .arg(&file)
            .arg("-C")
            .arg(dir.path())
            .status();
        assert!(status.unwrap().success());
        let text = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(
            (text("s/a"), text("s/b"), text("s/c")),
            (String::new(), "text\n".into(), long)
        );
    }
}

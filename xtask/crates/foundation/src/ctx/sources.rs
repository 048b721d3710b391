//! A checkout's folders and files, for engines that read sources.

use std::os::unix::fs::MetadataExt;

use camino::Utf8PathBuf;
use gotest::{Entry, Source};

/// Reads below a folder.
#[derive(Debug, Clone)]
pub struct Sources {
    pub root: Utf8PathBuf,
}

impl Source for Sources {
    fn list(&self, dir: &str) -> Vec<Entry> {
        let entries = std::fs::read_dir(self.root.join(dir));
        entries
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let kind = entry.file_type().ok()?;
                let is_go = name.strip_suffix(".go").is_some() && !kind.is_dir();
                // Links to files count as files, links to folders are not followed, as in go.
                let stamp = if is_go {
                    let metadata = std::fs::metadata(entry.path()).ok()?;
                    if !metadata.is_file() {
                        return None;
                    }
                    let at = i128::from(metadata.mtime()) * 1_000_000_000;
                    (metadata.len(), at + i128::from(metadata.mtime_nsec()))
                } else {
                    (0, 0)
                };
                Some(Entry {
                    name,
                    is_dir: kind.is_dir(),
                    stamp,
                })
            })
            .collect()
    }

    fn read(&self, file: &str) -> Option<String> {
        let bytes = std::fs::read(self.root.join(file)).ok()?;
        Some(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        })
    }
}

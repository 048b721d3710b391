//! Access to a checkout's files, for engines that read sources.

use std::io::{ErrorKind, Result};
use std::os::unix::fs::MetadataExt;

use camino::Utf8PathBuf;
use gotest::{Entry, LARGEST_SOURCE, Source};

use crate::files;

/// Reads below a folder.
#[derive(Debug, Clone)]
pub struct Sources {
    pub root: Utf8PathBuf,
}

impl Source for Sources {
    fn list(&self, dir: &str) -> Result<Vec<Entry>> {
        let entries = match std::fs::read_dir(self.root.join(dir)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            // Go does not build files whose name is not UTF-8.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let kind = entry.file_type()?;
            let is_go = name.strip_suffix(".go").is_some() && !kind.is_dir();
            // As in Go, links to files count as files and links to folders are not
            // followed.
            let metadata = is_go.then(|| std::fs::metadata(entry.path()));
            let stamp = match metadata {
                Some(Ok(metadata)) if metadata.is_dir() => continue,
                Some(Ok(metadata)) => {
                    let at = i128::from(metadata.mtime()) * 1_000_000_000;
                    (metadata.len(), at + i128::from(metadata.mtime_nsec()))
                }
                // Reading it reports the error.
                Some(Err(_)) | None => (0, 0),
            };
            found.push(Entry {
                name,
                is_dir: kind.is_dir(),
                stamp,
            });
        }
        Ok(found)
    }

    fn read(&self, file: &str) -> Result<Option<String>> {
        let bytes = files::read(&self.root.join(file), LARGEST_SOURCE)?;
        Ok(bytes.map(|bytes| match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }))
    }
}

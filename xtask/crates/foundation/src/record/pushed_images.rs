//! The list of images that builds pushed, by digest: one line per image, oldest
//! first.

use std::io::Write;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{FlockOperation, OFlags};
use serde::{Deserialize, Serialize};

use super::own;
use crate::ctx::own_files;
use crate::failure::{Failure, Result};
use crate::files;

/// A pushed image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// `127.0.0.1:5005/siderolabs/imager:v1.12.0-dirty`
    pub reference: String,
    /// `sha256:…`
    pub digest: String,
    /// Milliseconds since 1970.
    pub at: u64,
    /// The checkout.
    pub tree: Utf8PathBuf,
    /// Its commit, with `-dirty` if files were changed; `None` outside git.
    #[serde(default)]
    pub state: Option<String>,
}

impl Image {
    /// The reference without its tag.
    pub fn name(&self) -> &str {
        self.split().0
    }

    pub fn tag(&self) -> &str {
        self.split().1
    }

    fn split(&self) -> (&str, &str) {
        match self.reference.rsplit_once(':') {
            // A colon before a slash belongs to a port.
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (&self.reference, "latest"),
        }
    }
}

/// The list of this user.
pub fn list_of(state: &Utf8Path) -> Utf8PathBuf {
    state.join("images.jsonl")
}

/// Appends one complete line.
///
/// # Errors
/// I/O errors.
pub fn append(list: &Utf8Path, image: &Image) -> std::io::Result<()> {
    let mut file = own::open(list, OFlags::WRONLY | OFlags::APPEND, 0o600)?;
    rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
    let mut line = serde_json::to_vec(image)?;
    line.push(b'\n');
    file.write_all(&line)
}

/// Returns all recorded images; partial lines are skipped.
///
/// # Errors
/// If the list exists and cannot be read.
pub fn read(list: &Utf8Path) -> Result<Vec<Image>> {
    let bytes = own_files::read(list, files::LARGE)
        .map_err(|error| Failure::host(format!("cannot read `{list}`")).cause(error))?;
    let bytes = bytes.unwrap_or_default();
    let lines = bytes.split(|byte| *byte == b'\n');
    Ok(lines
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_no_tag() {
        let image = |reference: &str| Image {
            reference: reference.into(),
            digest: "sha256:1".into(),
            at: 1,
            tree: "/t".into(),
            state: None,
        };
        let with = image("127.0.0.1:5005/u/imager:v1");
        assert_eq!((with.name(), with.tag()), ("127.0.0.1:5005/u/imager", "v1"));
        let without = image("127.0.0.1:5005/u/imager");
        assert_eq!(
            (without.name(), without.tag()),
            ("127.0.0.1:5005/u/imager", "latest")
        );
    }

    #[test]
    fn lines_come_back_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let list = list_of(Utf8Path::from_path(dir.path()).unwrap());
        for at in 0..3 {
            let image = Image {
                reference: "r:t".into(),
                digest: "d".into(),
                at,
                tree: "/t".into(),
                state: None,
            };
            append(&list, &image).unwrap();
        }
        assert_eq!(
            read(&list)
                .unwrap()
                .iter()
                .map(|image| image.at)
                .collect::<Vec<_>>(),
            [0, 1, 2]
        );
    }
}

//! A cache of the tests discovered in a checkout, valid until one of its files
//! changes.

use std::time::UNIX_EPOCH;

use camino::{Utf8Path, Utf8PathBuf};
use gotest::{Test, Workspace};
use serde::{Deserialize, Serialize};

use super::own;
use crate::ctx::own_executable::built_at;
use crate::ctx::own_files;
use crate::files;
use crate::hash::Name;

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    key: String,
    tests: Vec<Test>,
}

/// One file per checkout and target.
pub fn file_of(cache: &Utf8Path, checkout: &Utf8Path, target: &str) -> Utf8PathBuf {
    let name = Name::default().part(checkout.as_str()).part(target);
    let name = format!("{}.json", name.digits(16));
    cache.join("tests").join(name)
}

/// A hash of every Go file's name, size and time, and of this program: another build of it may
/// read the same files differently.
pub fn key_of(workspace: &Workspace) -> String {
    let own = built_at().and_then(|own| own.metadata().ok());
    let built = own.as_ref().and_then(|own| own.modified().ok());
    let built = built.and_then(|built| built.duration_since(UNIX_EPOCH).ok());
    let mut name = Name::default()
        .part(env!("CARGO_PKG_VERSION"))
        .part(own.map_or(0, |own| own.len()).to_le_bytes())
        .part(built.unwrap_or_default().as_nanos().to_le_bytes());
    for folder in &workspace.folders {
        name = name.part(&folder.dir);
        for (file, (size, time)) in &folder.files {
            name = name
                .part(file)
                .part(size.to_le_bytes())
                .part(time.to_le_bytes());
        }
    }
    name.digits(16)
}

/// Returns the tests stored under this key; `None` if something changed.
pub fn read(file: &Utf8Path, key: &str) -> Option<Vec<Test>> {
    let bytes = own_files::read(file, files::LARGE).ok()??;
    let kept: Kept = serde_json::from_slice(&bytes).ok()?;
    (kept.key == key).then_some(kept.tests)
}

/// Stores the tests; an error is ignored, because this is only a cache.
pub fn write(file: &Utf8Path, key: &str, tests: Vec<Test>) -> Vec<Test> {
    let kept = Kept {
        key: key.to_owned(),
        tests,
    };
    if let Ok(bytes) = serde_json::to_vec(&kept) {
        let _ = own::replace(file, &bytes, 0o644);
    }
    kept.tests
}

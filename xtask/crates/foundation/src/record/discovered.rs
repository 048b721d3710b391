//! What was discovered in a checkout, kept until one of its files changes.

use camino::{Utf8Path, Utf8PathBuf};
use gotest::{Test, Workspace};
use serde::{Deserialize, Serialize};

use super::own;
use crate::files;

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    key: String,
    tests: Vec<Test>,
}

/// One file per checkout and target.
pub fn file_of(cache: &Utf8Path, checkout: &Utf8Path, target: &str) -> Utf8PathBuf {
    let name = format!("{:016x}.json", hash(&[checkout.as_str(), target]));
    cache.join("tests").join(name)
}

/// Changes with every Go file's name, size and time, and with this program.
pub fn key_of(workspace: &Workspace) -> String {
    let mut state = Fnv::default();
    state.add(env!("CARGO_PKG_VERSION").as_bytes());
    state.add(gotest::RULES.as_bytes());
    for folder in &workspace.folders {
        state.add(folder.dir.as_bytes());
        for (name, (size, time)) in &folder.files {
            state.add(name.as_bytes());
            state.add(&size.to_le_bytes());
            state.add(&time.to_le_bytes());
        }
    }
    format!("{:016x}", state.0)
}

/// The tests kept under this key; none when something changed.
pub fn read(file: &Utf8Path, key: &str) -> Option<Vec<Test>> {
    let bytes = own::read(file, files::LARGE).ok()??;
    let kept: Kept = serde_json::from_slice(&bytes).ok()?;
    (kept.key == key).then_some(kept.tests)
}

/// Keep them; a cache that cannot be written is no failure.
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

fn hash(parts: &[&str]) -> u64 {
    let mut state = Fnv::default();
    for part in parts {
        state.add(part.as_bytes());
    }
    state.0
}

/// FNV-1a, 64 bit: stable across versions, unlike the standard library's.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().chain(&[0xff]) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

//! What each node has booted: kernel and initramfs by digest, and the installer image.
//! Tells whether a build, or a tag with other content, has come since.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::{ClusterView, NodeView};
use crate::ctx::image_reference;
use crate::hash::Sha256;

/// Digits of a digest that are shown.
const DIGITS: usize = 12;

/// A file that a node loads when it boots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BootFile {
    pub path: Utf8PathBuf,
    /// The first digits of the SHA-256 of what the node has booted; `None` if the file was
    /// replaced since, or cannot be read.
    pub sha256: Option<String>,
    /// It was written after the node's QEMU was started.
    pub is_newer: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstallerImage {
    /// As in the machine configuration.
    pub reference: String,
    /// The digest that its tag has now in a local registry, if that is another one.
    pub tag_is_now: Option<String>,
}

/// What one node has booted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lineage {
    pub node: String,
    pub kernel: Option<BootFile>,
    pub initramfs: Option<BootFile>,
    pub installer: Option<InstallerImage>,
}

impl ClusterView {
    /// The initramfs that a node loads at each boot; an empty path if it boots from disk, and
    /// none if that cannot be read.
    pub fn initramfs_of(&self, node: &NodeView) -> Option<Utf8PathBuf> {
        Some(self.launch_config(node)?.initramfs.into())
    }

    /// Reads the lineage of all nodes, from their launch configurations.
    pub fn lineage(&self) -> Vec<Lineage> {
        let mut digests = BTreeMap::new();
        let of = |node| lineage_of(self, node, &mut digests);
        self.nodes.iter().map(of).collect()
    }
}

fn lineage_of(
    view: &ClusterView,
    node: &NodeView,
    digests: &mut BTreeMap<Utf8PathBuf, Option<String>>,
) -> Lineage {
    let config = view.launch_config(node);
    let started = node.qemu.as_ref().and_then(super::Process::started);
    let mut file = |path: &str| boot_file(path, started, digests);
    Lineage {
        node: node.name.clone(),
        kernel: config.as_ref().and_then(|config| file(&config.kernel)),
        initramfs: config.as_ref().and_then(|config| file(&config.initramfs)),
        installer: config
            .and_then(|config| config.installer_image())
            .map(installer),
    }
}

fn boot_file(
    path: &str,
    started: Option<SystemTime>,
    digests: &mut BTreeMap<Utf8PathBuf, Option<String>>,
) -> Option<BootFile> {
    if path.is_empty() {
        return None;
    }
    let path = Utf8PathBuf::from(path);
    let written = std::fs::metadata(&path).and_then(|found| found.modified());
    let is_newer = written.is_ok_and(|written| started.is_some_and(|started| written > started));
    let sha256 = if is_newer || started.is_none() {
        None
    } else {
        digests
            .entry(path.clone())
            .or_insert_with(|| sha256(&path).ok())
            .clone()
    };
    Some(BootFile {
        path,
        sha256,
        is_newer,
    })
}

/// The first digits of the SHA-256 of a file that nodes boot.
///
/// # Errors
/// When it cannot be read.
pub fn sha256(path: &Utf8Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut hash = Sha256::default();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hash.update(&buffer[..read]),
        }
    }
    let mut digits = hash.finish();
    digits.truncate(DIGITS);
    Ok(digits)
}

/// A tag of a local registry may have been pushed again.
fn installer(reference: String) -> InstallerImage {
    let (tagged, pinned) = match reference.split_once('@') {
        Some((tagged, digest)) => (tagged, Some(digest)),
        None => (reference.as_str(), None),
    };
    let now = pinned.and_then(|_| image_reference::digest(tagged).ok());
    let tag_is_now = now.filter(|now| pinned.is_some_and(|pinned| pinned != now));
    InstallerImage {
        reference,
        tag_is_now,
    }
}

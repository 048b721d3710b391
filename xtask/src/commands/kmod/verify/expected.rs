//! What should be on a node, from an extension's image.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;

use foundation::ctx::image_source::{ImageSource, failure};
use foundation::failure::{Failure, Result};
use foundation::typed;
use oci::{Fate, Flow, Image, Kind};
use serde_json::Value;

use super::super::node_state::module_of;
use crate::app::App;

const LARGEST_MANIFEST: u64 = 1 << 20;

/// The part of an extension that a node shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) name: String,
    pub(super) version: String,
    /// Sizes by path on the node.
    pub(super) files: BTreeMap<String, u64>,
}

impl Expected {
    /// Reads the image of the node's architecture (`amd64`).
    ///
    /// # Errors
    /// If it cannot be read, or is not an extension.
    pub(super) fn read(app: &App<'_>, word: &str, arch: Option<&str>) -> Result<Self> {
        let source = ImageSource::open(&app.ctx.cwd, word)?;
        let images = source.images().map_err(|error| failure(word, &error))?;
        let fits = |image: &&Image<'_>| {
            images.len() == 1 || arch.is_none_or(|arch| image.platform.architecture == arch)
        };
        let Some(image) = images.iter().find(fits) else {
            return Err(Failure::usage(format!(
                "`{word}` has no image for {}",
                arch.unwrap_or("this node")
            ))
            .hint(typed!("image inspect {}", word)));
        };
        let (manifest, files) = contents(image).map_err(|error| failure(word, &error))?;
        let manifest = String::from_utf8_lossy(&manifest);
        let manifest: Value = talos::yaml::from_str(&manifest).unwrap_or_default();
        let text = |name: &str| match &manifest["metadata"][name] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let (name, version) = (text("name"), text("version"));
        if name.is_empty() {
            return Err(Failure::usage(format!("`{word}` is not an extension"))
                .cause("its manifest.yaml is missing or has no name")
                .hint(typed!("kmod lint {}", word)));
        }
        Ok(Self {
            name,
            version,
            files,
        })
    }

    /// Names of its modules, as the kernel has them.
    pub(super) fn modules(&self) -> Vec<String> {
        let modules = self
            .files
            .keys()
            .filter(|path| path.contains("/lib/modules/"));
        modules.filter_map(|path| module_of(path)).collect()
    }
}

fn contents(image: &Image<'_>) -> oci::Result<(Vec<u8>, BTreeMap<String, u64>)> {
    let (mut manifest, mut files) = (Vec::new(), BTreeMap::new());
    let mut links = HashMap::new();
    image.walk(|entry, fate, body| {
        if fate != Fate::Kept {
            return Ok(Flow::Continue);
        }
        if entry.path == "manifest.yaml" {
            body.take(LARGEST_MANIFEST).read_to_end(&mut manifest)?;
        }
        let Some(path) = entry.path.strip_prefix("rootfs") else {
            return Ok(Flow::Continue);
        };
        match &entry.kind {
            Kind::File if !is_index(path) => {
                files.insert(path.to_owned(), entry.size);
            }
            Kind::HardLink(target) => {
                links.insert(path.to_owned(), target.clone());
            }
            _ => {}
        }
        Ok(Flow::Continue)
    })?;
    for (path, target) in links {
        let target = target.trim_start_matches('/').trim_start_matches("rootfs");
        let size = files.get(target).copied().unwrap_or_default();
        files.insert(path, size);
    }
    Ok((manifest, files))
}

/// Lists of modules, which the imager replaces by its own.
fn is_index(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    path.starts_with("/usr/lib/modules/") && name.starts_with("modules.")
}

//! What should be on a node, from an extension's image.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;

use foundation::ctx::image_source::{ImageSource, failure};
use foundation::failure::{Failure, Result};
use foundation::typed;
use oci::{Fate, Flow, Image, Kind};
use serde_json::Value;

use super::node_state::module_of;
use crate::app::App;

/// Largest manifest or service spec.
const LARGEST_TEXT: u64 = 1 << 20;
const SPECS: &str = "/usr/local/etc/containers/";

/// The part of an extension that a node shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) name: String,
    pub(super) version: String,
    /// Sizes by path on the node.
    pub(super) files: BTreeMap<String, u64>,
    /// Services that wait for an `ExtensionServiceConfig`.
    pub(super) configured_services: Vec<String>,
}

/// What is read of an image.
#[derive(Default)]
struct Contents {
    manifest: Vec<u8>,
    files: BTreeMap<String, u64>,
    specs: Vec<Vec<u8>>,
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
        let contents = contents(image).map_err(|error| failure(word, &error))?;
        let manifest = String::from_utf8_lossy(&contents.manifest);
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
            files: contents.files,
            configured_services: contents
                .specs
                .iter()
                .filter_map(|it| configured(it))
                .collect(),
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

/// The name of the service if its spec has `configuration: true`.
fn configured(spec: &[u8]) -> Option<String> {
    let spec: Value = talos::yaml::from_str(&String::from_utf8_lossy(spec)).ok()?;
    let mut depends = spec["depends"].as_array()?.iter();
    let needs = depends.any(|it| it["configuration"] == true);
    needs.then(|| spec["name"].as_str().map(str::to_owned))?
}

fn contents(image: &Image<'_>) -> oci::Result<Contents> {
    let mut contents = Contents::default();
    let mut links = HashMap::new();
    image.walk(|entry, fate, body| {
        if fate != Fate::Kept {
            return Ok(Flow::Continue);
        }
        if entry.path == "manifest.yaml" {
            body.take(LARGEST_TEXT)
                .read_to_end(&mut contents.manifest)?;
        }
        let Some(path) = entry.path.strip_prefix("rootfs") else {
            return Ok(Flow::Continue);
        };
        match &entry.kind {
            Kind::File if !is_index(path) => {
                if path.starts_with(SPECS) {
                    let mut spec = Vec::new();
                    body.take(LARGEST_TEXT).read_to_end(&mut spec)?;
                    contents.specs.push(spec);
                }
                contents.files.insert(path.to_owned(), entry.size);
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
        let size = contents.files.get(target).copied().unwrap_or_default();
        contents.files.insert(path, size);
    }
    Ok(contents)
}

/// Lists of modules, which the imager replaces by its own.
fn is_index(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    path.starts_with("/usr/lib/modules/") && name.starts_with("modules.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_waits_for_its_configuration_is_known() {
        let spec = |depends: &str| {
            format!("name: lldpd\ncontainer:\n  entrypoint: ./lldpd\n{depends}restart: always\n")
        };
        let waits = spec("depends:\n  - network: [addresses]\n  - configuration: true\n");
        assert_eq!(configured(waits.as_bytes()).as_deref(), Some("lldpd"));
        for other in [
            spec(""),
            spec("depends:\n  - configuration: false\n"),
            "{".to_owned(),
        ] {
            assert_eq!(configured(other.as_bytes()), None, "{other}");
        }
    }
}

//! One pass over an image: its tree, and the contents that rules read.

use std::collections::BTreeSet;
use std::io::{self, Read};

use crate::entry::{Entry, Kind, clean_written};
use crate::error::ImageError;
use crate::image::Image;
use crate::lint::files::{Files, Node};
use crate::lint::finding::{Finding, Findings};
use crate::manifest::Config;
use crate::module::{self, Module, ModuleError, Signature, SignatureError};
use crate::walk::{Fate, Flow};

/// Largest manifest or service spec.
const LARGEST_TEXT: u64 = 1 << 20;
/// Largest module that is read. The largest of Talos' own extensions is a third.
const LARGEST_MODULE: u64 = 64 << 20;
/// Largest list of a kernel's symbols.
const LARGEST_MAP: u64 = 64 << 20;
/// An ELF's headers and the name of its interpreter are within.
const PROGRAM_START: u64 = 4096;

/// Limits of Linux.
const LONGEST_NAME: usize = 255;
const LONGEST_PATH: usize = 4096;
const OPAQUE: &str = ".wh..wh..opq";

/// Where services have their files.
pub(crate) const CONTAINERS: &str = "rootfs/usr/local/lib/containers";
/// Where service specs are.
pub(crate) const SPECS: &str = "rootfs/usr/local/etc/containers/";
const SBOMS: &str = "rootfs/usr/local/share/spdx/";

/// What one image for one platform contains.
#[derive(Debug)]
pub struct Scan {
    pub name: String,
    pub platform: String,
    pub(crate) arch: String,
    /// The name of the target that made the image, if it is known.
    pub(crate) target: Option<String>,
    pub(crate) from_layers: bool,
    /// Whether it should have a configuration, as layers and folders need not.
    pub(crate) has_manifest: bool,
    pub(crate) config: Option<Config>,
    pub(crate) files: Files,
    pub(crate) manifest: Option<Vec<u8>>,
    /// By path.
    pub(crate) specs: Vec<(String, Vec<u8>)>,
    pub(crate) modules: Vec<ModuleFile>,
    /// Files that come before their folder, in the order of the imager.
    pub(crate) orphans: Vec<String>,
    /// Folders that hide what lower layers have in them, as far as the imager knows that.
    pub(crate) opaque: Vec<String>,
    /// Relative links that leave the image.
    pub(crate) climbing_links: Vec<String>,
    pub(crate) system_map: Option<Vec<u8>>,
    pub(crate) builtin: Option<Vec<u8>>,
    /// What only the pass itself can find.
    pub(crate) found: Vec<Finding>,
}

#[derive(Debug)]
pub(crate) struct ModuleFile {
    pub(crate) path: String,
    pub(crate) module: Result<Module, ModuleError>,
    pub(crate) signature: Result<Signature, SignatureError>,
}

impl Scan {
    /// Of the configuration or the index; empty if neither names one.
    pub fn architecture(&self) -> &str {
        &self.arch
    }
}

/// Reads an image. What is wrong with its bytes becomes a finding.
///
/// # Errors
/// If it cannot be read because of the host, the network or the registry.
pub fn scan(image: &Image<'_>, target: Option<&str>, hashes: bool) -> Result<Scan, ImageError> {
    let mut scan = Scan {
        name: image.name.clone(),
        platform: image.platform.to_string(),
        arch: image.platform.architecture.clone(),
        target: target.map(str::to_owned),
        from_layers: !image.layers().is_empty(),
        has_manifest: image.has_manifest(),
        config: image.config.clone(),
        files: Files::new(),
        manifest: None,
        specs: Vec::new(),
        modules: Vec::new(),
        orphans: Vec::new(),
        opaque: Vec::new(),
        climbing_links: Vec::new(),
        system_map: None,
        builtin: None,
        found: Vec::new(),
    };
    let mut folders = BTreeSet::new();
    let mut buffer = Vec::new();
    let walked = image.walk(|entry, fate, body| {
        scan.entry(entry, fate, &mut folders);
        if fate == Fate::Kept && !entry.path.is_empty() {
            scan.creation(entry);
            let node = scan.node(entry, body, &mut buffer, hashes)?;
            scan.files.insert(entry.path.clone(), node);
        }
        Ok(Flow::Continue)
    });
    match walked {
        Ok(()) => Ok(scan),
        Err(error) if error.is_damage() => {
            scan.found.error(29, None, error.to_string());
            Ok(scan)
        }
        // A blob that an index or manifest names and that was never pushed.
        Err(error @ ImageError::Missing { .. }) => {
            scan.found.error(29, None, error.to_string());
            Ok(scan)
        }
        Err(error) => Err(error),
    }
}

impl Scan {
    /// What depends on the order of entries.
    fn entry(&mut self, entry: &Entry, fate: Fate, folders: &mut BTreeSet<String>) {
        let path = entry.path.as_str();
        if entry.climbs {
            self.found.error(33, Some(path), "its name has `..` in it");
        }
        match fate {
            Fate::Repeated if !entry.is_dir() => {
                self.found
                    .warning(27, Some(path), "the layer has it twice; the first is taken");
                return;
            }
            Fate::Covered => {
                self.found.warning(
                    37,
                    Some(path),
                    "it is below a file or a link of the same layer, and left out",
                );
                return;
            }
            Fate::Whiteout if entry.name() == OPAQUE => {
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                self.opaque.push(folder.to_owned());
                return;
            }
            Fate::Kept => {}
            _ => return,
        }
        if entry.is_dir() {
            let mut folder = path;
            while folders.insert(folder.to_owned()) {
                match folder.rsplit_once('/') {
                    Some((above, _)) => folder = above,
                    None => break,
                }
            }
        } else if let Some((folder, _)) = path.rsplit_once('/')
            && !folders.contains(folder)
        {
            self.orphans.push(path.to_owned());
        }
    }

    /// What stops the imager while it creates the file.
    fn creation(&mut self, entry: &Entry) {
        let path = entry.path.as_str();
        let mut error = |text: &str| self.found.error(36, Some(path), text);
        if path.split('/').any(|part| part.len() > LONGEST_NAME) {
            error("its name is longer than 255 bytes");
        }
        if let Kind::Symlink(to) = &entry.kind {
            if to.is_empty() {
                error("it is a link to nothing");
            }
            if to.len() >= LONGEST_PATH {
                error("it is a link to a path longer than 4095 bytes");
            }
            if climbs_out(&entry.written, to) {
                self.climbing_links.push(path.to_owned());
            }
        }
        // A folder may exist, and a layer may have the path twice under one name.
        if !entry.is_dir() && self.from_layers && self.files.contains_key(path) {
            self.found.error(
                36,
                Some(path),
                "it exists already: another entry of this path is written in another way",
            );
        }
    }

    fn node(
        &mut self,
        entry: &Entry,
        body: &mut dyn Read,
        buffer: &mut Vec<u8>,
        hashes: bool,
    ) -> io::Result<Node> {
        let mut node = Node {
            kind: entry.kind.clone(),
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            size: entry.size,
            capabilities: entry.capabilities,
            program: None,
            hash: None,
        };
        if !entry.is_file() {
            return Ok(node);
        }
        if hashes {
            let mut hashing = Hashing {
                inner: body,
                hash: hmac_sha256::Hash::new(),
            };
            self.read_content(entry, &mut node, &mut hashing, buffer)?;
            io::copy(&mut hashing, &mut io::sink())?;
            node.hash = Some(hashing.hash.finalize());
        } else {
            self.read_content(entry, &mut node, body, buffer)?;
        }
        Ok(node)
    }

    fn read_content(
        &mut self,
        entry: &Entry,
        node: &mut Node,
        body: &mut dyn Read,
        buffer: &mut Vec<u8>,
    ) -> io::Result<()> {
        let path = entry.path.as_str();
        if path == "manifest.yaml" {
            self.manifest = Some(self.text(entry, body, 2)?);
        } else if path.starts_with(SPECS) && ends_with(path, "yaml") {
            let text = self.text(entry, body, 15)?;
            self.specs.push((path.to_owned(), text));
        } else if path.starts_with(SBOMS) && path.ends_with(".spdx.json") {
            let parsed =
                serde_json::from_reader::<_, serde::de::IgnoredAny>(io::BufReader::new(body));
            if let Err(error) = parsed
                && !error.is_io()
            {
                self.found.warning(34, Some(path), error.to_string());
            }
        } else if path == "boot/System.map" && entry.size <= LARGEST_MAP {
            let mut map = Vec::new();
            body.read_to_end(&mut map)?;
            self.system_map = Some(map);
        } else if path.ends_with("/modules.builtin") && entry.size <= LARGEST_TEXT {
            let mut list = Vec::new();
            body.read_to_end(&mut list)?;
            self.builtin = Some(list);
        } else if path.contains("lib/modules/") && ends_with(path, "ko") {
            if entry.size > LARGEST_MODULE {
                self.found
                    .note(12, Some(path), "not checked: it is larger than 64 MiB");
                return Ok(());
            }
            buffer.clear();
            body.read_to_end(buffer)?;
            self.modules.push(ModuleFile {
                path: path.to_owned(),
                module: Module::parse(buffer),
                signature: module::of_module(buffer),
            });
        } else if path.starts_with(CONTAINERS) && entry.mode & 0o111 != 0 {
            buffer.clear();
            body.take(PROGRAM_START).read_to_end(buffer)?;
            node.program = Some(module::program(buffer));
        }
        Ok(())
    }

    fn text(&mut self, entry: &Entry, body: &mut dyn Read, number: u8) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        body.take(LARGEST_TEXT).read_to_end(&mut text)?;
        if entry.size > LARGEST_TEXT {
            self.found
                .error(number, Some(&entry.path), "it is larger than 1 MiB");
        }
        Ok(text)
    }
}

/// Whether a relative link leads above the root, by its text alone.
fn climbs_out(written: &str, to: &str) -> bool {
    let target = match written.rsplit_once('/') {
        Some((folder, _)) => clean_written(&format!("{folder}/{to}")),
        None => clean_written(to),
    };
    !to.starts_with('/') && target.starts_with("..")
}

/// As Go's `filepath.Ext` compares, with case.
fn ends_with(path: &str, extension: &str) -> bool {
    path.rsplit_once('.')
        .is_some_and(|(_, end)| end == extension)
}

/// Whether a path is below `rootfs`, and its place on the node.
pub(crate) fn on_node(path: &str) -> Option<&str> {
    path.strip_prefix("rootfs")
        .filter(|rest| rest.starts_with('/'))
}

/// Whether an entry is a file or link, which is what has to be allowed.
pub(crate) fn is_content(kind: &Kind) -> bool {
    *kind != Kind::Directory
}

struct Hashing<'a> {
    inner: &'a mut dyn Read,
    hash: hmac_sha256::Hash,
}

impl Read for Hashing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

impl Scan {
    /// Whether it was unpacked from layers, so that their order counts.
    pub(crate) fn has_layers(&self) -> bool {
        self.from_layers
    }
}

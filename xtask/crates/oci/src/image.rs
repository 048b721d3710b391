//! Images of every platform that a reference, a layout or an archive has.

use std::collections::BTreeMap;
use std::fmt;

use crate::digest::{Digest, Expected};
use crate::error::{ImageError, Result};
use crate::manifest::{Config, Descriptor, Document, Manifest, Platform, Saved, document, json};
use crate::reference::Reference;
use crate::store::{Blob, Files, Place, Store, Transport, Tree, tagged};

/// Maximum levels of nested indexes; images have two.
const DEPTH: usize = 4;
/// Maximum images of a layout or an index.
const MOST_IMAGES: usize = 100;

/// One image for one platform.
#[derive(Debug, Clone)]
pub struct Image<'a> {
    /// As in messages: a reference or a path.
    pub name: String,
    /// From the index, else from the configuration.
    pub platform: Platform,
    pub digest: Option<Digest>,
    /// `None` for a single layer, a folder, or if the blob is missing.
    pub config: Option<Config>,
    /// Of the manifest, and of the entry of the index.
    pub annotations: BTreeMap<String, String>,
    pub(crate) content: Content<'a>,
    pub(crate) repository: String,
}

#[derive(Clone)]
pub(crate) enum Content<'a> {
    Layers(Vec<Layer<'a>>),
    Tree(&'a dyn Tree),
}

impl fmt::Debug for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layers(layers) => layers.fmt(f),
            Self::Tree(_) => f.write_str("Tree"),
        }
    }
}

/// A layer: compressed by gzip or zstd, or not.
#[derive(Debug, Clone)]
pub struct Layer<'a> {
    pub media_type: String,
    pub size: Option<u64>,
    pub(crate) blob: Blob,
    pub(crate) store: Store<'a>,
}

impl Layer<'_> {
    /// `None` in docker's own archive form.
    pub fn digest(&self) -> Option<&Digest> {
        self.blob.expected.digest.as_ref()
    }
}

impl<'a> Image<'a> {
    /// Bottom first; none for an unpacked folder.
    pub fn layers(&self) -> &[Layer<'a>] {
        match &self.content {
            Content::Layers(layers) => layers,
            Content::Tree(_) => &[],
        }
    }

    /// Whether it is an image and not a bare folder or layer, which have no configuration.
    pub fn has_manifest(&self) -> bool {
        !matches!(&self.content, Content::Tree(_)) && !self.repository.starts_with(SINGLE)
    }
}

/// Marks a layer that stands alone; not the name of a repository.
const SINGLE: char = '\0';

/// The images of a reference.
///
/// # Errors
/// If the registry does not have it or cannot be reached, or if a manifest is invalid.
pub fn registry<'a>(transport: &'a dyn Transport, reference: &Reference) -> Result<Vec<Image<'a>>> {
    let bytes = tagged(
        transport,
        &reference.repository,
        &reference.manifest(),
        reference.digest.as_ref(),
    )?;
    let mut finder = Finder {
        store: Store::Registry(transport),
        repository: &reference.repository,
        name: reference.to_string(),
        found: Vec::new(),
    };
    let root = Digest::of(&bytes);
    finder.document(&bytes, &root, None, 0)?;
    Ok(finder.found)
}

/// The images of an OCI layout, in a folder or in an archive.
///
/// # Errors
/// If a file of it is missing or invalid.
pub fn layout<'a>(files: &'a dyn Files, name: &str) -> Result<Vec<Image<'a>>> {
    let store = Store::Files(files);
    let bytes = store.document("", &path("index.json"))?;
    let Document::Index(roots) = document("index.json", &bytes)? else {
        return Err(ImageError::invalid("index.json", "it is not an index"));
    };
    let mut finder = Finder {
        store,
        repository: "",
        name: name.to_owned(),
        found: Vec::new(),
    };
    finder.index(&roots, 0)?;
    Ok(finder.found)
}

/// The images of an archive in docker's own form, as the imager writes it.
///
/// # Errors
/// If a file of it is missing or invalid.
pub fn docker_archive<'a>(files: &'a dyn Files, name: &str) -> Result<Vec<Image<'a>>> {
    let store = Store::Files(files);
    let bytes = store.document("", &path("manifest.json"))?;
    let saved: Vec<Saved> = json("manifest.json", &bytes)?;
    if saved.len() > MOST_IMAGES {
        return Err(too_many(name));
    }
    let image = |image: Saved| {
        let config = match store.document("", &path(&image.config)) {
            Ok(bytes) => Some(json::<Config>(&image.config, &bytes)?),
            Err(ImageError::Missing { .. }) => None,
            Err(error) => return Err(error),
        };
        let layers = image.layers.iter().map(|place| Layer {
            media_type: String::new(),
            size: None,
            blob: path(place),
            store,
        });
        Ok(Image {
            name: match image.repo_tags.first() {
                Some(tag) => format!("{name} ({tag})"),
                None => name.to_owned(),
            },
            platform: config.as_ref().map(Config::platform).unwrap_or_default(),
            digest: None,
            config,
            annotations: BTreeMap::new(),
            content: Content::Layers(layers.collect()),
            repository: String::new(),
        })
    };
    saved.into_iter().map(image).collect()
}

/// A layer that stands alone, such as the output of `crane export`.
pub fn single_layer<'a>(files: &'a dyn Files, place: &str, name: &str) -> Image<'a> {
    let layer = Layer {
        media_type: String::new(),
        size: None,
        blob: Blob {
            place: Place::Path(place.to_owned()),
            expected: Expected::default(),
        },
        store: Store::Files(files),
    };
    bare(Content::Layers(vec![layer]), name)
}

/// An unpacked folder.
pub fn unpacked<'a>(tree: &'a dyn Tree, name: &str) -> Image<'a> {
    bare(Content::Tree(tree), name)
}

fn bare<'a>(content: Content<'a>, name: &str) -> Image<'a> {
    Image {
        name: name.to_owned(),
        platform: Platform::default(),
        digest: None,
        config: None,
        annotations: BTreeMap::new(),
        content,
        repository: SINGLE.to_string(),
    }
}

/// A blob of docker's archive. Builders name it by its digest, in one of three forms.
fn path(place: &str) -> Blob {
    let name = place.rsplit('/').next().unwrap_or_default();
    // `.tar.gz` are go-containerregistry's layers; docker's own `HEX/layer.tar` is
    // another hash.
    let hex = place
        .strip_prefix("blobs/sha256/")
        .or_else(|| name.strip_suffix(".tar.gz"))
        .or_else(|| name.strip_prefix("sha256:"))
        .or_else(|| name.strip_suffix(".json"));
    Blob {
        place: Place::Path(place.to_owned()),
        expected: Expected {
            digest: hex.and_then(Digest::from_hex),
            size: None,
        },
    }
}

fn too_many(name: &str) -> ImageError {
    ImageError::Limit {
        what: name.to_owned(),
        limit: format!("{MOST_IMAGES} images"),
    }
}

struct Finder<'a, 'r> {
    store: Store<'a>,
    repository: &'r str,
    name: String,
    found: Vec<Image<'a>>,
}

impl Finder<'_, '_> {
    fn index(&mut self, manifests: &[Descriptor], depth: usize) -> Result<()> {
        if depth > DEPTH {
            return Err(ImageError::Limit {
                what: self.name.clone(),
                limit: format!("{DEPTH} nested indexes"),
            });
        }
        for entry in manifests.iter().filter(|entry| !entry.is_attestation()) {
            let blob = Blob::by_digest(&entry.digest, entry.size);
            let bytes = self.store.manifest(self.repository, &blob)?;
            self.document(&bytes, &entry.digest, Some(entry), depth)?;
        }
        Ok(())
    }

    fn document(
        &mut self,
        bytes: &[u8],
        digest: &Digest,
        entry: Option<&Descriptor>,
        depth: usize,
    ) -> Result<()> {
        // The digest of a page that is not a manifest tells nothing.
        let what = match entry {
            Some(_) => format!("manifest {digest}"),
            None => format!("manifest of {}", self.name),
        };
        match document(&what, bytes)? {
            Document::Index(manifests) => self.index(&manifests, depth + 1),
            Document::Manifest(manifest) => self.manifest(*manifest, digest, entry),
        }
    }

    fn manifest(
        &mut self,
        manifest: Manifest,
        digest: &Digest,
        entry: Option<&Descriptor>,
    ) -> Result<()> {
        if self.found.len() >= MOST_IMAGES {
            return Err(too_many(&self.name));
        }
        let config = Blob::by_digest(&manifest.config.digest, manifest.config.size);
        let config = match self.store.document(self.repository, &config) {
            Ok(bytes) => Some(json::<Config>("configuration", &bytes)?),
            // The imager does not read it.
            Err(ImageError::Missing { .. }) => None,
            Err(error) => return Err(error),
        };
        let layers = manifest.layers.into_iter().map(|layer| Layer {
            blob: Blob::by_digest(&layer.digest, layer.size),
            media_type: layer.media_type,
            size: layer.size,
            store: self.store,
        });
        let platform = entry
            .and_then(|entry| entry.platform.clone())
            .or_else(|| config.as_ref().map(Config::platform));
        let mut annotations = manifest.annotations;
        annotations.extend(entry.iter().flat_map(|entry| entry.annotations.clone()));
        self.found.push(Image {
            name: self.name.clone(),
            platform: platform.unwrap_or_default(),
            digest: Some(digest.clone()),
            config,
            annotations,
            content: Content::Layers(layers.collect()),
            repository: self.repository.to_owned(),
        });
        Ok(())
    }
}

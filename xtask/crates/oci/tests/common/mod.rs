//! Small images made in memory: tar, gzip, zstd, layouts, archives, a registry.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test uses a part"
)]

pub mod module;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Write};

use oci::{Digest, Entry, Files, Request, Response, Transport, Tree};
use serde_json::{Value, json};

/// Files in memory.
#[derive(Debug, Clone, Default)]
pub struct Memory(pub BTreeMap<String, Vec<u8>>);

impl Files for Memory {
    fn open(&self, path: &str) -> io::Result<Option<Box<dyn Read + '_>>> {
        let file = self.0.get(path);
        Ok(file.map(|bytes| Box::new(&bytes[..]) as Box<dyn Read>))
    }
}

impl Memory {
    pub fn blob(&mut self, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        self.0
            .insert(format!("blobs/sha256/{}", digest.hex()), bytes.to_vec());
        json!({"digest": digest.to_string(), "size": bytes.len()})
    }

    /// Replaces a blob's bytes and keeps its name.
    pub fn damage(&mut self, blob: &Value, change: impl FnOnce(&mut Vec<u8>)) {
        let digest = Digest::parse(blob["digest"].as_str().unwrap()).unwrap();
        change(
            self.0
                .get_mut(&format!("blobs/sha256/{}", digest.hex()))
                .unwrap(),
        );
    }

    /// A tar archive of the files.
    pub fn archive(&self) -> Cursor<Vec<u8>> {
        let mut tar = Tar::default();
        for (path, bytes) in &self.0 {
            tar.file(path, bytes);
        }
        Cursor::new(tar.finish())
    }
}

/// A registry that has the blobs of a layout and one tag.
pub struct Registry {
    pub files: Memory,
    pub repository: String,
    pub tag: Vec<u8>,
    pub requests: RefCell<Vec<String>>,
}

impl Transport for Registry {
    fn address(&self) -> &'static str {
        "127.0.0.1:5005"
    }

    fn get(&self, request: Request<'_>) -> Result<Response<'_>, String> {
        self.requests.borrow_mut().push(request.path.to_owned());
        let path = request.path.strip_prefix("/v2/").unwrap();
        let path = path.strip_prefix(&self.repository).unwrap();
        let found: Option<&[u8]> = if path == "/manifests/v1" {
            Some(&self.tag)
        } else {
            let (_, hex) = path.split_once("sha256:").unwrap();
            let blob = self.files.0.get(&format!("blobs/sha256/{hex}"));
            blob.map(|it| &it[..])
        };
        Ok(Response {
            status: if found.is_some() { 200 } else { 404 },
            content_type: "application/octet-stream".into(),
            body: Box::new(found.unwrap_or_default()),
        })
    }
}

/// A tar archive in the making.
pub struct Tar(tar::Builder<Vec<u8>>);

impl Default for Tar {
    fn default() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }
}

impl Tar {
    pub fn header(kind: tar::EntryType, mode: u32, size: usize) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(size as u64);
        header
    }

    pub fn add(&mut self, mut header: tar::Header, path: &str, bytes: &[u8]) -> &mut Self {
        self.0.append_data(&mut header, path, bytes).unwrap();
        self
    }

    /// With a name as it is, `..` and all.
    pub fn add_raw(&mut self, mut header: tar::Header, path: &str, bytes: &[u8]) -> &mut Self {
        let name = &mut header.as_old_mut().name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        self.0.append(&header, bytes).unwrap();
        self
    }

    pub fn file(&mut self, path: &str, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        self.add(
            Self::header(tar::EntryType::Regular, 0o644, bytes.len()),
            path,
            bytes,
        )
    }

    pub fn program(&mut self, path: &str, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        self.add(
            Self::header(tar::EntryType::Regular, 0o755, bytes.len()),
            path,
            bytes,
        )
    }

    pub fn dir(&mut self, path: &str) -> &mut Self {
        self.add(Self::header(tar::EntryType::Directory, 0o755, 0), path, b"")
    }

    /// A folder and all above it.
    pub fn dirs(&mut self, path: &str) -> &mut Self {
        for (at, _) in path.match_indices('/') {
            self.dir(&path[..at]);
        }
        self.dir(path)
    }

    pub fn link(&mut self, kind: tar::EntryType, path: &str, to: &str) -> &mut Self {
        let mut header = Self::header(kind, 0o777, 0);
        self.0.append_link(&mut header, path, to).unwrap();
        self
    }

    pub fn symlink(&mut self, path: &str, to: &str) -> &mut Self {
        self.link(tar::EntryType::Symlink, path, to)
    }

    pub fn pax(&mut self, records: &[(&str, &[u8])]) -> &mut Self {
        self.0
            .append_pax_extensions(records.iter().copied())
            .unwrap();
        self
    }

    pub fn finish(&mut self) -> Vec<u8> {
        self.0.finish().unwrap();
        self.0.get_ref().clone()
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// A manifest of `layers` for `architecture`, and its descriptor in an index.
pub fn image(files: &mut Memory, architecture: &str, layers: &[Vec<u8>]) -> (Value, Vec<Value>) {
    let config = json!({
        "architecture": architecture, "os": "linux",
        "config": {"Labels": {"org.opencontainers.image.source": "https://example.com"}},
        "rootfs": {"type": "layers", "diff_ids": []},
    });
    let mut config = files.blob(config.to_string().as_bytes());
    config["mediaType"] = "application/vnd.oci.image.config.v1+json".into();
    let layers: Vec<Value> = layers
        .iter()
        .map(|layer| {
            let mut layer = files.blob(layer);
            layer["mediaType"] = "application/vnd.oci.image.layer.v1.tar+gzip".into();
            layer
        })
        .collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": layers,
    });
    let mut descriptor = files.blob(manifest.to_string().as_bytes());
    descriptor["mediaType"] = "application/vnd.oci.image.manifest.v1+json".into();
    descriptor["platform"] = json!({"os": "linux", "architecture": architecture});
    (descriptor, layers)
}

/// Completes a layout of these images.
pub fn layout(files: &mut Memory, manifests: &[Value]) -> Vec<u8> {
    let index = json!({"schemaVersion": 2, "manifests": manifests}).to_string();
    files.0.insert("index.json".into(), index.clone().into());
    files.0.insert(
        "oci-layout".into(),
        br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(),
    );
    index.into_bytes()
}

/// An unpacked folder in memory.
pub struct Unpacked(pub Vec<(Entry, Vec<u8>)>);

impl Tree for Unpacked {
    fn walk(
        &self,
        each: &mut dyn FnMut(&Entry, &mut dyn Read) -> io::Result<()>,
    ) -> io::Result<()> {
        self.0
            .iter()
            .try_for_each(|(entry, bytes)| each(entry, &mut &bytes[..]))
    }
}

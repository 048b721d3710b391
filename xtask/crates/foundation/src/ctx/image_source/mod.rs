//! Images by what a user types: a reference in a registry, a folder or an archive.
//! Read-only; the engine is the crate `oci`.

mod folder;
mod http;

use std::fs::File;
use std::io::Read;

use camino::{Utf8Path, Utf8PathBuf};
use oci::{Archive, Image, ImageError, Reference};

use crate::failure::{Exit, Failure, Result};
use crate::files;
use folder::Folder;
use http::Http;

/// Where an image is. Its images borrow from it.
#[derive(Debug)]
pub struct ImageSource {
    /// As the user typed it.
    pub name: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Registry(Http, Reference),
    Layout(Folder),
    /// With whether it has docker's own form.
    Archive(Archive<File>, bool),
    /// A folder and the name of a layer in it.
    Layer(Folder, String),
    Unpacked(Folder),
}

impl ImageSource {
    /// Opens `word`: an existing path, or else a reference. No layer is read.
    ///
    /// # Errors
    /// If it is neither, or a file is not an archive that can be read.
    pub fn open(cwd: &Utf8Path, word: &str) -> Result<Self> {
        let path = cwd.join(word);
        let place = match std::fs::metadata(&path) {
            Ok(found) if found.is_dir() => {
                let is_layout = path.join("index.json").is_file();
                let folder = Folder(path);
                if is_layout {
                    Place::Layout(folder)
                } else {
                    Place::Unpacked(folder)
                }
            }
            Ok(_) => open_file(&path, word)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => open_registry(word)?,
            Err(error) => {
                return Err(Failure::host(format!("cannot read `{word}`")).cause(error));
            }
        };
        Ok(Self {
            name: word.to_owned(),
            place,
        })
    }

    /// The images of every platform.
    ///
    /// # Errors
    /// If a manifest cannot be read.
    pub fn images(&self) -> oci::Result<Vec<Image<'_>>> {
        match &self.place {
            Place::Registry(http, reference) => oci::registry(http, reference),
            Place::Layout(folder) => oci::layout(folder, &self.name),
            Place::Archive(archive, true) => oci::docker_archive(archive, &self.name),
            Place::Archive(archive, false) => oci::layout(archive, &self.name),
            Place::Layer(folder, file) => Ok(vec![oci::single_layer(folder, file, &self.name)]),
            Place::Unpacked(folder) => Ok(vec![oci::unpacked(folder, &self.name)]),
        }
    }

    /// The name of the target that made the image, if a reference tells it.
    pub fn target(&self) -> Option<&str> {
        match &self.place {
            Place::Registry(_, reference) => Some(reference.name()),
            _ => None,
        }
    }
}

fn open_registry(word: &str) -> Result<Place> {
    // As in docker's command lines, a path begins so.
    if word.starts_with(['/', '.']) {
        return Err(Failure::usage(format!("`{word}` does not exist")));
    }
    let reference = Reference::parse(word).map_err(|reason| {
        Failure::usage(format!("`{word}` is neither a path nor a reference")).cause(reason)
    })?;
    let http = Http::new(&reference.registry).map_err(|reason| {
        Failure::host(format!("cannot read `{word}`"))
            .cause(reason)
            .hint(format!(
                "skopeo copy docker://{} oci:image; then name the folder `image`",
                crate::shell::quote(word)
            ))
    })?;
    Ok(Place::Registry(http, reference))
}

fn open_file(path: &Utf8PathBuf, word: &str) -> Result<Place> {
    let failed = |reason: &dyn std::fmt::Display| {
        Failure::host(format!("cannot read `{word}`")).cause(reason)
    };
    let file = files::open(path).map_err(|error| failed(&error))?;
    let file = file.ok_or_else(|| failed(&"it does not exist any more"))?;
    let mut start = [0; 6];
    let mut limited = (&file).take(6);
    let read = limited.read(&mut start).map_err(|error| failed(&error))?;
    let name = path.file_name().unwrap_or_default().to_owned();
    let folder = Folder(path.parent().unwrap_or(path).to_owned());
    let is_compressed = [&b"\x1f\x8b"[..], b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0"]
        .iter()
        .any(|magic| start[..read].starts_with(magic));
    if is_compressed {
        if is_image(&folder, &name) {
            return Err(failed(&"it is a compressed archive of an image")
                .hint("unpack it first: `gunzip` or `unzstd`"));
        }
        return Ok(Place::Layer(folder, name));
    }
    // Positions are counted from the start.
    let reopened = files::open(path).map_err(|error| failed(&error))?;
    let reopened = reopened.ok_or_else(|| failed(&"it does not exist any more"))?;
    let archive = Archive::open(word, reopened).map_err(|error| failed(&error))?;
    if archive.has("oci-layout") && archive.has("index.json") {
        Ok(Place::Archive(archive, false))
    } else if archive.has("manifest.json") {
        Ok(Place::Archive(archive, true))
    } else {
        Ok(Place::Layer(folder, name))
    }
}

/// Whether a compressed file contains an image and not a layer.
fn is_image(folder: &Folder, name: &str) -> bool {
    let mut found = false;
    let layer = oci::single_layer(folder, name, name);
    // Damage is reported when the layer is read.
    let _ = layer.walk(|entry, _, _| {
        found |= ["manifest.json", "oci-layout"].contains(&entry.path.as_str());
        let is_blob = entry.path.starts_with("blobs") || entry.path.len() >= 64;
        let goes_on = !found && (is_blob || entry.path == "index.json");
        Ok(if goes_on {
            oci::Flow::Continue
        } else {
            oci::Flow::Stop
        })
    });
    found
}

/// What a user reads when an image cannot be read.
pub fn failure(name: &str, error: &ImageError) -> Failure {
    let exit = match error {
        ImageError::Registry { .. } | ImageError::Io { .. } | ImageError::Missing { .. } => {
            Exit::HostNotReady
        }
        _ => Exit::Checks,
    };
    Failure::new(exit, format!("cannot read the image `{name}`")).cause(error)
}

//! The files of an image as the imager sees them: layers from the top down, the first
//! entry of a path wins, whiteouts hide what is below.
//!
//! This is the order and the rule of go-containerregistry's `mutate.Extract`, through
//! which Talos pulls: a file may come before the directory that contains it.

use std::collections::HashMap;
use std::io::{self, Read};

use crate::entry::{Entry, Kind};
use crate::error::{Cause, ImageError, Result};
use crate::image::{Content, Image, Layer};
use crate::layer::Unpacked;
use crate::tar_stream;

const WHITEOUT: &str = ".wh.";
/// Limits for what is remembered of an image.
const MOST_ENTRIES: usize = 1_000_000;
const MOST_PATH_BYTES: usize = 64 << 20;

/// What becomes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is unpacked.
    Kept,
    /// The same layer has an earlier entry of this path.
    Repeated,
    /// A layer above has the path, or deletes it.
    Hidden,
    /// It is below a file or a link of the same layer, and left out.
    Covered,
    /// It deletes a path of the layers below.
    Whiteout,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Continue,
    /// The rest is neither read nor verified.
    Stop,
}

#[derive(Clone, Copy)]
struct Seen {
    layer: usize,
    /// Hides what lower layers have below the path.
    ends: bool,
}

impl Image<'_> {
    /// Passes every entry of every layer with its content and its fate.
    ///
    /// # Errors
    /// If a layer is damaged or cannot be read; entries before that were passed.
    pub fn walk(
        &self,
        mut each: impl FnMut(&Entry, Fate, &mut dyn Read) -> io::Result<Flow>,
    ) -> Result<()> {
        let mut stopped = false;
        match &self.content {
            Content::Tree(tree) => {
                let read = tree.walk(&mut |entry, body| {
                    if stopped || each(entry, Fate::Kept, body)? == Flow::Stop {
                        stopped = true;
                    }
                    Ok(())
                });
                read.map_err(|error| ImageError::io(self.name.clone(), &error))
            }
            Content::Layers(layers) => {
                let mut seen = HashMap::new();
                let mut bytes = 0;
                for (index, layer) in layers.iter().enumerate().rev() {
                    self.walk_layer(index, layer, |entry, body| {
                        bytes += entry.path.len();
                        if seen.len() >= MOST_ENTRIES || bytes > MOST_PATH_BYTES {
                            return Err(io::Error::other("it has more than a million entries"));
                        }
                        let fate = fate(&mut seen, entry);
                        let flow = each(entry, fate, body)?;
                        stopped = flow == Flow::Stop;
                        Ok(flow)
                    })?;
                    if stopped {
                        break;
                    }
                }
                Ok(())
            }
        }
    }

    fn walk_layer(
        &self,
        index: usize,
        layer: &Layer,
        mut each: impl FnMut(&Entry, &mut dyn Read) -> io::Result<Flow>,
    ) -> Result<()> {
        let cause = Cause::default();
        let what = format!("layer {index} ({})", layer.blob.name());
        let blob = layer.store.open(&self.repository, &layer.blob, &cause)?;
        let mut unpacked = Unpacked::new(Box::new(blob), &what, &cause)?;
        let mut archive = tar::Archive::new(&mut unpacked);
        let mut stopped = false;
        let mut last = String::new();
        let read = archive.entries().and_then(|entries| {
            tar_stream::entries(entries, index, |entry, _, body| {
                last.clone_from(&entry.path);
                if each(entry, body)? == Flow::Stop {
                    stopped = true;
                    // Leaves the loop of the archive.
                    return Err(io::ErrorKind::Interrupted.into());
                }
                Ok(())
            })
        });
        if stopped {
            return Ok(());
        }
        read.and_then(|()| unpacked.finish()).map_err(|error| {
            cause.or_else(|| {
                let after = if last.is_empty() {
                    String::new()
                } else {
                    format!(", after the entry `{last}`")
                };
                ImageError::invalid(what.clone(), format!("not a tar archive: {error}{after}"))
            })
        })
    }
}

fn fate(seen: &mut HashMap<String, Seen>, entry: &Entry) -> Fate {
    // `.wh..wh..opq`, which should hide its whole folder, is to the imager's library the
    // whiteout of a file `.wh..opq` (until Talos 1.13).
    let whiteout = entry.name().strip_prefix(WHITEOUT);
    let path = match whiteout.filter(|_| !entry.is_dir()) {
        Some(name) => match entry.written.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/{name}"),
            None => name.to_owned(),
        },
        None => entry.written.clone(),
    };
    if let Some(earlier) = seen.get(&path) {
        return if earlier.layer == entry.layer {
            Fate::Repeated
        } else {
            Fate::Hidden
        };
    }
    let mut above = path.as_str();
    while let Some((folder, _)) = above.rsplit_once('/') {
        if let Some(covering) = seen.get(folder).filter(|it| it.ends) {
            return if covering.layer == entry.layer {
                Fate::Covered
            } else {
                Fate::Hidden
            };
        }
        above = folder;
    }
    let ends = whiteout.is_some() || entry.kind != Kind::Directory;
    seen.insert(
        path,
        Seen {
            layer: entry.layer,
            ends,
        },
    );
    if whiteout.is_some() {
        Fate::Whiteout
    } else {
        Fate::Kept
    }
}

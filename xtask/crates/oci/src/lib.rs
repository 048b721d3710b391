//! Container images without unpacking them: from a registry, an OCI layout, docker's or
//! an OCI archive, one layer, or an unpacked folder; and a lint of Talos' system extensions.
//!
//! Layers are streamed: nothing is written to disk, and memory does not grow with a
//! layer. Digests, sizes and the trailers of compressed streams are verified on the way.
//!
//! The crate starts no process and opens no file and no socket: both come through
//! [`Files`], [`Tree`] and [`Transport`].

mod archive;
mod digest;
mod entry;
mod error;
mod image;
mod layer;
pub mod lint;
mod manifest;
pub mod module;
pub mod names;
mod reference;
mod store;
mod tar_stream;
mod walk;

pub use archive::Archive;
pub use digest::Digest;
pub use entry::{Entry, Kind};
pub use error::{ImageError, Result};
pub use image::{Image, Layer, docker_archive, layout, registry, single_layer, unpacked};
pub use manifest::{ACCEPT, Config, Descriptor, Manifest, Platform, Process};
pub use reference::Reference;
pub use store::{Files, Request, Response, Transport, Tree};
pub use walk::{Fate, Flow};

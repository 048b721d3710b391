//! Where the blobs of an image come from.

use std::fmt;
use std::io::{self, Read};

use crate::digest::{Digest, Expected, Verified};
use crate::entry::Entry;
use crate::error::{Cause, ImageError, Result};
use crate::manifest::ACCEPT;

/// Largest manifest, index or configuration in bytes. The registry's limit for a
/// manifest is four million.
const LARGEST_DOCUMENT: u64 = 4 << 20;

/// Files of a folder or an archive, by path with `/` below it.
pub trait Files {
    /// The content of a regular file; `None` if it does not exist.
    ///
    /// # Errors
    /// Those of the file system.
    fn open(&self, path: &str) -> io::Result<Option<Box<dyn Read + '_>>>;
}

/// An unpacked image.
pub trait Tree {
    /// Passes every entry below the folder, each directory before what is in it.
    ///
    /// # Errors
    /// Those of the file system, and of `each`.
    fn walk(&self, each: &mut dyn FnMut(&Entry, &mut dyn Read) -> io::Result<()>)
    -> io::Result<()>;
}

/// A request to a registry.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `/v2/…`
    pub path: &'a str,
    pub accept: Option<&'a str>,
    /// Expected bytes of the response, for its time limit.
    pub size: u64,
}

/// A registry's response.
#[expect(missing_debug_implementations, reason = "readers have none")]
pub struct Response<'a> {
    pub status: u16,
    pub content_type: String,
    pub body: Box<dyn Read + 'a>,
}

/// HTTP to one registry.
pub trait Transport {
    /// `HOST:PORT`, for messages.
    fn address(&self) -> &str;

    /// # Errors
    /// The reason as text. A status other than 200 is not an error.
    fn get(&self, request: Request<'_>) -> std::result::Result<Response<'_>, String>;
}

/// One blob.
#[derive(Debug, Clone)]
pub(crate) struct Blob {
    pub(crate) place: Place,
    pub(crate) expected: Expected,
}

#[derive(Debug, Clone)]
pub(crate) enum Place {
    Digest(Digest),
    /// A path in docker's archive, or of a layer that stands alone.
    Path(String),
}

impl Blob {
    pub(crate) fn by_digest(digest: &Digest, size: Option<u64>) -> Self {
        Self {
            place: Place::Digest(digest.clone()),
            expected: Expected {
                digest: Some(digest.clone()),
                size,
            },
        }
    }

    /// As in messages.
    pub(crate) fn name(&self) -> String {
        match &self.place {
            Place::Digest(digest) => format!("blob {digest}"),
            Place::Path(path) => path.clone(),
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Store<'a> {
    Files(&'a dyn Files),
    Registry(&'a dyn Transport),
}

impl fmt::Debug for Store<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(_) => f.write_str("Files"),
            Self::Registry(transport) => f
                .debug_tuple("Registry")
                .field(&transport.address())
                .finish(),
        }
    }
}

impl<'a> Store<'a> {
    /// A blob's bytes, verified at their end. `repository` is for registries.
    pub(crate) fn open(
        self,
        repository: &str,
        blob: &Blob,
        cause: &Cause,
    ) -> Result<Verified<Box<dyn Read + 'a>>> {
        let what = blob.name();
        let reader = match (self, &blob.place) {
            (Self::Files(files), place) => {
                let path = match place {
                    Place::Digest(digest) => format!("blobs/sha256/{}", digest.hex()),
                    Place::Path(path) => path.clone(),
                };
                let file = files
                    .open(&path)
                    .map_err(|error| ImageError::io(path.clone(), &error))?;
                file.ok_or_else(|| ImageError::missing(what.clone()))?
            }
            (Self::Registry(transport), Place::Digest(digest)) => {
                let size = blob.expected.size.unwrap_or(LARGEST_DOCUMENT);
                let path = format!("/v2/{repository}/blobs/{digest}");
                get(transport, &path, None, size, &what)?
            }
            (Self::Registry(_), Place::Path(_)) => return Err(ImageError::missing(what)),
        };
        Ok(Verified::new(
            reader,
            what,
            blob.expected.clone(),
            cause.clone(),
        ))
    }

    /// A small blob as a whole.
    pub(crate) fn document(self, repository: &str, blob: &Blob) -> Result<Vec<u8>> {
        let cause = Cause::default();
        let reader = self.open(repository, blob, &cause)?;
        read_document(reader, &blob.name(), &cause)
    }

    /// A manifest or an index; a registry has them at a place of their own.
    pub(crate) fn manifest(self, repository: &str, blob: &Blob) -> Result<Vec<u8>> {
        match (self, &blob.place) {
            (Self::Registry(transport), Place::Digest(digest)) => {
                tagged(transport, repository, &digest.to_string(), Some(digest))
            }
            _ => self.document(repository, blob),
        }
    }
}

/// The manifest that a tag or a digest refers to.
pub(crate) fn tagged(
    transport: &dyn Transport,
    repository: &str,
    reference: &str,
    digest: Option<&Digest>,
) -> Result<Vec<u8>> {
    let what = match digest {
        Some(digest) => format!("manifest {digest}"),
        None => format!("manifest of {repository}:{reference}"),
    };
    let path = format!("/v2/{repository}/manifests/{reference}");
    let body = get(transport, &path, Some(ACCEPT), LARGEST_DOCUMENT, &what)?;
    let cause = Cause::default();
    let expected = Expected {
        digest: digest.cloned(),
        size: None,
    };
    let reader = Verified::new(body, what.clone(), expected, cause.clone());
    read_document(reader, &what, &cause)
}

fn read_document(reader: impl Read, what: &str, cause: &Cause) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut limited = reader.take(LARGEST_DOCUMENT + 1);
    limited
        .read_to_end(&mut bytes)
        .map_err(|error| cause.or_else(|| ImageError::io(what, &error)))?;
    if bytes.len() as u64 > LARGEST_DOCUMENT {
        return Err(ImageError::Limit {
            what: what.into(),
            limit: "4 MiB".into(),
        });
    }
    Ok(bytes)
}

fn get<'a>(
    transport: &'a dyn Transport,
    path: &str,
    accept: Option<&str>,
    size: u64,
    what: &str,
) -> Result<Box<dyn Read + 'a>> {
    let failed = |reason: String| ImageError::Registry {
        address: transport.address().to_owned(),
        reason: format!("{what}: {reason}"),
    };
    let request = Request { path, accept, size };
    let response = transport.get(request).map_err(&failed)?;
    match response.status {
        // Proxies and login pages; a blob's own type is whatever was pushed.
        200 if response.content_type.starts_with("text/html") => {
            Err(ImageError::Html { what: what.into() })
        }
        200 => Ok(response.body),
        401 | 403 => Err(failed("the registry requires a login".into())),
        404 => Err(failed("the registry does not have it".into())),
        429 => Err(failed("the registry refuses more requests for now".into())),
        status => Err(failed(format!("the registry responded with {status}"))),
    }
}

//! An uncompressed archive of docker or of an OCI layout: read once for the places of
//! its files, then each file where it is.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};

use crate::entry::Kind;
use crate::error::{ImageError, Result};
use crate::store::Files;
use crate::tar_stream;

/// Maximum number of files: an archive has a few for each layer.
const MOST_FILES: usize = 100_000;

/// An archive with the place of each regular file.
pub struct Archive<R> {
    reader: RefCell<R>,
    files: BTreeMap<String, (u64, u64)>,
}

impl<R> fmt::Debug for Archive<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl<R: Read + Seek> Archive<R> {
    /// Reads the headers.
    ///
    /// # Errors
    /// If it is not an uncompressed tar archive, or has more files than any image.
    pub fn open(what: &str, mut reader: R) -> Result<Self> {
        let mut files: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        let mut links: Vec<(String, String)> = Vec::new();
        let mut archive = tar::Archive::new(&mut reader);
        let entries = archive.entries_with_seek();
        let read = entries.and_then(|entries| {
            tar_stream::entries(entries, 0, |entry, position, _| {
                if files.len() + links.len() > MOST_FILES {
                    return Err(io::Error::other("it has more than 100000 files"));
                }
                match &entry.kind {
                    Kind::File => drop(files.insert(entry.path.clone(), (position, entry.size))),
                    // Docker saves a layer that two images share as a link.
                    Kind::Symlink(to) | Kind::HardLink(to) => {
                        links.push((entry.path.clone(), to.clone()));
                    }
                    _ => {}
                }
                Ok(())
            })
        });
        read.map_err(|error| ImageError::invalid(what, error.to_string()))?;
        for (from, to) in links {
            let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
            let (beside, _) = crate::entry::clean(&format!("{folder}/{to}"));
            if let Some(place) = files.get(&beside).or_else(|| files.get(&to)).copied() {
                files.insert(from, place);
            }
        }
        Ok(Self {
            reader: RefCell::new(reader),
            files,
        })
    }

    pub fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }
}

impl<R: Read + Seek> Files for Archive<R> {
    fn open(&self, path: &str) -> io::Result<Option<Box<dyn Read + '_>>> {
        Ok(self.files.get(path).map(|&(at, left)| {
            let section = Section {
                archive: self,
                at,
                left,
            };
            Box::new(section) as Box<dyn Read + '_>
        }))
    }
}

struct Section<'a, R> {
    archive: &'a Archive<R>,
    at: u64,
    left: u64,
}

impl<R: Read + Seek> Read for Section<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if wanted == 0 {
            return Ok(0);
        }
        // Another file may have been read meanwhile.
        let mut reader = self.archive.reader.borrow_mut();
        reader.seek(SeekFrom::Start(self.at))?;
        let read = reader.read(&mut buffer[..wanted])?;
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

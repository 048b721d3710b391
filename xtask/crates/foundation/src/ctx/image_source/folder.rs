//! A folder as a source of images: blobs of an OCI layout, or unpacked files.

use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use camino::{Utf8Path, Utf8PathBuf};
use oci::{Entry, Files, Kind, Tree};

use crate::files;

#[derive(Debug)]
pub(super) struct Folder(pub(super) Utf8PathBuf);

impl Files for Folder {
    fn open(&self, path: &str) -> io::Result<Option<Box<dyn Read + '_>>> {
        let file = files::open(&self.0.join(path))?;
        Ok(file.map(|file| Box::new(file) as Box<dyn Read>))
    }
}

impl Tree for Folder {
    fn walk(
        &self,
        each: &mut dyn FnMut(&Entry, &mut dyn Read) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut left = vec![String::new()];
        while let Some(below) = left.pop() {
            let path = self.0.join(&below);
            let entry = entry(&path, &below)?;
            if entry.is_dir() {
                let names = path.read_dir_utf8()?.map(|found| {
                    let name = found?.file_name().to_owned();
                    Ok(if below.is_empty() {
                        name
                    } else {
                        format!("{below}/{name}")
                    })
                });
                let mut names: Vec<String> = names.collect::<io::Result<_>>()?;
                names.sort_unstable_by(|a, b| b.cmp(a));
                left.extend(names);
            }
            if below.is_empty() {
                continue;
            }
            if entry.is_file() {
                let file = files::open(&path)?.ok_or(io::ErrorKind::NotFound)?;
                each(&entry, &mut &file)?;
            } else {
                each(&entry, &mut io::empty())?;
            }
        }
        Ok(())
    }
}

fn entry(path: &Utf8Path, below: &str) -> io::Result<Entry> {
    let found = path.symlink_metadata()?;
    let kind = found.file_type();
    let kind = if kind.is_dir() {
        Kind::Directory
    } else if kind.is_symlink() {
        Kind::Symlink(path.read_link_utf8()?.into_string())
    } else if kind.is_fifo() {
        Kind::Fifo
    } else if kind.is_socket() {
        Kind::Socket
    } else if kind.is_file() {
        Kind::File
    } else {
        Kind::Device
    };
    Ok(Entry {
        path: below.to_owned(),
        written: below.to_owned(),
        size: if kind == Kind::File { found.size() } else { 0 },
        kind,
        mode: found.mode() & 0o7777,
        // Of the user who unpacked it, not of the image.
        uid: 0,
        gid: 0,
        capabilities: false,
        climbs: false,
        layer: 0,
    })
}

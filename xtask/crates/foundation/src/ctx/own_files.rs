//! Opens and reads files of this program in the state and the cache folder. As
//! root with another user's HOME these folders belong to that user, who may have
//! replaced anything in them by a link. So the path is opened folder by folder,
//! and only links of the current user or root are followed; below this program's
//! folder none.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsFd, OwnedFd};

use camino::{Utf8Component, Utf8Path};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::dirs::OURS;
use crate::files::{self, FOLDER};

/// The system's limit of links.
const MOST_LINKS: usize = 40;

/// How a file is opened: a device must neither block nor become the terminal.
pub(crate) const FILE: OFlags = OFlags::NOFOLLOW
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// Whether this is below this program's folder.
pub(crate) fn is_ours(path: &Utf8Path) -> bool {
    path.parent()
        .is_some_and(|parent| parent.components().any(|part| part.as_str() == OURS))
}

/// Reads a file; `None` if it does not exist.
///
/// # Errors
/// I/O errors; also if it is a link, not a regular file, or larger than `limit`.
pub fn read(path: &Utf8Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let Some(file) = open_to_read(path)? else {
        return Ok(None);
    };
    files::read_all(&file, limit).map(Some)
}

/// Opens a file for reading; `None` if it does not exist.
///
/// # Errors
/// I/O errors; also if it is a link or not a regular file.
pub fn open_to_read(path: &Utf8Path) -> Result<Option<File>> {
    let opened = split(path, None).and_then(|(parent, name)| {
        must_be_file(&parent, name)?;
        let flags = OFlags::RDONLY | FILE;
        Ok(rustix::fs::openat(&parent, name, flags, Mode::empty())?)
    });
    let file = match opened {
        Ok(file) => File::from(file),
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    is_file(&file)?;
    Ok(Some(file))
}

/// Opening a device may have an effect, so check the type first.
pub(crate) fn must_be_file(parent: &OwnedFd, name: &str) -> Result<()> {
    let found = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    match FileType::from_raw_mode(found.st_mode) {
        FileType::Symlink => Err(is_link(name)),
        kind => files::must_be_file(kind),
    }
}

/// Checks the open file again: it may have been replaced.
pub(crate) fn is_file(file: &File) -> Result<()> {
    let found = rustix::fs::fstat(file)?;
    files::must_be_file(FileType::from_raw_mode(found.st_mode))
}

/// Returns the names in a folder, in any order; empty if it does not exist.
///
/// # Errors
/// I/O errors.
pub fn names_in(path: &Utf8Path) -> Result<Vec<String>> {
    let folder = match walk_into(path) {
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        folder => folder?,
    };
    names(&folder)
}

fn names(folder: &OwnedFd) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().to_str()
            && !matches!(name, "." | "..")
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

fn walk_into(path: &Utf8Path) -> Result<OwnedFd> {
    let (parent, name) = split(path, None)?;
    let found = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(found.st_mode).is_symlink() {
        return Err(is_link(name));
    }
    into(&parent, name)
}

fn into(parent: &OwnedFd, name: &str) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
}

/// Creates a missing folder: the folder that contains it, and its name.
pub(crate) type Create = fn(&OwnedFd, &str) -> Result<()>;

/// Returns the open folder of a path, and the name in it. Missing folders are an
/// error without `create`.
pub(crate) fn split(path: &Utf8Path, create: Option<Create>) -> Result<(OwnedFd, &str)> {
    let name = path
        .file_name()
        .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "it has no file name"))?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_str().is_empty() => parent,
        _ => Utf8Path::new("."),
    };
    Ok((walk(parent, create)?, name))
}

/// Opens a folder. Missing folders are an error without `create`.
pub(crate) fn walk(path: &Utf8Path, create: Option<Create>) -> Result<OwnedFd> {
    let open_folder = |at: &str| rustix::fs::openat(CWD, at, FOLDER, Mode::empty());
    let mut fd = open_folder(if path.is_absolute() { "/" } else { "." })?;
    // The target of a link is not below this program's folder, whatever its
    // name.
    let mut rest: VecDeque<(String, bool)> = parts(path, true).collect();
    let mut below_ours = false;
    let mut links = 0;
    while let Some((name, is_given)) = rest.pop_front() {
        let next = match enter(&fd, &name, create)? {
            Entered::Folder(next) => next,
            Entered::Link(target) if !below_ours && may_follow(&fd, &name)? => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(Errno::LOOP.into());
                }
                below_ours |= is_given && name == OURS;
                for part in parts(Utf8Path::new(&target), false).rev() {
                    rest.push_front(part);
                }
                if target.starts_with('/') {
                    fd = open_folder("/")?;
                }
                continue;
            }
            Entered::Link(_) => return Err(is_link(&name)),
        };
        below_ours |= is_given && name == OURS;
        fd = next;
    }
    Ok(fd)
}

fn parts(
    path: &Utf8Path,
    is_given: bool,
) -> impl DoubleEndedIterator<Item = (String, bool)> + use<> {
    let names = path.components().filter_map(|part| match part {
        Utf8Component::Normal(name) => Some(name.to_owned()),
        Utf8Component::ParentDir => Some("..".to_owned()),
        _ => None,
    });
    let names: Vec<_> = names.map(|name| (name, is_given)).collect();
    names.into_iter()
}

enum Entered {
    Folder(OwnedFd),
    /// And its target.
    Link(String),
}

fn enter(fd: &OwnedFd, name: &str, create: Option<Create>) -> Result<Entered> {
    let open = || rustix::fs::openat(fd, name, FOLDER, Mode::empty());
    let opened = match (open(), create) {
        (Err(Errno::NOENT), Some(create)) => {
            create(fd, name)?;
            open()
        }
        (opened, _) => opened,
    };
    match opened {
        Ok(next) => Ok(Entered::Folder(next)),
        // The error for a link depends on the system.
        Err(error @ (Errno::NOTDIR | Errno::LOOP)) => {
            let Ok(target) = rustix::fs::readlinkat(fd, name, Vec::new()) else {
                return Err(error.into());
            };
            let target = target.into_string();
            target.map(Entered::Link).map_err(Error::other)
        }
        Err(error) => Err(error.into()),
    }
}

/// Links of the current user and of root. As root, no other user may have created
/// the link or been able to replace it.
fn may_follow(parent: &OwnedFd, name: &str) -> Result<bool> {
    let link = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let own = rustix::process::geteuid();
    let is_known = link.st_uid == 0 || link.st_uid == own.as_raw();
    Ok(is_known && (!own.is_root() || owner(parent)?.0 == Uid::ROOT))
}

pub(crate) fn owner(fd: impl AsFd) -> Result<(Uid, Gid)> {
    let found = rustix::fs::fstat(fd)?;
    Ok((Uid::from_raw(found.st_uid), Gid::from_raw(found.st_gid)))
}

/// Whether a path does not exist; also if a parent is a file.
pub(crate) fn is_gone(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn is_link(name: &str) -> Error {
    Error::new(
        ErrorKind::PermissionDenied,
        format!("`{name}` is a link, and links are not followed here"),
    )
}

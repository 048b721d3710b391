//! Removes files and folders by descriptor: links are removed and not followed,
//! and nothing is removed across a mount point.

use std::ffi::CStr;
use std::io::{Error, Result};
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat, unlinkat};
use rustix::io::Errno;

use crate::ctx::owned_path::is_same_mount;

/// Each level holds a descriptor; guests may write to folders that they share.
pub(crate) const DEEPEST: usize = 512;

const LISTED: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Removes a name in an open folder, with its contents if it is a folder. A
/// missing name is success.
///
/// # Errors
/// I/O errors; also for a mount point, and for folders that are nested too
/// deeply. Part of the contents may be gone then.
pub(crate) fn remove_at(parent: impl AsFd, name: &CStr) -> Result<()> {
    remove_below(parent.as_fd(), name, DEEPEST)
}

/// Removes everything in an open folder, which may be open for its path alone.
///
/// # Errors
/// Those of [`remove_at`].
pub(crate) fn empty(folder: impl AsFd) -> Result<()> {
    let entries = Dir::new(openat(folder, c".", LISTED, Mode::empty())?)?;
    remove_entries(entries, DEEPEST)
}

fn remove_below(parent: impl AsFd, name: &CStr, levels: usize) -> Result<()> {
    let is_folder = match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => FileType::from_raw_mode(found.st_mode).is_dir(),
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if !is_folder {
        return ok_if_gone(unlinkat(parent, name, AtFlags::empty()));
    }
    let folder = match openat(&parent, name, LISTED, Mode::empty()) {
        Ok(folder) => folder,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if !is_same_mount(&parent, &folder)? {
        let name = name.to_string_lossy();
        return Err(Error::other(format!("`{name}` in it is a mount point")));
    }
    remove_entries(Dir::new(folder)?, levels)?;
    ok_if_gone(unlinkat(parent, name, AtFlags::REMOVEDIR))
}

fn remove_entries(mut entries: Dir, levels: usize) -> Result<()> {
    let levels = levels
        .checked_sub(1)
        .ok_or_else(|| Error::other(format!("folders in it are deeper than {DEEPEST}")))?;
    while let Some(entry) = entries.read() {
        let entry = entry?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            remove_below(entries.fd()?, name, levels)?;
        }
    }
    Ok(())
}

/// Another process may have removed it.
pub(crate) fn ok_if_gone(result: rustix::io::Result<()>) -> Result<()> {
    match result {
        Err(Errno::NOENT) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

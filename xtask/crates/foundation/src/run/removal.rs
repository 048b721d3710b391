//! Removing folders and files that were shown to be ours a moment ago: by
//! descriptor, from where the look found them, and never into a mount.

use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsFd, OwnedFd};

use camino::Utf8Path;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat, unlinkat};
use rustix::io::Errno;

use crate::ctx::owned_path::{OwnedPath, digest, is_same_mount};
use crate::plan::Owned;

/// Each level holds a descriptor; guests may write to folders that they share.
const DEEPEST: usize = 512;

/// Remove `path` for the user `user`, if it is what `owned` says.
///
/// # Errors
/// When it is not, and the system's.
pub(super) fn remove(path: &Utf8Path, owned: Owned, user: u32) -> Result<()> {
    let Some(found) = OwnedPath::open(path, owned, user)? else {
        return Ok(());
    };
    let name = found.name.as_str();
    let Some(folder) = found.folder else {
        return gone_is_fine(unlinkat(&found.parent, name, AtFlags::empty()));
    };
    empty(&folder, DEEPEST)?;
    // Whatever has come into its place since is no empty folder, or is one.
    gone_is_fine(unlinkat(&found.parent, name, AtFlags::REMOVEDIR))
}

/// Remove everything in an open folder.
fn empty(folder: &OwnedFd, depth: usize) -> Result<()> {
    let depth = depth
        .checked_sub(1)
        .ok_or_else(|| Error::other(format!("folders in it are deeper than {DEEPEST}")))?;
    // May be open for its path alone.
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut entries = Dir::new(openat(folder, ".", flags | OFlags::RDONLY, Mode::empty())?)?;
    while let Some(entry) = entries.read() {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let is_folder = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => FileType::from_raw_mode(found.st_mode).is_dir(),
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(error.into()),
        };
        if !is_folder {
            gone_is_fine(unlinkat(folder, name, AtFlags::empty()))?;
            continue;
        }
        let inner = match openat(folder, name, flags | OFlags::RDONLY, Mode::empty()) {
            Ok(inner) => inner,
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(error.into()),
        };
        if !is_same_mount(folder.as_fd(), inner.as_fd())? {
            let name = name.to_string_lossy();
            return Err(Error::other(format!("`{name}` in it is a mount point")));
        }
        empty(&inner, depth)?;
        gone_is_fine(unlinkat(folder, name, AtFlags::REMOVEDIR))?;
    }
    Ok(())
}

fn gone_is_fine(result: rustix::io::Result<()>) -> Result<()> {
    match result {
        Err(Errno::NOENT) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Fail unless `path` has the contents that the plan was made for.
///
/// # Errors
/// When it has others, or nothing is there, and the system's.
pub(super) fn require(path: &Utf8Path, sha256: &str) -> Result<()> {
    match digest(path)? {
        Some(found) if found == sha256 => Ok(()),
        Some(_) => Err(Error::other("it was changed since this was decided")),
        None => Err(ErrorKind::NotFound.into()),
    }
}

/// Remove a file whose contents are still those that the plan was made for. A
/// link stays: what it points at may be of others.
///
/// # Errors
/// When it was changed, and the system's.
pub(super) fn remove_file(path: &Utf8Path, sha256: &str) -> Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => return Err(Error::other("it is a link")),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    require(path, sha256)?;
    gone_is_fine(rustix::fs::unlink(path.as_str()))
}

//! Writes files through a temporary file and a rename, so that no partial file
//! is visible. What root creates in a user's folder belongs to the user.
#![expect(
    clippy::disallowed_methods,
    reason = "only `record` and `run` write files"
)]

use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, fchown};

use camino::Utf8Path;

use super::own;
use crate::ctx::own_files;

/// Replaces `path` in one operation, or leaves it unchanged. Parent folders are
/// created.
///
/// # Errors
/// I/O errors; no temporary file is left.
pub fn replace(path: &Utf8Path, contents: &[u8], mode: u32) -> std::io::Result<()> {
    if own_files::is_ours(path) {
        return own::replace(path, contents, mode);
    }
    let parent = folder_of(path);
    create_dir(parent)?;
    let mut file = tempfile::Builder::new()
        .prefix(".tmp-")
        .tempfile_in(parent)?;
    file.write_all(contents)?;
    if rustix::process::geteuid().is_root() {
        // The owner of the file, or of the folder that will contain it.
        let owner = std::fs::symlink_metadata(path).or_else(|_| std::fs::metadata(parent))?;
        fchown(file.as_file(), Some(owner.uid()), Some(owner.gid()))?;
    }
    file.as_file()
        .set_permissions(std::fs::Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Checks that a file can be written, by writing another one in its folder for a moment.
///
/// # Errors
/// When it is a folder, or the nearest folder above it that exists cannot be written to.
pub fn check_output(path: &Utf8Path) -> std::io::Result<()> {
    match std::fs::metadata(path) {
        Ok(existing) if existing.is_dir() => {
            return Err(std::io::ErrorKind::IsADirectory.into());
        }
        Ok(existing) if !existing.is_file() => return Ok(()),
        _ => {}
    }
    let mut folder = folder_of(path);
    while !folder.exists() {
        folder = folder_of(folder);
    }
    if !folder.is_dir() {
        return Err(std::io::ErrorKind::NotADirectory.into());
    }
    // The rights of a folder do not say it for root, and in /proc and the like.
    tempfile::Builder::new()
        .prefix(".tmp-")
        .tempfile_in(folder)
        .map(drop)
}

/// Writes a file that the user named. A device or pipe, such as `/dev/stdout`, is written to
/// and not replaced.
///
/// # Errors
/// Those of [`replace`].
pub fn write_output(path: &Utf8Path, contents: &[u8]) -> std::io::Result<()> {
    let existing = std::fs::metadata(path);
    if existing.is_ok_and(|existing| !existing.is_file() && !existing.is_dir()) {
        let mut file = std::fs::OpenOptions::new().write(true).open(path)?;
        return file.write_all(contents);
    }
    replace(path, contents, 0o644)
}

/// Creates a folder with its parents.
///
/// # Errors
/// I/O errors.
pub fn create_dir(path: &Utf8Path) -> std::io::Result<()> {
    if own_files::is_ours(path) {
        return own::make_folder(path).map(drop);
    }
    if !rustix::process::geteuid().is_root() {
        return std::fs::create_dir_all(path);
    }
    let missing: Vec<&Utf8Path> = path
        .ancestors()
        .filter(|dir| !dir.as_str().is_empty())
        .take_while(|dir| !dir.exists())
        .collect();
    std::fs::create_dir_all(path)?;
    for dir in missing.into_iter().rev() {
        let owner = std::fs::metadata(folder_of(dir))?;
        chown(dir, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

/// A bare file name is in the current folder.
fn folder_of(path: &Utf8Path) -> &Utf8Path {
    match path.parent() {
        Some(parent) if !parent.as_str().is_empty() => parent,
        _ => Utf8Path::new("."),
    }
}

/// Removes a file or a folder with its contents. A missing path is success; a
/// symbolic link is removed, not followed.
///
/// # Errors
/// I/O errors.
pub fn remove(path: &Utf8Path) -> std::io::Result<()> {
    if own_files::is_ours(path) {
        return own::remove(path);
    }
    let gone = |result: std::io::Result<()>| match result {
        // A parent is a file, so the path does not exist.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(())
        }
        other => other,
    };
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => gone(std::fs::remove_dir_all(path)),
        Ok(_) => gone(std::fs::remove_file(path)),
        Err(error) => gone(Err(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_removed_and_its_target_stays() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        replace(&root.join("deep/target"), b"x", 0o600).unwrap();
        std::os::unix::fs::symlink(root.join("deep"), root.join("link")).unwrap();
        remove(&root.join("link")).unwrap();
        assert!(root.join("deep/target").exists());
        remove(&root.join("deep")).unwrap();
        remove(&root.join("deep")).unwrap();
        assert!(!root.join("deep").exists());
    }

    #[test]
    fn what_lies_below_a_file_is_gone_already() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        replace(&root.join("file"), b"x", 0o600).unwrap();
        remove(&root.join("file/below")).unwrap();
        assert!(root.join("file").exists());
    }

    #[test]
    fn what_root_makes_belongs_to_the_owner_of_the_folder() {
        if !rustix::process::geteuid().is_root() {
            // Only root can create files of another owner.
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        create_dir(&root.join("home")).unwrap();
        chown(root.join("home"), Some(4242), Some(4243)).unwrap();
        replace(&root.join("home/a/b/file"), b"x", 0o600).unwrap();
        let owner = |path: &str| {
            let metadata = std::fs::metadata(root.join(path)).unwrap();
            (metadata.uid(), metadata.gid())
        };
        assert_eq!(
            [owner("home/a"), owner("home/a/b"), owner("home/a/b/file")],
            [(4242, 4243); 3]
        );
        // Replacing keeps the owner, whatever the folder's owner.
        chown(root.join("home/a/b/file"), Some(7), Some(8)).unwrap();
        replace(&root.join("home/a/b/file"), b"y", 0o640).unwrap();
        assert_eq!(owner("home/a/b/file"), (7, 8));
    }

    #[test]
    fn a_failed_write_leaves_no_temporary() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        create_dir(&root.join("taken")).unwrap();
        replace(&root.join("taken"), b"x", 0o600).unwrap_err();
        assert_eq!(std::fs::read_dir(root).unwrap().count(), 1);
    }
}

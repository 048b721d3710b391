//! Files written through a temporary and a rename: never half a file.
#![expect(
    clippy::disallowed_methods,
    reason = "`record` is one of the two rooms that write"
)]

use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use camino::Utf8Path;

/// Replace `path` whole, or leave it as it was. Parent folders are made.
///
/// # Errors
/// The system's, with nothing left behind.
pub fn replace(path: &Utf8Path, contents: &[u8], mode: u32) -> std::io::Result<()> {
    let parent = path.parent().unwrap_or(Utf8Path::new("."));
    std::fs::create_dir_all(parent)?;
    let mut file = tempfile::Builder::new()
        .prefix(".tmp-")
        .tempfile_in(parent)?;
    file.write_all(contents)?;
    file.as_file()
        .set_permissions(std::fs::Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// A folder with its parents.
///
/// # Errors
/// The system's.
pub fn create_dir(path: &Utf8Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path)
}

/// A file or a folder with all in it. Already gone is success; a symbolic link
/// is removed, not followed.
///
/// # Errors
/// The system's.
pub fn remove(path: &Utf8Path) -> std::io::Result<()> {
    let gone = |result: std::io::Result<()>| match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
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
    fn a_failed_write_leaves_no_temporary() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        create_dir(&root.join("taken")).unwrap();
        replace(&root.join("taken"), b"x", 0o600).unwrap_err();
        assert_eq!(std::fs::read_dir(root).unwrap().count(), 1);
    }
}

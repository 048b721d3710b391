//! Removes the folders and files of a cluster or the lab, starting at the parent
//! that was checked, and files whose contents the plan knows.

use std::io::{Error, ErrorKind, Result};

use camino::Utf8Path;
use rustix::fs::{AtFlags, unlinkat};

use crate::ctx::owned_path::{OwnedPath, digest};
use crate::plan::Owned;
use crate::record::remove_at::{empty, ok_if_gone};

/// Removes `path` for the user `user`, if it is what `owned` says.
///
/// # Errors
/// When it is not, and I/O errors.
pub(super) fn remove(path: &Utf8Path, owned: Owned, user: u32) -> Result<()> {
    let Some(found) = OwnedPath::open(path, owned, user)? else {
        return Ok(());
    };
    let name = found.name.as_str();
    let Some(folder) = found.folder else {
        return ok_if_gone(unlinkat(&found.parent, name, AtFlags::empty()));
    };
    empty(&folder)?;
    // What may be in its place by now is removed only if it is an empty folder.
    ok_if_gone(unlinkat(&found.parent, name, AtFlags::REMOVEDIR))
}

/// Fails unless `path` has the contents that the plan was made for.
///
/// # Errors
/// When the contents differ or the file is missing, and I/O errors.
pub(super) fn require(path: &Utf8Path, sha256: &str) -> Result<()> {
    match digest(path)? {
        Some(found) if found == sha256 => Ok(()),
        Some(_) => Err(Error::other("it was changed since the plan was made")),
        None => Err(ErrorKind::NotFound.into()),
    }
}

/// Removes a file if its contents are still those that the plan was made for. A
/// link is kept: its target may belong to another user.
///
/// # Errors
/// When it was changed, and I/O errors.
pub(super) fn remove_file(path: &Utf8Path, sha256: &str) -> Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => return Err(Error::other("it is a link")),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    require(path, sha256)?;
    ok_if_gone(rustix::fs::unlink(path.as_str()))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make what is removed")]
mod tests {
    use super::*;
    use crate::record::remove_at::DEEPEST;
    use camino::Utf8PathBuf;
    use rustix::fs::{Mode, OFlags, openat};
    use std::os::unix::fs::symlink;

    fn home() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
        std::fs::create_dir_all(root.join(".talos/clusters/x/x-worker-1-tpm")).unwrap();
        std::fs::write(root.join("precious"), "text").unwrap();
        (dir, root)
    }

    fn own() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    #[test]
    fn a_folder_goes_with_all_in_it_and_links_lead_nowhere() {
        let (_dir, root) = home();
        let folder = root.join(".talos/clusters/x");
        std::fs::create_dir(root.join("documents")).unwrap();
        std::fs::write(root.join("documents/thesis"), "text").unwrap();
        symlink(root.join("documents"), folder.join("link")).unwrap();
        symlink(root.join("precious"), folder.join("x-worker-1-tpm/link")).unwrap();
        std::fs::hard_link(root.join("precious"), folder.join("second")).unwrap();
        remove(&folder, Owned::Cluster, own()).unwrap();
        assert!(folder.symlink_metadata().is_err());
        assert!(root.join("documents/thesis").exists());
        assert_eq!(
            std::fs::read_to_string(root.join("precious")).unwrap(),
            "text"
        );
        remove(&folder, Owned::Cluster, own()).unwrap();
    }

    /// Between the plan and this step a link takes the folder's place.
    #[test]
    fn a_folder_that_has_become_a_link_stays() {
        let (_dir, root) = home();
        let folder = root.join(".talos/clusters/x");
        std::fs::create_dir(root.join("documents")).unwrap();
        std::fs::write(root.join("documents/thesis"), "text").unwrap();
        std::fs::rename(&folder, root.join(".talos/clusters/away")).unwrap();
        symlink(root.join("documents"), &folder).unwrap();
        remove(&folder, Owned::Cluster, own()).unwrap_err();
        assert!(folder.symlink_metadata().unwrap().is_symlink());
        assert!(root.join("documents/thesis").exists());
    }

    #[test]
    fn a_pid_file_goes_alone_and_a_link_in_its_place_too() {
        let (_dir, root) = home();
        let pid_file = root.join(".talos/clusters/x/lb.pid");
        symlink(root.join("precious"), &pid_file).unwrap();
        remove(&pid_file, Owned::PidFile, own()).unwrap();
        assert!(pid_file.symlink_metadata().is_err());
        assert!(root.join("precious").exists());
    }

    #[test]
    fn folders_too_deep_for_us_are_an_error() {
        let (_dir, root) = home();
        let folder = root.join(".talos/clusters/x");
        let mut at = rustix::fs::open(folder.as_str(), OFlags::PATH, Mode::empty()).unwrap();
        for _ in 0..DEEPEST + 10 {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
            at = openat(&at, "d", OFlags::PATH, Mode::empty()).unwrap();
        }
        let error = remove(&folder, Owned::Cluster, own()).unwrap_err();
        assert!(error.to_string().contains("deeper"), "{error}");
    }

    #[test]
    fn a_file_that_was_changed_stays() {
        let (_dir, root) = home();
        let file = root.join("precious");
        let sha256 = digest(&file).unwrap().unwrap();
        require(&file, &sha256).unwrap();
        symlink("precious", root.join("link")).unwrap();
        remove_file(&root.join("link"), &sha256).unwrap_err();
        std::fs::write(&file, "text of others").unwrap();
        require(&file, &sha256).unwrap_err();
        remove_file(&file, &sha256).unwrap_err();
        std::fs::write(&file, "text").unwrap();
        remove_file(&file, &sha256).unwrap();
        remove_file(&file, &sha256).unwrap();
        require(&file, &sha256).unwrap_err();
    }
}

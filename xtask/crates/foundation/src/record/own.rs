//! Writes and removes files of this program in the state and the cache folder, on
//! the checked path of [`own_files`](crate::ctx::own_files). What root creates in
//! another user's folder belongs to that user.

use std::ffi::CString;
use std::fs::File;
use std::io::{Error, ErrorKind, Result, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use camino::Utf8Path;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::remove_at::remove_at;
use crate::ctx::own_files::{FILE, is_file, is_gone, must_be_file, owner, split, walk};
use crate::files::FOLDER;

/// Opens a folder, and creates missing parts of it.
///
/// # Errors
/// I/O errors; also for links that are not followed.
pub fn make_folder(path: &Utf8Path) -> Result<OwnedFd> {
    walk(path, Some(create_missing))
}

/// Opens a regular file for writing; the file and its folder are created if
/// missing.
///
/// # Errors
/// I/O errors; also if it is a link or not a regular file.
pub fn open(path: &Utf8Path, flags: OFlags, mode: u32) -> Result<File> {
    let (parent, name) = split(path, Some(create_missing))?;
    match must_be_file(&parent, name) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let flags = flags | OFlags::CREATE | FILE;
    let file = File::from(rustix::fs::openat(&parent, name, flags, mode_of(mode))?);
    is_file(&file)?;
    let owner = owner(&parent)?;
    if rustix::process::geteuid().is_root() && owner.0 != Uid::ROOT {
        let found = file.metadata()?;
        if found.nlink() > 1 {
            // Another user can hard-link a file of root into their folder.
            return Err(Error::other("it has a second name (a hard link)"));
        }
        if found.uid() == 0 && found.len() == 0 {
            // What root creates in a user's folder belongs to the user.
            rustix::fs::fchown(&file, Some(owner.0), Some(owner.1))?;
        }
    }
    Ok(file)
}

/// Creates a new file in an existing folder; what had its name is removed, not
/// followed.
///
/// # Errors
/// I/O errors.
pub fn create(path: &Utf8Path, mode: u32) -> Result<File> {
    let (parent, name) = split(path, None)?;
    match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    open(path, OFlags::WRONLY | OFlags::EXCL, mode)
}

/// Creates a folder that must not exist; its parent is created if missing.
///
/// # Errors
/// I/O errors; also if the name exists.
pub fn create_folder(path: &Utf8Path, mode: u32) -> Result<()> {
    let (parent, name) = split(path, Some(create_missing))?;
    create_in(&parent, name, mode)
}

/// Another process may have created it by now.
fn create_missing(parent: &OwnedFd, name: &str) -> Result<()> {
    match create_in(parent, name, 0o777) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

fn create_in(parent: &OwnedFd, name: &str, mode: u32) -> Result<()> {
    rustix::fs::mkdirat(parent, name, mode_of(mode))?;
    let new = rustix::fs::openat(parent, name, FOLDER, Mode::empty())?;
    give(&new, parent)
}

/// Removes a file or a folder with its contents. A missing path is success; a
/// link is removed, not followed.
///
/// # Errors
/// I/O errors; also for a mount point.
pub fn remove(path: &Utf8Path) -> Result<()> {
    match split(path, None) {
        Err(error) if is_gone(&error) => Ok(()),
        Err(error) => Err(error),
        Ok((parent, name)) => remove_at(&parent, &CString::new(name)?),
    }
}

/// Replaces a file in one operation, or leaves it unchanged. Its folder is
/// created.
///
/// # Errors
/// I/O errors; no temporary file is left.
pub fn replace(path: &Utf8Path, contents: &[u8], mode: u32) -> Result<()> {
    let (parent, name) = split(path, Some(create_missing))?;
    let (temporary, file) = temporary(&parent)?;
    let write = || -> Result<()> {
        let mut file = file;
        file.write_all(contents)?;
        if rustix::process::geteuid().is_root() {
            // The owner of the file, or of the folder that will contain it.
            let (uid, gid) = match rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) => (Uid::from_raw(found.st_uid), Gid::from_raw(found.st_gid)),
                Err(_) => owner(&parent)?,
            };
            rustix::fs::fchown(&file, Some(uid), Some(gid))?;
        }
        rustix::fs::fchmod(&file, mode_of(mode))?;
        file.sync_all()?;
        Ok(rustix::fs::renameat(&parent, &temporary, &parent, name)?)
    };
    write().inspect_err(|_| {
        let _ = rustix::fs::unlinkat(&parent, &temporary, AtFlags::empty());
    })
}

/// A new file with a unique name.
fn temporary(parent: &OwnedFd) -> Result<(String, File)> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | FILE;
    let pid = std::process::id();
    for turn in 0..1000_u32 {
        let name = format!(".tmp-{pid}-{turn}");
        match rustix::fs::openat(parent, &name, flags, mode_of(0o600)) {
            Ok(file) => return Ok((name, File::from(file))),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::from(ErrorKind::AlreadyExists))
}

/// Waits until the folder of this file is on disk.
///
/// # Errors
/// I/O errors.
pub fn sync_folder(path: &Utf8Path) -> Result<()> {
    let (parent, _) = split(path, None)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(&parent, ".", flags, Mode::empty())?;
    Ok(rustix::fs::fsync(&folder)?)
}

/// What root creates in a user's folder belongs to the user.
fn give(new: &OwnedFd, parent: &OwnedFd) -> Result<()> {
    if !rustix::process::geteuid().is_root() || owner(new)?.0 != Uid::ROOT {
        return Ok(());
    }
    let (uid, gid) = owner(parent)?;
    give_to(new, uid, gid)
}

#[cfg(target_os = "linux")]
fn give_to(new: &OwnedFd, uid: Uid, gid: Gid) -> Result<()> {
    let flags = AtFlags::EMPTY_PATH;
    Ok(rustix::fs::chownat(new, "", Some(uid), Some(gid), flags)?)
}

#[cfg(not(target_os = "linux"))]
fn give_to(new: &OwnedFd, uid: Uid, gid: Gid) -> Result<()> {
    Ok(rustix::fs::fchown(new, Some(uid), Some(gid))?)
}

fn mode_of(mode: u32) -> Mode {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "of another size on other systems"
    )]
    Mode::from_raw_mode(mode as _)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test creates obstacles")]
mod tests {
    use super::*;
    use crate::ctx::dirs::OURS;
    use crate::ctx::own_files::{names_in, read};
    use camino::Utf8PathBuf;
    use std::os::unix::fs::symlink;

    /// A user's folder with a state folder in it, and a file of another user.
    struct Home {
        _dir: tempfile::TempDir,
        state: Utf8PathBuf,
        theirs: Utf8PathBuf,
    }

    fn home() -> Home {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap().to_owned();
        std::fs::create_dir_all(root.join("state").join(OURS)).unwrap();
        std::fs::create_dir_all(root.join("theirs/folder")).unwrap();
        std::fs::write(root.join("theirs/file"), "theirs").unwrap();
        Home {
            state: root.join("state").join(OURS),
            theirs: root.join("theirs"),
            _dir: dir,
        }
    }

    fn stays(home: &Home) {
        let text = std::fs::read_to_string(home.theirs.join("file")).unwrap();
        assert_eq!(text, "theirs");
        let names = std::fs::read_dir(home.theirs.join("folder")).unwrap();
        assert_eq!(names.count(), 0);
    }

    #[test]
    fn a_link_in_place_of_a_file_is_not_followed() {
        let home = home();
        let path = home.state.join("x.lock");
        symlink(home.theirs.join("file"), &path).unwrap();
        open(&path, OFlags::RDWR, 0o600).unwrap_err();
        open(&path, OFlags::WRONLY | OFlags::APPEND, 0o600).unwrap_err();
        assert!(read(&path, 100).unwrap_err().to_string().contains("a link"));
        stays(&home);
        // The new file replaces the link.
        replace(&path, b"ours", 0o600).unwrap();
        assert_eq!(read(&path, 100).unwrap().unwrap(), b"ours");
        symlink(home.theirs.join("file"), home.state.join("log")).unwrap();
        create(&home.state.join("log"), 0o600).unwrap();
        create(&home.state.join("none/log"), 0o600).unwrap_err();
        stays(&home);
    }

    #[test]
    fn a_link_in_place_of_a_folder_is_not_followed() {
        let home = home();
        symlink(home.theirs.join("folder"), home.state.join("runs")).unwrap();
        for path in ["runs/file", "runs/a/b/file"] {
            let path = home.state.join(path);
            open(&path, OFlags::RDWR, 0o600).unwrap_err();
            create(&path, 0o600).unwrap_err();
            replace(&path, b"x", 0o600).unwrap_err();
            make_folder(&path).unwrap_err();
            remove(&path).unwrap_err();
        }
        read(&home.state.join("runs/file"), 100).unwrap_err();
        names_in(&home.state.join("runs")).unwrap_err();
        stays(&home);
        remove(&home.state.join("runs")).unwrap();
        assert!(home.theirs.join("folder").exists(), "only the link is gone");
    }

    #[test]
    fn links_in_what_is_removed_are_not_followed() {
        let home = home();
        let run = home.state.join("runs/1");
        replace(&run.join("a/b/file"), b"x", 0o600).unwrap();
        symlink(&home.theirs, run.join("a/link")).unwrap();
        remove(&run).unwrap();
        remove(&run).unwrap();
        assert_eq!(names_in(&home.state.join("runs")).unwrap(), [""; 0]);
        assert_eq!(names_in(&home.state.join("none")).unwrap(), [""; 0]);
        stays(&home);
    }

    /// Users may link the state folder to another place.
    #[test]
    fn a_link_above_is_followed_where_it_is_ours() {
        let home = home();
        let to = home.theirs.join("moved");
        std::fs::create_dir(&to).unwrap();
        let above = home.theirs.join("home");
        symlink(&to, &above).unwrap();
        let path = above.join(OURS).join("deep/file");
        replace(&path, b"x", 0o600).unwrap();
        assert_eq!(read(&path, 9).unwrap().unwrap(), b"x");
        assert!(to.join(OURS).join("deep/file").exists());
    }

    #[test]
    fn root_follows_no_link_of_others_and_makes_their_files_theirs() {
        use std::os::unix::fs::{chown, lchown};
        if !rustix::process::geteuid().is_root() {
            // As an ordinary user: only the user and root can have created the
            // link.
            return;
        }
        let home = home();
        let state = home.state.parent().unwrap();
        chown(state, Some(4242), Some(4243)).unwrap();
        chown(&home.state, Some(4242), Some(4243)).unwrap();
        let owner = |path: &str| {
            let found = home.state.join(path).symlink_metadata().unwrap();
            (found.uid(), found.gid())
        };
        replace(&home.state.join("a/b/file"), b"x", 0o600).unwrap();
        open(&home.state.join("a/lock"), OFlags::RDWR, 0o600).unwrap();
        create_folder(&home.state.join("runs/1"), 0o700).unwrap();
        for path in ["a", "a/b", "a/b/file", "a/lock", "runs", "runs/1"] {
            assert_eq!(owner(path), (4242, 4243), "{path}");
        }
        // A hard link to a file of root is refused as well.
        std::fs::hard_link(home.theirs.join("file"), home.state.join("second")).unwrap();
        open(&home.state.join("second"), OFlags::RDWR, 0o600).unwrap_err();
        // So are links in place of the state folder or one above it.
        for name in [OURS, "above"] {
            let link = state.join("other").join(name);
            std::fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(home.theirs.join("folder"), &link).unwrap();
            for (folder, of) in [(4242, 4242), (4242, 0), (0, 4242)] {
                chown(link.parent().unwrap(), Some(folder), None).unwrap();
                lchown(&link, Some(of), None).unwrap();
                let path = link.join("x/ledger.jsonl");
                open(&path, OFlags::RDWR, 0o600).unwrap_err();
            }
        }
        stays(&home);
    }

    #[test]
    fn a_failed_write_leaves_no_temporary() {
        let home = home();
        std::fs::create_dir(home.state.join("taken")).unwrap();
        replace(&home.state.join("taken"), b"x", 0o600).unwrap_err();
        assert_eq!(names_in(&home.state).unwrap(), ["taken"]);
    }
}

//! Paths of a cluster or the lab that may be removed as root. A path from a
//! ledger, state file or plan is verified here, once for the plan and again
//! right before the removal. All folders of the path are opened without
//! following links and stay open, so that nothing can be replaced between check
//! and removal.

use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsFd, OwnedFd};

use camino::{Utf8Component, Utf8Path};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, open, openat, statat};
use talos::names::ClusterName;

use super::shared_memory::{self, cluster_in};
use crate::files;
use crate::plan::Owned;

/// The marker file of a lab's folder; written first and removed last.
pub const LAB_MARKER: &str = "lab.json";
/// The temporary marker that a killed start of the lab may have left.
const TEMPORARY: &str = ".tmp-";

/// A path that may be removed, and its parent folder.
#[derive(Debug)]
pub struct OwnedPath {
    pub parent: OwnedFd,
    /// The name in `parent`.
    pub name: String,
    /// The folder itself; `None` for a file, or a link in place of a file.
    pub folder: Option<OwnedFd>,
}

impl OwnedPath {
    /// Verifies `path` for the user `user`; `None` if it does not exist.
    ///
    /// # Errors
    /// If it is not of the kind `owned`, belongs to another user, or cannot be
    /// read.
    pub fn open(path: &Utf8Path, owned: Owned, user: u32) -> Result<Option<Self>> {
        match verify(path, owned, user) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }
}

/// The user who owns these paths: the current user, or for root the owner of
/// HOME, as in the lab.
pub fn user() -> u32 {
    let own = rustix::process::geteuid().as_raw();
    if own != 0 {
        return own;
    }
    let home = std::env::var("HOME").ok();
    let home = home.and_then(|home| rustix::fs::stat(home.as_str()).ok());
    home.map_or(own, |home| home.st_uid)
}

fn verify(path: &Utf8Path, owned: Owned, user: u32) -> Result<OwnedPath> {
    let is_plain = |part| matches!(part, Utf8Component::Normal(_) | Utf8Component::RootDir);
    if !path.is_absolute() || !path.components().all(is_plain) {
        return Err(refused("it is not an absolute path without `..`"));
    }
    let name = last_name(path)?;
    let parent = parent(path)?;
    match owned {
        Owned::Cluster => cluster(path, user),
        Owned::PidFile => {
            let cluster = cluster(parent, user)?;
            let folder = cluster
                .folder
                .ok_or_else(|| refused("it is not a folder"))?;
            if path.extension() != Some("pid") {
                return Err(refused("its name is not that of a pid file"));
            }
            file(folder, name)
        }
        Owned::CniCache => {
            let home = below(parent, &["cni", "cache", "results"])?;
            let results = state_folder(home, user)?.enter("cni")?.enter("cache")?;
            file(results.enter("results")?.fd, name)
        }
        Owned::Lab => lab(parent, name, user),
        Owned::SharedMemory => memory(path, parent, name),
    }
}

/// `HOME/clusters/NAME`.
fn cluster(path: &Utf8Path, user: u32) -> Result<OwnedPath> {
    let name = ClusterName::existing(last_name(path)?).map_err(Error::other)?;
    let home = below(parent(path)?, &["clusters"])?;
    let clusters = state_folder(home, user)?.enter("clusters")?;
    let folder = clusters.enter(name.as_str())?.on_mount_of(&clusters)?;
    Ok(OwnedPath {
        parent: clusters.fd,
        name: name.as_str().to_owned(),
        folder: Some(folder.fd),
    })
}

/// Returns `path` without its last components `names`.
fn below<'a>(path: &'a Utf8Path, names: &[&str]) -> Result<&'a Utf8Path> {
    names.iter().rev().try_fold(path, |path, name| {
        if path.file_name() == Some(name) {
            parent(path)
        } else {
            Err(refused("it is not in a state folder of talosctl"))
        }
    })
}

fn parent(path: &Utf8Path) -> Result<&Utf8Path> {
    path.parent()
        .ok_or_else(|| refused("it is the root folder"))
}

fn last_name(path: &Utf8Path) -> Result<&str> {
    path.file_name()
        .ok_or_else(|| refused("it is the root folder"))
}

fn lab(parent: &Utf8Path, name: &str, user: u32) -> Result<OwnedPath> {
    // The parent may belong to anyone, as /tmp does; the lab's folder itself
    // must be the user's.
    let parent = Folder::walk(&parent.canonicalize_utf8()?, user)?;
    let folder = parent.enter(name)?.on_mount_of(&parent)?;
    if !is_lab(&folder.fd)? {
        return Err(refused("it is not empty and not a lab"));
    }
    Ok(OwnedPath {
        parent: parent.fd,
        name: name.to_owned(),
        folder: Some(folder.fd),
    })
}

fn is_lab(folder: &OwnedFd) -> Result<bool> {
    match statat(folder, LAB_MARKER, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => return Ok(FileType::from_raw_mode(found.st_mode).is_file()),
        Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let readable = openat(folder, ".", FOLDER | OFlags::RDONLY, Mode::empty())?;
    for entry in rustix::fs::Dir::new(readable)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") && !name.starts_with(TEMPORARY.as_bytes()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The memory of a node that has ended. Any cluster's: its contents are worth nothing then.
fn memory(path: &Utf8Path, parent: &Utf8Path, name: &str) -> Result<OwnedPath> {
    if parent != shared_memory::FOLDER || cluster_in(name).is_none() {
        return Err(refused("it is not named as the memory of a node"));
    }
    let parent = open(parent.as_str(), files::FOLDER, Mode::empty())?;
    let found = statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if !FileType::from_raw_mode(found.st_mode).is_file() || found.st_uid != 0 {
        return Err(refused("it is not a regular file of root"));
    }
    match shared_memory::users_of(path)?.first() {
        Some(pid) => Err(refused(format!("process {pid} uses it"))),
        None => file(parent, name),
    }
}

/// Anything except a folder; a link itself is removed, not its target.
fn file(parent: OwnedFd, name: &str) -> Result<OwnedPath> {
    let found = statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(found.st_mode).is_dir() {
        return Err(refused("it is a folder"));
    }
    Ok(OwnedPath {
        parent,
        name: name.to_owned(),
        folder: None,
    })
}

const FOLDER: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Opens talosctl's state folder. Its own path may contain links of the user
/// and is resolved; below it links are refused. A folder near it must belong to
/// the user: a path of root alone is not this user's state.
fn state_folder(path: &Utf8Path, user: u32) -> Result<Folder> {
    let real = path.canonicalize_utf8()?;
    let above = Folder::walk(parent(&real)?, user)?;
    let name = last_name(&real)?;
    let is_users = above.owner == user;
    let folder = above.enter(name)?;
    let known = ["clusters", "cni"].into_iter();
    let owners = known.filter_map(|name| statat(&folder.fd, name, AtFlags::SYMLINK_NOFOLLOW).ok());
    let has_users = owners.into_iter().any(|found| found.st_uid == user);
    if is_users || folder.owner == user || has_users {
        Ok(folder)
    } else {
        Err(refused(format!(
            "`{real}` and the folders around it do not belong to user {user}"
        )))
    }
}

/// An open folder.
struct Folder {
    fd: OwnedFd,
    owner: u32,
    user: u32,
}

impl Folder {
    /// Opens from `/` without following links: `path` is already resolved.
    fn walk(path: &Utf8Path, user: u32) -> Result<Self> {
        let mut fd = open("/", files::FOLDER, Mode::empty())?;
        for part in path.components() {
            if let Utf8Component::Normal(name) = part {
                fd = openat(&fd, name, files::FOLDER, Mode::empty())?;
            }
        }
        let owner = fstat(&fd)?.st_uid;
        Ok(Self { fd, owner, user })
    }

    /// Opens a subfolder that belongs to the user or root.
    fn enter(&self, name: &str) -> Result<Self> {
        let said = |what: &str| refused(format!("`{name}` {what}"));
        let found = statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Symlink => return Err(said("is a link")),
            FileType::Directory => {}
            _ => return Err(said("is not a folder")),
        }
        let fd = openat(&self.fd, name, files::FOLDER, Mode::empty())?;
        let owner = fstat(&fd)?.st_uid;
        if owner != 0 && owner != self.user {
            return Err(said(&format!("belongs to user {owner}")));
        }
        Ok(Self {
            fd,
            owner,
            user: self.user,
        })
    }

    /// A mount does not belong to the cluster. The folders above may be mounts.
    fn on_mount_of(self, parent: &Self) -> Result<Self> {
        if is_same_mount(&parent.fd, &self.fd)? {
            Ok(self)
        } else {
            Err(refused("it is a mount point"))
        }
    }
}

/// Whether two open files are in the same mount: a bind mount has the device of
/// its source.
///
/// # Errors
/// I/O errors.
pub fn is_same_mount(one: impl AsFd, other: impl AsFd) -> Result<bool> {
    Ok(mount_of(one)? == mount_of(other)?)
}

#[cfg(target_os = "linux")]
fn mount_of(fd: impl AsFd) -> Result<(u64, u64)> {
    use rustix::fs::{StatxFlags, statx};
    let device = device(&fstat(&fd)?);
    let asked = statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    // Linux before 5.8 does not report the mount id.
    let says = asked.stx_mask & StatxFlags::MNT_ID.bits() != 0;
    Ok((device, if says { asked.stx_mnt_id } else { 0 }))
}

#[cfg(not(target_os = "linux"))]
fn mount_of(fd: impl AsFd) -> Result<(u64, u64)> {
    Ok((device(&fstat(fd)?), 0))
}

#[allow(
    clippy::unnecessary_cast,
    clippy::cast_sign_loss,
    reason = "of another type on other systems"
)]
fn device(found: &Stat) -> u64 {
    found.st_dev as u64
}

fn refused(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::PermissionDenied, why.into())
}

/// Returns the SHA-256 of a file, for steps that verify that it has not changed
/// since the plan was made.
///
/// # Errors
/// Those of [`files::read`].
pub fn digest(path: &Utf8Path) -> Result<Option<String>> {
    let bytes = files::read(path, files::MEDIUM)?;
    Ok(bytes.map(|bytes| digest_of(&bytes)))
}

pub fn digest_of(bytes: &[u8]) -> String {
    crate::hash::hex(&hmac_sha256::Hash::hash(bytes))
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests create the paths that are checked"
)]
mod tests {
    use super::*;
    use camino::Utf8PathBuf;
    use std::os::unix::fs::symlink;

    struct Home {
        _dir: tempfile::TempDir,
        root: Utf8PathBuf,
    }

    impl Home {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let root = Utf8Path::from_path(dir.path()).unwrap();
            let root = root.canonicalize_utf8().unwrap();
            std::fs::create_dir_all(root.join(".talos/clusters/x")).unwrap();
            std::fs::create_dir_all(root.join(".talos/cni/cache/results")).unwrap();
            std::fs::write(root.join(".talos/clusters/x/lb.pid"), "1").unwrap();
            Self { _dir: dir, root }
        }

        /// Whether a path exists and may be removed, or why not.
        fn verify(&self, path: &str, owned: Owned) -> Result<bool> {
            let own = rustix::process::geteuid().as_raw();
            OwnedPath::open(&self.root.join(path), owned, own).map(|found| found.is_some())
        }
    }

    #[test]
    fn a_clusters_own_paths_may_be_removed() {
        let home = Home::new();
        assert!(home.verify(".talos/clusters/x", Owned::Cluster).unwrap());
        assert!(!home.verify(".talos/clusters/y", Owned::Cluster).unwrap());
        assert!(!home.verify("nowhere/clusters/y", Owned::Cluster).unwrap());
        assert!(
            home.verify(".talos/clusters/x/lb.pid", Owned::PidFile)
                .unwrap()
        );
        std::fs::write(home.root.join(".talos/cni/cache/results/f"), "").unwrap();
        assert!(
            home.verify(".talos/cni/cache/results/f", Owned::CniCache)
                .unwrap()
        );
        // The user's state may be on another disk.
        std::fs::rename(home.root.join(".talos"), home.root.join("disk")).unwrap();
        symlink("disk", home.root.join(".talos")).unwrap();
        assert!(home.verify(".talos/clusters/x", Owned::Cluster).unwrap());
    }

    #[test]
    fn nothing_else_may() {
        let home = Home::new();
        std::fs::create_dir_all(home.root.join("documents/x")).unwrap();
        for path in ["/", "/home", "", ".talos", ".talos/clusters", "documents/x"] {
            home.verify(path, Owned::Cluster).unwrap_err();
        }
        home.verify(".talos/clusters/x/../x", Owned::Cluster)
            .unwrap_err();
        home.verify(".talos/clusters/x/lb.pid", Owned::Cluster)
            .unwrap_err();
        home.verify(".talos/clusters/x", Owned::PidFile)
            .unwrap_err();
        home.verify(".talos/clusters/x", Owned::CniCache)
            .unwrap_err();
        home.verify("documents/x/lb.pid", Owned::PidFile)
            .unwrap_err();
        std::fs::write(home.root.join("documents/x/thesis"), "").unwrap();
        home.verify("documents/x", Owned::Lab).unwrap_err();
        std::fs::write(home.root.join("documents/x").join(LAB_MARKER), "").unwrap();
        assert!(home.verify("documents/x", Owned::Lab).unwrap());
    }

    #[test]
    fn links_are_not_followed() {
        let home = Home::new();
        std::fs::create_dir_all(home.root.join("documents/x")).unwrap();
        let clusters = home.root.join(".talos/clusters");
        symlink(home.root.join("documents"), clusters.join("link")).unwrap();
        let said = home
            .verify(".talos/clusters/link", Owned::Cluster)
            .unwrap_err();
        assert!(said.to_string().contains("is a link"), "{said}");
        std::fs::rename(&clusters, home.root.join(".talos/old")).unwrap();
        symlink(home.root.join("documents"), &clusters).unwrap();
        let said = home
            .verify(".talos/clusters/x", Owned::Cluster)
            .unwrap_err();
        assert!(said.to_string().contains("`clusters` is a link"), "{said}");
    }

    #[test]
    fn what_belongs_to_others_stays() {
        if !rustix::process::geteuid().is_root() {
            // Only root can give files to another user.
            return;
        }
        let home = Home::new();
        let owner = |path: &str, uid| {
            std::os::unix::fs::lchown(home.root.join(path), Some(uid), None).unwrap();
        };
        let open = |user| {
            let path = home.root.join(".talos/clusters/x");
            OwnedPath::open(&path, Owned::Cluster, user).map(|found| found.is_some())
        };
        // No folder near it belongs to that user.
        open(4242).unwrap_err();
        owner(".talos", 4242);
        assert!(
            open(4242).unwrap(),
            "talosctl under sudo creates files of root"
        );
        owner(".talos/clusters/x", 4242);
        assert!(open(4242).unwrap());
        open(0).unwrap_err();
        owner(".talos/clusters/x", 4243);
        open(4242).unwrap_err();
    }
}

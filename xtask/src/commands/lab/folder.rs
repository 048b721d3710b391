//! The folders of the lab: one for a running lab, and the parts that outlive
//! it.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;

use camino::{Utf8Path, Utf8PathBuf};

use foundation::ctx::Ctx;
use foundation::failure::{Because, Failure, Result};
use foundation::hash::Name;

/// The longest socket that talosctl binds below HOME for the default cluster.
const LONGEST_SOCKET: &str = ".talos/clusters/talos-default/talos-default-controlplane-1.monitor";
/// `sun_path` of a unix socket holds 108 bytes with its NUL.
const SOCKET_LIMIT: usize = 107;
/// Written first and read before anything is removed: without it a folder is
/// not ours.
pub(super) const MARKER: &str = "lab.json";

/// The folders of one lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LabFolder {
    /// The lab's own; HOME of everything inside.
    pub(super) dir: Utf8PathBuf,
    /// What was built, shared by all labs of this user.
    pub(super) parts: Utf8PathBuf,
    /// Still to be made, in a folder that others may write to: must be made
    /// private, and by us.
    pub(super) shared_parent: bool,
}

impl LabFolder {
    /// # Errors
    /// When `XTASK_LAB_DIR` cannot hold a lab, or the fallback in /tmp is
    /// another user's.
    pub(crate) fn locate(ctx: &Ctx) -> Result<Self> {
        let parts = ctx.dirs.cache.join("parts");
        let named = std::env::var("XTASK_LAB_DIR")
            .ok()
            .filter(|dir| !dir.is_empty());
        if let Some(dir) = named {
            let dir = Utf8PathBuf::from(dir);
            check_named(&dir)?;
            check_owner(&dir, ctx.host.uid)?;
            return Ok(Self {
                shared_parent: is_shared_parent(&dir),
                dir,
                parts,
            });
        }
        let dir = ctx.dirs.cache.join("lab");
        if fits(&dir) {
            return Ok(Self {
                dir,
                parts,
                shared_parent: false,
            });
        }
        let dir = Utf8PathBuf::from(format!("/tmp/talos-lab-{}", ctx.host.uid));
        check_private(&dir, ctx.host.uid)?;
        Ok(Self {
            shared_parent: is_shared_parent(&dir),
            dir,
            parts,
        })
    }

    /// The small Talos checkout that commands inside start from.
    pub(super) fn checkout(&self) -> Utf8PathBuf {
        self.dir.join("talos")
    }

    /// The cgroup of everything that Docker runs in this lab.
    pub(super) fn cgroup(&self) -> String {
        format!("/talos-lab-{}", self.name())
    }

    /// Tells this lab from others of this host.
    pub(super) fn name(&self) -> String {
        Name::default().part(self.dir.as_str()).digits(8)
    }

    /// Whether the folder may be removed: ours, or nothing in it yet.
    ///
    /// # Errors
    /// When it holds something and not our marker, or cannot be read.
    pub(super) fn check_ours(&self) -> Result<()> {
        let cannot = || format!("cannot read `{}`", self.dir);
        let entries = match self.dir.read_dir_utf8() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries.because(cannot)?,
        };
        // A start that was killed may have got no further than the temporary
        // file that was to become the marker.
        let mut is_empty = true;
        for entry in entries {
            let entry = entry.because(cannot)?;
            is_empty &= entry.file_name().starts_with(".tmp-");
        }
        let marker = fs::symlink_metadata(self.dir.join(MARKER));
        if is_empty || marker.is_ok_and(|marker| marker.is_file()) {
            return Ok(());
        }
        Err(
            Failure::host(format!("`{}` is not empty and not a lab", self.dir))
                .cause(format!(
                    "it has no `{MARKER}`, so nothing in it will be touched"
                ))
                .hint("point XTASK_LAB_DIR at an empty folder, or unset it"),
        )
    }
}

fn fits(dir: &Utf8Path) -> bool {
    dir.join(LONGEST_SOCKET).as_str().len() <= SOCKET_LIMIT
}

fn check_named(dir: &Utf8Path) -> Result<()> {
    if !dir.is_absolute() || dir.components().count() < 3 {
        return Err(
            Failure::usage(format!("XTASK_LAB_DIR `{dir}` cannot be a lab's folder"))
                .hint("give the absolute path of a folder that may be created and removed"),
        );
    }
    if !fits(dir) {
        let most = SOCKET_LIMIT - LONGEST_SOCKET.len() - 1;
        return Err(Failure::usage(format!("XTASK_LAB_DIR `{dir}` is too long"))
            .cause(format!(
                "paths of unix sockets end at {SOCKET_LIMIT} bytes, so it may have {most}"
            ))
            .hint("XTASK_LAB_DIR=/tmp/lab"));
    }
    Ok(())
}

/// What root runs for a lab lies in this folder: only root and the user may have
/// put it there.
fn check_owner(dir: &Utf8Path, uid: u32) -> Result<()> {
    let why = match fs::symlink_metadata(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => error.to_string(),
        Ok(found) if !found.is_dir() => "it is not a folder".to_owned(),
        Ok(found) if found.uid() != uid && found.uid() != 0 => {
            format!("it belongs to another user ({})", found.uid())
        }
        Ok(found) if found.mode() & 0o022 != 0 => {
            format!("others may write to it (mode {:o})", found.mode() & 0o7777)
        }
        Ok(_) => return Ok(()),
    };
    Err(
        Failure::host(format!("XTASK_LAB_DIR `{dir}` cannot be a lab's folder"))
            .cause(why)
            .hint("point XTASK_LAB_DIR at a folder of yours that does not exist yet"),
    )
}

/// Whether others could make `dir` before we do.
fn is_shared_parent(dir: &Utf8Path) -> bool {
    let parent = dir.parent().and_then(|parent| fs::metadata(parent).ok());
    fs::symlink_metadata(dir).is_err() && parent.is_some_and(|parent| parent.mode() & 0o022 != 0)
}

/// Another user could have created this name in /tmp.
fn check_private(dir: &Utf8Path, uid: u32) -> Result<()> {
    let Ok(found) = fs::symlink_metadata(dir) else {
        return Ok(());
    };
    // No permission bit for group and others.
    if found.is_dir() && found.uid() == uid && found.mode().trailing_zeros() >= 6 {
        return Ok(());
    }
    Err(
        Failure::host(format!("`{dir}` is not a private folder of yours"))
            .cause(
                "the cache folder's path is too long for unix sockets, so the lab would go there",
            )
            .hint("remove it, or set XTASK_LAB_DIR to a short path"),
    )
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests prepare files")]
mod tests {
    use super::*;

    fn place(dir: &Utf8Path) -> LabFolder {
        LabFolder {
            dir: dir.to_owned(),
            parts: "/p".into(),
            shared_parent: false,
        }
    }

    #[test]
    fn a_path_that_leaves_no_room_for_sockets_is_refused() {
        assert!(fits(Utf8Path::new("/home/dev/.cache/talos-xtask/lab")));
        let long = format!("/home/{}/lab", "x".repeat(60));
        assert!(!fits(Utf8Path::new(&long)));
        assert!(check_named(Utf8Path::new(&long)).is_err());
        assert!(check_named(Utf8Path::new("lab")).is_err());
        assert!(check_named(Utf8Path::new("/tmp")).is_err());
        check_named(Utf8Path::new("/tmp/lab")).unwrap();
    }

    #[test]
    fn only_a_folder_with_our_marker_may_be_removed() {
        let root = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(root.path()).unwrap();
        place(dir).check_ours().unwrap();
        fs::write(dir.join(".tmp-abc"), "").unwrap();
        place(dir).check_ours().unwrap();
        fs::write(dir.join("thesis.txt"), "").unwrap();
        place(dir).check_ours().unwrap_err();
        std::os::unix::fs::symlink("thesis.txt", dir.join(MARKER)).unwrap();
        place(dir).check_ours().unwrap_err();
        fs::remove_file(dir.join(MARKER)).unwrap();
        fs::write(dir.join(MARKER), "{}").unwrap();
        place(dir).check_ours().unwrap();
        place(&dir.join("absent")).check_ours().unwrap();
    }

    #[test]
    fn a_named_folder_that_others_could_have_filled_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(root.path()).unwrap();
        let uid = fs::metadata(dir).unwrap().uid();
        let mode = |bits| fs::set_permissions(dir, fs::Permissions::from_mode(bits)).unwrap();
        mode(0o755);
        check_owner(dir, uid).unwrap();
        assert!(!is_shared_parent(&dir.join("absent")));
        mode(0o777);
        check_owner(dir, uid).unwrap_err();
        assert!(is_shared_parent(&dir.join("absent")));
        mode(0o755);
        std::os::unix::fs::symlink(dir, dir.join("link")).unwrap();
        check_owner(&dir.join("link"), uid).unwrap_err();
        check_owner(&dir.join("absent"), uid).unwrap();
    }

    #[test]
    fn a_name_in_tmp_is_only_taken_when_it_is_private_and_ours() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(root.path()).unwrap();
        let uid = fs::metadata(dir).unwrap().uid();
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).unwrap();
        check_private(dir, uid).unwrap();
        check_private(dir, uid + 1).unwrap_err();
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
        check_private(dir, uid).unwrap_err();
        std::os::unix::fs::symlink("/", dir.join("link")).unwrap();
        check_private(&dir.join("link"), uid).unwrap_err();
        check_private(&dir.join("absent"), uid).unwrap();
    }
}

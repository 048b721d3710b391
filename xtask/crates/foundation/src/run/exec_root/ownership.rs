//! Gives the files that a test makes in the user's folders to the user.
//!
//! The time and place of a new file do not show its maker: other processes of
//! root use those folders as well. So the kernel records it: a test for a user
//! runs with a random group id that no other process has, and new files and
//! folders get the group of the process that made them. Only those are given to
//! the user, only below folders of the user, and each through a descriptor that
//! was opened without following links.
//!
//! Everything else keeps its owner, including some files of the test: files whose
//! group or owner the test changed itself, files with a second hard link, and
//! files in folders that pass their own group on (set-group-ID).
//!
//! An overlay over the package's folder would show the same, but it would hide
//! new files from daemons of the host, and deletions would have to be repeated
//! as the user. A mount that maps root's id to the user's does not work on an
//! overlay, which is the root file system of most containers.

use std::os::fd::OwnedFd;

use camino::Utf8Path;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, chownat, fstat, openat};
use rustix::process::{Gid, Uid};

use super::owner::Owner;
use super::path;
use crate::failure::Result;
use crate::random;

/// Levels of folders; more than any testdata has.
const DEEPEST: usize = 32;
/// Entries in all; more than any package's folder has.
const MOST: usize = 200_000;

/// Group ids that are not used for users, services or containers; see the table
/// at <https://systemd.io/UIDS-GIDS/>.
const FIRST: u32 = 0x7000_0000;
const COUNT: u32 = 0x0fff_ffff;

/// The group of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag(u32);

impl Tag {
    /// # Errors
    /// I/O errors.
    pub(super) fn draw() -> Result<Self> {
        Ok(Self(FIRST + u32::from_ne_bytes(random::bytes()?) % COUNT))
    }

    pub(super) fn group(self) -> u32 {
        self.0
    }
}

/// Gives `owner` what the test with `tag` has made below `folder`, which must be
/// the owner's; where `only` is given, below that name in it.
pub(super) fn give_back(folder: &Utf8Path, only: Option<&str>, tag: Tag, owner: Owner) {
    let Ok(folder) = path::folder(folder, |_, _| Ok(())) else {
        return;
    };
    if !is_owners(&folder, owner) {
        return;
    }
    let mut giving = Giving {
        owner,
        tag,
        left: MOST,
    };
    match only {
        Some(name) => giving.entry(&folder, name.as_bytes(), 0),
        None => giving.folder(&folder, 0),
    }
}

pub(super) fn is_owners(folder: &OwnedFd, owner: Owner) -> bool {
    fstat(folder).is_ok_and(|stat| stat.st_uid == owner.uid)
}

struct Giving {
    owner: Owner,
    tag: Tag,
    left: usize,
}

impl Giving {
    fn entry(&mut self, parent: &OwnedFd, name: &[u8], depth: usize) {
        // Checked and changed through one descriptor.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(entry) = openat(parent, name, flags, Mode::empty()) else {
            return;
        };
        let Ok(stat) = fstat(&entry) else { return };
        let is_tests = self.is_tests(&stat);
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let is_known = is_tests || stat.st_uid == self.owner.uid;
            let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
            if is_known
                && depth < DEEPEST
                && let Ok(folder) = openat(&entry, ".", flags, Mode::empty())
            {
                self.folder(&folder, depth);
            }
        }
        if is_tests {
            self.give(&entry);
        }
    }

    fn folder(&mut self, folder: &OwnedFd, depth: usize) {
        let Ok(entries) = Dir::read_from(folder) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            if self.left == 0 {
                return;
            }
            self.left -= 1;
            self.entry(folder, name, depth + 1);
        }
    }

    fn is_tests(&self, stat: &Stat) -> bool {
        let is_plain = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => true,
            FileType::RegularFile => stat.st_nlink == 1 && stat.st_mode & 0o6000 == 0,
            FileType::Symlink | FileType::Socket | FileType::Fifo => stat.st_nlink == 1,
            _ => false,
        };
        is_plain && stat.st_uid == 0 && stat.st_gid == self.tag.group()
    }

    fn give(&self, entry: &OwnedFd) {
        let (uid, gid) = (self.owner.uid, self.owner.gid);
        let _ = chownat(
            entry,
            "",
            Some(Uid::from_raw(uid)),
            Some(Gid::from_raw(gid)),
            AtFlags::EMPTY_PATH,
        );
    }
}

//! What root wrote into the user's folders is the user's: files in the
//! package's folder, and those that flags such as `-test.coverprofile` name.

use std::os::fd::OwnedFd;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, chownat, fstat, openat};
use rustix::process::{Gid, Uid};

use super::binary::Owner;

/// Deeper than any testdata.
const DEEPEST: usize = 32;
/// More entries than any package's folder.
const MOST: usize = 200_000;

/// Flags of a test binary whose values are files or folders that it writes.
const WRITES: &[&str] = &[
    "blockprofile",
    "coverprofile",
    "cpuprofile",
    "fuzzcachedir",
    "gocoverdir",
    "memprofile",
    "mutexprofile",
    "outputdir",
    "testlogfile",
    "trace",
];

/// Where the test may have written for its user.
pub(super) fn places(folder: &Utf8Path, arguments: &[String]) -> Vec<Utf8PathBuf> {
    let named = arguments.iter().filter_map(|argument| {
        let argument = argument.trim_start_matches('-').strip_prefix("test.")?;
        let (name, value) = argument.split_once('=')?;
        WRITES.contains(&name).then(|| folder.join(value))
    });
    std::iter::once(folder.to_owned()).chain(named).collect()
}

/// Give `owner` what root has changed below `places` since `since`. Links are
/// given but not followed, and nothing that has a name elsewhere too: it could
/// be a file of the system's.
pub(super) fn give_back(places: &[Utf8PathBuf], owner: Owner, since: SystemTime) {
    let since = since
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0));
    let mut giving = Giving {
        owner,
        // The clock of the file system may be a tick behind.
        since: since - 1,
        left: MOST,
    };
    for place in places {
        let (Some(parent), Some(name)) = (place.parent(), place.file_name()) else {
            continue;
        };
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        if let Ok(parent) = openat(CWD, parent.as_str(), flags, Mode::empty()) {
            giving.entry(&parent, name.as_bytes(), 0);
        }
    }
}

struct Giving {
    owner: Owner,
    since: i64,
    left: usize,
}

impl Giving {
    fn entry(&mut self, parent: &OwnedFd, name: &[u8], depth: usize) {
        // Looked at and given through one descriptor.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(entry) = openat(parent, name, flags, Mode::empty()) else {
            return;
        };
        let Ok(stat) = fstat(&entry) else { return };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory && depth < DEEPEST {
            let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
            if let Ok(folder) = openat(&entry, ".", flags, Mode::empty()) {
                self.folder(&folder, depth);
            }
        }
        if self.is_roots_doing(&stat, kind) {
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

    fn is_roots_doing(&self, stat: &Stat, kind: FileType) -> bool {
        let plain = match kind {
            FileType::Directory => true,
            FileType::RegularFile => stat.st_nlink == 1 && stat.st_mode & 0o6000 == 0,
            FileType::Symlink | FileType::Socket | FileType::Fifo => stat.st_nlink == 1,
            _ => false,
        };
        plain && stat.st_uid == 0 && stat.st_ctime >= self.since
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_flags_are_places_too() {
        let arguments = [
            "-test.coverprofile=/home/u/c.out".to_owned(),
            "--test.trace=t".to_owned(),
            "-test.run=^TestA$".to_owned(),
        ];
        let places = places("/src/p".into(), &arguments);
        assert_eq!(places, ["/src/p", "/home/u/c.out", "/src/p/t"]);
    }
}

//! Checks that a file is a test binary that the go command has linked for this
//! user: on the open file, and on the copy that is run.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, OwnedFd};

use camino::{Utf8Component, Utf8Path};
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, openat};

use super::owner::Owner;
use super::{acl, path, refused};
use crate::failure::{Because, Result};
use crate::{program, typed};

/// Every Go test binary has this function, stripped or not.
const TEST_MAIN: &[u8] = b"testing.MainStart";
/// Larger than any; a sparse file would fill the disk.
const LARGEST: u64 = 2 << 30;

/// Opens the test binary at `path`, which must be absolute.
///
/// # Errors
/// When the file or a folder above it does not meet a requirement.
pub(super) fn open(at: &Utf8Path, owner: Owner) -> Result<OwnedFd> {
    check_place(at)?;
    let (Some(folder), Some(name)) = (at.parent(), at.file_name()) else {
        return Err(refused(format!("`{at}` has no name")));
    };
    let folder = path::folder(folder, |at, fd| check_folder(at, fd, owner))?;
    // Opening a pipe would block.
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file =
        openat(&folder, name, flags, Mode::empty()).map_err(|error| path::cannot(at, error))?;
    check_file(at, &file, owner)?;
    Ok(file)
}

/// Copies the open binary of `at` into `to`, a new file in a folder where only
/// root can write, and check what it holds there: the owner could change the
/// file that was opened, but not this one.
///
/// # Errors
/// I/O errors; also for what is not a test binary.
pub(super) fn copy(at: &Utf8Path, binary: OwnedFd, mut to: File) -> Result<()> {
    let cannot = || format!("cannot copy `{at}`");
    let mut from = File::from(binary).take(LARGEST + 1);
    if std::io::copy(&mut from, &mut to).because(cannot)? > LARGEST {
        return Err(refused(format!("`{at}` is too large for a test binary")));
    }
    to.rewind().because(cannot)?;
    check_contents(at, to)
}

fn stat(fd: impl AsFd, at: &Utf8Path) -> Result<Stat> {
    fstat(fd).map_err(|error| refused(format!("cannot look at `{at}`")).cause(error))
}

/// `…/go-build123/b001/x.test`, the go command's work folder, or
/// `…/talos-xtask/tests/HEX/HEX/x.test`, our store.
fn check_place(path: &Utf8Path) -> Result<()> {
    let plain = path.is_absolute()
        && path.components().all(|component| {
            matches!(component, Utf8Component::RootDir | Utf8Component::Normal(_))
        });
    let names: Vec<&str> = path.iter().rev().collect();
    let hex = |name: &str| name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let after = |name: &str, prefix: &str| {
        name.strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let is_there = match names[..] {
        [_, step, work, ..] if after(step, "b") && after(work, "go-build") => true,
        [_, package, build, "tests", "talos-xtask", ..] => hex(package) && hex(build),
        _ => false,
    };
    if plain && is_there && path.extension() == Some("test") {
        return Ok(());
    }
    Err(refused(format!(
        "`{path}` is not a test binary in the go command's work folder or in our store"
    ))
    .hint(format!(
        "go test -exec \"$({})\" PACKAGE",
        typed!("exec-root --print")
    )))
}

/// Only root and the owner may write there. Everyone may write to `/tmp`, but
/// cannot replace the files of another user.
fn check_folder(at: &Utf8Path, fd: &OwnedFd, owner: Owner) -> Result<()> {
    let stat = stat(fd, at)?;
    let is_sticky = stat.st_mode & 0o1000 != 0 && stat.st_uid == 0;
    if stat.st_uid != 0 && stat.st_uid != owner.uid {
        return Err(refused(format!(
            "the folder `{at}` belongs to another user ({})",
            stat.st_uid
        )));
    }
    if !is_sticky && others_may_write(fd, &stat, owner) {
        return Err(refused(format!(
            "others may write to the folder `{at}` (mode {:o})",
            stat.st_mode & 0o7777
        ))
        .hint(program!("chmod go-w {}", at)));
    }
    Ok(())
}

fn check_file(path: &Utf8Path, fd: &OwnedFd, owner: Owner) -> Result<()> {
    let stat = stat(fd, path)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(refused(format!("`{path}` is not a regular file")));
    }
    if u64::try_from(stat.st_size).unwrap_or(u64::MAX) > LARGEST {
        return Err(refused(format!("`{path}` is too large for a test binary")));
    }
    if stat.st_uid != owner.uid {
        return Err(refused(format!(
            "`{path}` belongs to another user ({})",
            stat.st_uid
        )));
    }
    let mode = stat.st_mode & 0o7777;
    if others_may_write(fd, &stat, owner) || mode & 0o6000 != 0 || mode & 0o100 == 0 {
        return Err(refused(format!("`{path}` has mode {mode:o}")));
    }
    Ok(())
}

/// A group in which the owner is alone is the owner. Where there is an access
/// control list, the mode's bits of the group are those of all its entries.
fn others_may_write(fd: &OwnedFd, stat: &Stat, owner: Owner) -> bool {
    let by_group = stat.st_mode & 0o020 != 0
        && (!owner.is_alone_in(stat.st_gid) || acl::others_may_write(fd, owner));
    by_group || stat.st_mode & 0o002 != 0
}

/// An executable that the testing package is linked into.
fn check_contents(path: &Utf8Path, mut file: File) -> Result<()> {
    let cannot = |error: std::io::Error| refused(format!("cannot read `{path}`")).cause(error);
    let finder = memchr::memmem::Finder::new(TEST_MAIN);
    let mut buffer = vec![0; 1 << 20];
    let (mut kept, mut is_first) = (0, true);
    loop {
        let read = file.read(&mut buffer[kept..]).map_err(cannot)?;
        let seen = &buffer[..kept + read];
        if std::mem::take(&mut is_first) && !seen.starts_with(b"\x7fELF") {
            return Err(refused(format!("`{path}` is not an executable")));
        }
        if finder.find(seen).is_some() {
            return Ok(());
        }
        if read == 0 {
            return Err(refused(format!("`{path}` is not a binary of Go tests")));
        }
        // It may lie across two reads.
        let end = kept + read;
        kept = TEST_MAIN.len().min(end);
        buffer.copy_within(end - kept..end, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_places_are_good() {
        let good = [
            "/tmp/go-build123/b001/x.test",
            "/var/tmp/u/go-build1/b2/x.test",
            "/home/u/.cache/talos-xtask/tests/0123456789abcdef/0123456789abcdef/x.test",
        ];
        let bad = [
            "tmp/go-build123/b001/x.test",
            "/tmp/go-build123/b001/x",
            "/tmp/go-build/b001/x.test",
            "/tmp/go-build123/../b001/x.test",
            "/tmp/go-build123/b001/exe/x.test",
            "/usr/bin/x.test",
            "/home/u/.cache/talos-xtask/tests/x/y/x.test",
        ];
        for path in good {
            check_place(path.into()).unwrap();
        }
        for path in bad {
            check_place(path.into()).unwrap_err();
        }
    }
}

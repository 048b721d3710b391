//! Is this file a test binary that the go command has just linked for this
//! user? Decided on an open file: what is looked at is what is run.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

use camino::{Utf8Component, Utf8Path};
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, openat};

use crate::failure::{Failure, Result};

/// Every Go test binary has this function, stripped or not.
const TEST_MAIN: &[u8] = b"testing.MainStart";

/// Who may have made it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Open the test binary at `path`, which must be absolute.
///
/// # Errors
/// With what about it, or about a folder above it, is not as it must be.
pub(super) fn open(path: &Utf8Path, owner: Owner) -> Result<OwnedFd> {
    check_place(path)?;
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let cannot = |at: &Utf8Path, error: rustix::io::Errno| match error {
        rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR => {
            refused(format!("`{at}` is a symbolic link, or no folder"))
        }
        error => refused(format!("cannot open `{at}`")).cause(error),
    };
    let mut at = Utf8Path::new("/").to_owned();
    let folder = flags | OFlags::DIRECTORY | OFlags::PATH;
    let mut fd = openat(CWD, "/", folder, Mode::empty()).map_err(|error| cannot(&at, error))?;
    let name = path.file_name().unwrap_or_default();
    for component in path.parent().into_iter().flat_map(Utf8Path::components) {
        check_folder(&at, &stat(&fd, &at)?, owner)?;
        let Utf8Component::Normal(name) = component else {
            continue;
        };
        at.push(name);
        fd = openat(&fd, name, folder, Mode::empty()).map_err(|error| cannot(&at, error))?;
    }
    check_folder(&at, &stat(&fd, &at)?, owner)?;
    // A pipe of that name would be waited for.
    let flags = flags | OFlags::RDONLY | OFlags::NONBLOCK;
    let file = openat(&fd, name, flags, Mode::empty()).map_err(|error| cannot(path, error))?;
    check_file(path, &stat(&file, path)?, owner)?;
    check_contents(path, &file)?;
    Ok(file)
}

fn refused(what: impl std::fmt::Display) -> Failure {
    Failure::host(format!("will not run this as root: {what}"))
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
        "`{path}` is no test binary in the go command's work folder or in our store"
    ))
    .hint("go test -exec \"$(cargo xtask exec-root --print)\" PACKAGE"))
}

/// Only root and the owner may put things there. `/tmp` is everybody's, but
/// nobody can replace what another has there.
fn check_folder(at: &Utf8Path, stat: &Stat, owner: Owner) -> Result<()> {
    let is_sticky = stat.st_mode & 0o1000 != 0 && stat.st_uid == 0;
    if stat.st_uid != 0 && stat.st_uid != owner.uid {
        return Err(refused(format!(
            "the folder `{at}` belongs to another user ({})",
            stat.st_uid
        )));
    }
    if !is_sticky && others_may_write(stat, owner) {
        return Err(refused(format!(
            "others may write to the folder `{at}` (mode {:o})",
            stat.st_mode & 0o7777
        ))
        .hint(format!("chmod go-w {at}")));
    }
    Ok(())
}

fn check_file(path: &Utf8Path, stat: &Stat, owner: Owner) -> Result<()> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(refused(format!("`{path}` is no regular file")));
    }
    if stat.st_uid != owner.uid {
        return Err(refused(format!(
            "`{path}` belongs to another user ({})",
            stat.st_uid
        )));
    }
    let mode = stat.st_mode & 0o7777;
    if others_may_write(stat, owner) || mode & 0o6000 != 0 || mode & 0o100 == 0 {
        return Err(refused(format!("`{path}` has mode {mode:o}")));
    }
    Ok(())
}

/// A group of the owner's own, as many systems give, is the owner.
fn others_may_write(stat: &Stat, owner: Owner) -> bool {
    let own_group = stat.st_gid == owner.gid && owner.gid == owner.uid || stat.st_gid == 0;
    stat.st_mode & 0o002 != 0 || (stat.st_mode & 0o020 != 0 && !own_group)
}

/// An executable that the testing package is linked into.
fn check_contents(path: &Utf8Path, file: &OwnedFd) -> Result<()> {
    let cannot = |error: std::io::Error| refused(format!("cannot read `{path}`")).cause(error);
    let mut file = std::fs::File::from(file.try_clone().map_err(cannot)?);
    let finder = memchr::memmem::Finder::new(TEST_MAIN);
    let mut buffer = vec![0; 1 << 20];
    let (mut kept, mut is_first) = (0, true);
    loop {
        let read = file.read(&mut buffer[kept..]).map_err(cannot)?;
        let seen = &buffer[..kept + read];
        if std::mem::take(&mut is_first) && !seen.starts_with(b"\x7fELF") {
            return Err(refused(format!("`{path}` is no executable")));
        }
        if finder.find(seen).is_some() {
            return Ok(());
        }
        if read == 0 {
            return Err(refused(format!("`{path}` is no binary of Go tests")));
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

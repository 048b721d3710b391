//! Opens a path from `/`, one name at a time and never through a link, so that the
//! last descriptor belongs to the folders that were checked on the way.

use std::os::fd::OwnedFd;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use super::refused;
use crate::failure::{Failure, Result};

/// Opens a folder; `see` is called with every folder from `/` to the last.
///
/// # Errors
/// The first of `see`, and for what cannot be opened or is a link.
pub(super) fn folder(
    path: &Utf8Path,
    mut see: impl FnMut(&Utf8Path, &OwnedFd) -> Result<()>,
) -> Result<OwnedFd> {
    // Not `PATH`, by which neither entries nor attributes can be read.
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = Utf8PathBuf::from("/");
    let mut fd = openat(CWD, "/", flags, Mode::empty()).map_err(|error| cannot(&at, error))?;
    see(&at, &fd)?;
    for component in path.components() {
        match component {
            Utf8Component::RootDir => {}
            Utf8Component::Normal(name) => {
                at.push(name);
                fd = openat(&fd, name, flags, Mode::empty()).map_err(|error| cannot(&at, error))?;
                see(&at, &fd)?;
            }
            _ => return Err(refused(format!("`{path}` is not a plain path"))),
        }
    }
    if path.is_absolute() {
        return Ok(fd);
    }
    Err(refused(format!("`{path}` is not an absolute path")))
}

pub(super) fn cannot(at: &Utf8Path, error: Errno) -> Failure {
    match error {
        Errno::LOOP | Errno::NOTDIR => {
            refused(format!("`{at}` is a symbolic link, or not a folder"))
        }
        error => refused(format!("cannot open `{at}`")).cause(error),
    }
}

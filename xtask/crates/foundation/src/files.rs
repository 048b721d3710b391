//! Reads files that another user may have replaced. A path is opened without
//! blocking, and only a regular file of limited size is read. Everything else
//! is an error, so that an unreadable file is never mistaken for a missing one.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use camino::Utf8Path;
use rustix::fs::{FileType, OFlags, RawMode};

use crate::failure::Failure;

/// How a folder is opened to find what is in it, without following a link. On
/// Linux that takes no permission to list it.
#[cfg(target_os = "linux")]
pub(crate) const FOLDER: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
pub(crate) const FOLDER: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Settings, versions, pid files, one node's facts: what people or tools write
/// by hand or in one go.
pub const SMALL: u64 = 1 << 20;

/// Limit for Makefiles, state files, kubeconfigs and records, which grow with
/// use.
pub const MEDIUM: u64 = 16 << 20;

/// Limit for event streams, logs and ledgers that are read whole.
pub const LARGE: u64 = 256 << 20;

/// Returns the contents of a regular file of at most `limit` bytes, or `None`
/// if the path does not exist.
///
/// # Errors
/// I/O errors; also if the path is not a regular file, is a dangling link, or
/// the file is larger than `limit` bytes.
pub fn read(path: &Utf8Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let Some(file) = open(path)? else {
        return Ok(None);
    };
    read_all(&file, limit).map(Some)
}

/// Like [`read`], as text.
///
/// # Errors
/// Those of [`read`]; also if the file is not UTF-8.
pub fn read_text(path: &Utf8Path, limit: u64) -> Result<Option<String>> {
    let Some(bytes) = read(path, limit)? else {
        return Ok(None);
    };
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"))
}

/// Like [`read_text`], with a `Failure` that names the file.
///
/// # Errors
/// Those of [`read_text`], as exit code 3.
pub fn text(path: &Utf8Path, limit: u64) -> crate::failure::Result<Option<String>> {
    read_text(path, limit)
        .map_err(|error| Failure::host(format!("cannot read `{path}`")).cause(error))
}

/// Returns the rest of an open file, at most `limit` bytes.
///
/// # Errors
/// I/O errors; also if the file is larger than `limit` bytes.
pub fn read_all(file: &File, limit: u64) -> Result<Vec<u8>> {
    // Files in /proc and /sys report a length of 0.
    let size = file.metadata()?.len();
    if size > limit {
        return Err(too_large(limit));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
    let mut reader = file;
    if reader.by_ref().take(limit + 1).read_to_end(&mut bytes)? as u64 > limit {
        return Err(too_large(limit));
    }
    Ok(bytes)
}

/// Opens a regular file for reading; `None` if the path does not exist.
///
/// # Errors
/// I/O errors; also if the path is not a regular file or is a dangling link.
pub fn open(path: &Utf8Path) -> Result<Option<File>> {
    // Opening a device may have an effect, so check the type first.
    match std::fs::metadata(path) {
        Ok(metadata) => must_be_regular(&metadata)?,
        Err(error) => return absent(path, error),
    }
    match reading().open(path) {
        Ok(file) => {
            must_be_regular(&file.metadata()?)?;
            Ok(Some(file))
        }
        Err(error) => absent(path, error),
    }
}

/// Returns the names in a folder that talosctl or a CNI plugin writes to; empty if
/// the folder does not exist. Names that are not UTF-8 are skipped: talosctl and the
/// plugins never write one.
///
/// # Errors
/// I/O errors.
pub fn names_in(dir: &Utf8Path) -> Result<Vec<String>> {
    let entries = match dir.read_dir_utf8() {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => names.push(entry.file_name().to_owned()),
            Err(error) if error.kind() == ErrorKind::InvalidData => {}
            Err(error) => return Err(error),
        }
    }
    Ok(names)
}

/// Opens a file that this program owns for writing. A symbolic or hard link is
/// refused: another user may have placed it to redirect the write.
///
/// # Errors
/// I/O errors; `ELOOP` for a symbolic link; also if it is not a regular file or
/// has a second name.
pub fn open_own(path: &Utf8Path, options: &mut OpenOptions) -> Result<File> {
    let file = options
        .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY))
        .open(path)?;
    let metadata = file.metadata()?;
    must_be_regular(&metadata)?;
    if metadata.nlink() > 1 {
        return Err(Error::other("it has a second name (a hard link)"));
    }
    Ok(file)
}

#[expect(clippy::disallowed_methods, reason = "opened to read")]
fn reading() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(flags(OFlags::NONBLOCK | OFlags::NOCTTY));
    options
}

/// In the type that the standard library expects; it adds `O_CLOEXEC`.
fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

/// Returns `None` if the path does not exist, not even as a dangling link.
fn absent(path: &Utf8Path, error: Error) -> Result<Option<File>> {
    if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) {
        return Err(error);
    }
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => Err(Error::new(
            ErrorKind::NotFound,
            "it is a link to something that does not exist",
        )),
        _ => Ok(None),
    }
}

fn must_be_regular(metadata: &Metadata) -> Result<()> {
    must_be_file(FileType::from_raw_mode(metadata.mode() as RawMode))
}

pub(crate) fn must_be_file(kind: FileType) -> Result<()> {
    let what = match kind {
        FileType::RegularFile => return Ok(()),
        FileType::Directory => "a folder",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::Symlink => "a link",
        _ => "a device",
    };
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!("it is {what}, not a regular file"),
    ))
}

fn too_large(limit: u64) -> Error {
    let limit = crate::units::human_size(limit);
    Error::new(
        ErrorKind::FileTooLarge,
        format!("it is larger than {limit}"),
    )
}

#[cfg(test)]
#[cfg(target_os = "linux")]
#[expect(clippy::disallowed_methods, reason = "a test makes what is read")]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    fn mkfifo(path: &Utf8Path) {
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
        rustix::fs::mknodat(rustix::fs::CWD, path.as_std_path(), kind, mode, 0).unwrap();
    }

    /// The errors of all functions that read.
    fn refusal(path: &Utf8Path) -> String {
        let said = read(path, SMALL).unwrap_err().to_string();
        assert_eq!(read_text(path, SMALL).unwrap_err().to_string(), said);
        said
    }

    #[test]
    fn only_what_does_not_exist_is_absent() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        std::fs::write(root.join("file"), "text").unwrap();
        assert_eq!(read(&root.join("none"), 9).unwrap(), None);
        assert_eq!(read(&root.join("file/below"), 9).unwrap(), None);
        assert_eq!(read(&root.join("file"), 9).unwrap().unwrap(), b"text");
        symlink(root.join("file"), root.join("link")).unwrap();
        assert_eq!(read_text(&root.join("link"), 9).unwrap().unwrap(), "text");
        symlink(root.join("none"), root.join("dangling")).unwrap();
        assert!(refusal(&root.join("dangling")).contains("a link to something"));
        symlink(root.join("loop"), root.join("loop")).unwrap();
        refusal(&root.join("loop"));
        refusal(&root.join("a".repeat(4000)));
    }

    #[test]
    fn what_is_not_a_regular_file_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        mkfifo(&root.join("fifo"));
        let _held = UnixListener::bind(root.join("socket")).unwrap();
        symlink("/dev/zero", root.join("zero")).unwrap();
        for (name, kind) in [
            ("fifo", "FIFO"),
            ("socket", "socket"),
            ("zero", "device"),
            (".", "folder"),
        ] {
            let said = refusal(&root.join(name));
            assert!(said.contains(kind), "{name}: {said}");
        }
    }

    #[test]
    fn what_is_too_large_is_refused_before_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let sparse = File::create(root.join("sparse")).unwrap();
        sparse.set_len(1 << 40).unwrap();
        assert!(refusal(&root.join("sparse")).contains("larger than 1 MB"));
        std::fs::write(root.join("file"), "12345").unwrap();
        assert_eq!(read(&root.join("file"), 5).unwrap().unwrap(), b"12345");
        read(&root.join("file"), 4).unwrap_err();
        // Files in /proc report a length of 0.
        let own = Utf8Path::new("/proc/self/status");
        if own.exists() {
            assert!(!read(own, SMALL).unwrap().unwrap().is_empty());
            read(own, 10).unwrap_err();
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(dir.path()).unwrap().join("file");
        std::fs::write(&file, b"\xff").unwrap();
        assert!(read_text(&file, SMALL).is_err());
        assert_eq!(read(&file, SMALL).unwrap().unwrap(), b"\xff");
    }

    #[test]
    fn a_file_of_our_own_is_not_opened_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        std::fs::write(root.join("theirs"), "text").unwrap();
        symlink(root.join("theirs"), root.join("link")).unwrap();
        std::fs::hard_link(root.join("theirs"), root.join("second")).unwrap();
        symlink(root.join("none"), root.join("dangling")).unwrap();
        mkfifo(&root.join("fifo"));
        let open = |name: &str| {
            let mut options = OpenOptions::new();
            open_own(
                &root.join(name),
                options.read(true).write(true).create(true),
            )
        };
        for name in ["link", "second", "dangling", "fifo"] {
            open(name).unwrap_err();
        }
        assert!(!root.join("none").exists());
        open("ours").unwrap();
        open("ours").unwrap();
    }
}

//! One entry of a layer or of an unpacked folder.

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    File,
    Directory,
    Symlink(String),
    /// With the path that it shares its content with.
    HardLink(String),
    Fifo,
    Device,
    Socket,
}

/// An entry with its path as it is below the root: `rootfs/usr/lib`, without `./`
/// and without a slash at either end; the root itself is the empty path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub path: String,
    pub kind: Kind,
    /// Permission bits with set-user-id, set-group-id and sticky bit.
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    /// Bytes of a regular file.
    pub size: u64,
    /// Whether it has file capabilities (`security.capability`).
    pub capabilities: bool,
    /// The path as written, cleaned as Go's `filepath.Clean` does: with the slash at its
    /// start and with `..` that leave the root. Two entries of one path may differ in it.
    pub written: String,
    /// Whether the path as written has `..` in it.
    pub climbs: bool,
    /// The layer's place in the image, 0 at the bottom.
    pub layer: usize,
}

impl Entry {
    pub fn is_dir(&self) -> bool {
        self.kind == Kind::Directory
    }

    pub fn is_file(&self) -> bool {
        self.kind == Kind::File
    }

    /// The last part of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// Cleans a path as Go's `filepath.Clean` does below a root: `..` at the top is
/// dropped. Returns whether there was a `..` too.
pub(crate) fn clean(path: &str) -> (String, bool) {
    let mut parts: Vec<&str> = Vec::new();
    let mut climbs = false;
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                climbs = true;
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    (parts.join("/"), climbs)
}

/// Cleans a path as Go's `filepath.Clean` does, which keeps where it starts.
pub(crate) fn clean_written(path: &str) -> String {
    let is_absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if is_absolute => {}
            part => parts.push(part),
        }
    }
    let path = parts.join("/");
    if is_absolute {
        format!("/{path}")
    } else {
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_below_the_root() {
        for (path, cleaned, climbs) in [
            ("./rootfs/", "rootfs", false),
            ("/usr//lib/./x", "usr/lib/x", false),
            ("../../etc/passwd", "etc/passwd", true),
            ("a/../b", "b", true),
            (".", "", false),
        ] {
            assert_eq!(clean(path), (cleaned.to_owned(), climbs));
        }
    }

    #[test]
    fn written_paths_keep_their_start() {
        for (path, cleaned) in [
            ("./rootfs/", "rootfs"),
            ("/usr//lib/./x", "/usr/lib/x"),
            ("../../etc", "../../etc"),
            ("a/../../b", "../b"),
            ("/../a", "/a"),
            (".", ""),
        ] {
            assert_eq!(clean_written(path), cleaned);
        }
    }
}

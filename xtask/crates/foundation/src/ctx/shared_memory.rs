//! Files that back the memory of nodes with virtiofs disks: `/dev/shm/shm-NODE`
//! (`GetShmPath` in `pkg/provision/state.go`). talosctl makes them as root; they outlive
//! a node that is killed. Where `/dev/shm` is too small they are in `/tmp`, which is not
//! looked at: it is shared with processes in other PID namespaces, such as the lab's.

use std::fs;
use std::io::{ErrorKind, Result};
use std::os::unix::fs::MetadataExt;

use camino::{Utf8Path, Utf8PathBuf};
use talos::names::split_node;

use super::processes;
use crate::files;

pub const FOLDER: &str = "/dev/shm";

/// The cluster that a file of this name would belong to.
pub fn cluster_in(name: &str) -> Option<&str> {
    let (cluster, ..) = split_node(name.strip_prefix("shm-")?)?;
    Some(cluster)
}

/// Regular files of root with such names. Others' files are not talosctl's.
///
/// # Errors
/// If the folder cannot be read.
pub fn find() -> Result<Vec<Utf8PathBuf>> {
    let folder = Utf8Path::new(FOLDER);
    let names = files::names_in(folder)?;
    let names = names.iter().filter(|name| cluster_in(name).is_some());
    let is_roots = |path: &Utf8PathBuf| {
        let found = fs::symlink_metadata(path);
        found.is_ok_and(|found| found.is_file() && found.uid() == 0)
    };
    let mut found: Vec<Utf8PathBuf> = names.map(|name| folder.join(name)).collect();
    found.retain(is_roots);
    found.sort();
    Ok(found)
}

/// Returns the processes that have the file open or mapped. Only root can ask for others'.
///
/// # Errors
/// If that cannot be told for a process.
pub fn users_of(path: &Utf8Path) -> Result<Vec<i32>> {
    let file = fs::metadata(path)?;
    let mut users = Vec::new();
    for process in processes::try_scan()? {
        let pid = process.pid;
        if or_ended(is_open(pid, &file))? || or_ended(is_mapped(pid, path))? {
            users.push(pid);
        }
    }
    Ok(users)
}

fn is_open(pid: i32, file: &fs::Metadata) -> Result<bool> {
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        // Pipes and sockets have other devices.
        let same = |found: fs::Metadata| (found.dev(), found.ino()) == (file.dev(), file.ino());
        if fs::metadata(entry?.path()).is_ok_and(same) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_mapped(pid: i32, path: &Utf8Path) -> Result<bool> {
    let maps = fs::read(format!("/proc/{pid}/maps"))?;
    let mut lines = maps.split(|byte| *byte == b'\n');
    Ok(lines.any(|line| line.ends_with(path.as_str().as_bytes())))
}

/// A process that has ended uses nothing.
fn or_ended(result: Result<bool>) -> Result<bool> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
            Ok(false)
        }
        other => other,
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make the files")]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_nodes_count() {
        assert_eq!(cluster_in("shm-a-b-worker-2"), Some("a-b"));
        for name in [
            "shm-",
            "shm-a",
            "a-worker-1",
            "shm-a-worker-0",
            "shm-worker-1",
        ] {
            assert_eq!(cluster_in(name), None, "{name}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn an_open_file_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("file");
        fs::write(&path, "text").unwrap();
        let (file, own) = (fs::metadata(&path).unwrap(), std::process::id());
        let own = i32::try_from(own).unwrap();
        assert!(!is_open(own, &file).unwrap());
        let open = fs::File::open(&path).unwrap();
        assert!(is_open(own, &file).unwrap());
        drop(open);
        assert!(!is_mapped(own, &path).unwrap());
        let exe = fs::read_link("/proc/self/exe").unwrap();
        assert!(is_mapped(own, Utf8Path::from_path(&exe).unwrap()).unwrap());
        assert!(!or_ended(is_mapped(i32::MAX, &path)).unwrap());
    }
}

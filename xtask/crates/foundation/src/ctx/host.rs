//! The machine: operating system, user, memory, disk space. Cheap enough for every command.

use camino::{Utf8Path, Utf8PathBuf};

/// Facts about the host, read with a few system calls.
#[derive(Debug, Clone)]
pub struct Host {
    /// `linux`, `macos`.
    pub os: &'static str,
    /// Talos' name: `amd64`, `arm64`.
    pub arch: &'static str,
    pub uid: u32,
    pub gid: u32,
    /// Changes with every boot; empty if unknown.
    pub boot_id: String,
}

/// Bytes of memory, from `/proc/meminfo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    pub total: u64,
    pub available: u64,
}

/// Free space of the file system that a path is on, or would be created on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreeSpace {
    /// The nearest existing folder.
    pub on: Utf8PathBuf,
    /// Bytes that this user may still write.
    pub free: u64,
}

impl Host {
    pub fn probe() -> Self {
        let boot_id =
            std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self {
            os: std::env::consts::OS,
            arch: match std::env::consts::ARCH {
                "x86_64" => "amd64",
                "aarch64" => "arm64",
                other => other,
            },
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            boot_id: boot_id.trim().to_owned(),
        }
    }

    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// `None` without `/proc/meminfo`.
    pub fn memory() -> Option<Memory> {
        parse_memory(&std::fs::read_to_string("/proc/meminfo").ok()?)
    }

    /// Like [`Self::which`], also where sudo's PATH would find it.
    pub fn which_as_root(name: &str) -> Option<Utf8PathBuf> {
        Self::which(name).or_else(|| {
            let mut files = SBIN.iter().map(|dir| Utf8PathBuf::from(dir).join(name));
            files.find(|file| file.is_file())
        })
    }

    /// Returns the first executable of that name on PATH.
    pub fn which(name: &str) -> Option<Utf8PathBuf> {
        let path = std::env::var("PATH").ok()?;
        path.split(':')
            .filter(|dir| !dir.is_empty())
            .map(|dir| Utf8PathBuf::from(dir).join(name))
            .find(|file| {
                rustix::fs::access(file.as_std_path(), rustix::fs::Access::EXEC_OK).is_ok()
                    && file.is_file()
            })
    }
}

/// Outside a plain user's PATH on some systems, inside sudo's.
pub const SBIN: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// `None` if no folder above can be queried.
pub fn free_space(path: &Utf8Path) -> Option<FreeSpace> {
    let on = path.ancestors().find(|dir| dir.exists())?;
    let found = rustix::fs::statvfs(on.as_std_path()).ok()?;
    Some(FreeSpace {
        on: on.to_owned(),
        free: found.f_bavail.saturating_mul(found.f_frsize),
    })
}

fn parse_memory(text: &str) -> Option<Memory> {
    let bytes = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib * 1024)
    };
    Some(Memory {
        total: bytes("MemTotal:")?,
        available: bytes("MemAvailable:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        let text = "MemTotal:       24000 kB\nMemFree: 1 kB\nMemAvailable:   12000 kB\n";
        assert_eq!(
            parse_memory(text),
            Some(Memory {
                total: 24_576_000,
                available: 12_288_000
            })
        );
        assert_eq!(parse_memory("MemTotal: x kB"), None);
    }

    #[test]
    fn a_missing_folder_has_the_free_space_of_its_nearest_parent() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let found = free_space(&root.join("not/made/yet")).unwrap();
        assert_eq!(found.on, root);
        assert!(found.free > 0);
    }
}

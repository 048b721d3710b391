//! Finds the holder of a lock file without taking the lock, so that a look never
//! makes another run fail.

use std::os::unix::fs::MetadataExt;

use camino::Utf8Path;

use crate::files;

/// Length of the line that a holder writes.
const LONGEST_LINE: u64 = 1000;

/// The process that holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
    /// `cluster up`
    pub doing: String,
}

/// Returns the holder of `dir/NAME.lock`; `None` if it is not locked.
///
/// `/proc/locks` names inodes. Two file systems may use the same number, so the
/// pid in the file, which the holder writes, has to match too.
pub fn holder(dir: &Utf8Path, name: &str) -> Option<Holder> {
    let path = dir.join(format!("{name}.lock"));
    let inode = path.symlink_metadata().ok()?.ino();
    let line = files::read_text(&path, LONGEST_LINE).ok()??;
    let (doing, pid) = line.trim().rsplit_once(" (pid ")?;
    let pid: u32 = pid.strip_suffix(')')?.parse().ok()?;
    // Mostly it has ended, and reading `/proc/locks` waits for all CPUs: 2 to 15 ms.
    if !Utf8Path::new(&format!("/proc/{pid}")).exists() {
        return None;
    }
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    is_held(&locks, inode, pid).then(|| Holder {
        pid,
        doing: doing.to_owned(),
    })
}

/// `1: FLOCK  ADVISORY  WRITE 1234 fe:00:9994405 0 EOF`
fn is_held(locks: &str, inode: u64, pid: u32) -> bool {
    locks.lines().any(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let is_flock = words.next() == Some("FLOCK");
        let of = words.nth(2).and_then(|word| word.parse::<u32>().ok());
        let file = words.next().and_then(|word| word.rsplit_once(':'));
        is_flock && of == Some(pid) && file.is_some_and(|(_, of)| of.parse() == Ok(inode))
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use super::*;
    use crate::record::lock;
    use crate::wait::{Wait, Waited};

    #[test]
    #[cfg(target_os = "linux")]
    fn a_lock_is_seen_as_long_as_it_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        assert_eq!(holder(dir, "cluster-a"), None);
        let held = lock::take(dir, "cluster-a", "cluster up").unwrap();
        let seen = holder(dir, "cluster-a").unwrap();
        assert_eq!(
            (seen.doing.as_str(), seen.pid),
            ("cluster up", std::process::id())
        );
        assert_eq!(holder(dir, "cluster-b"), None);
        drop(held);
        // The file alone means nothing. A child that another test is starting holds
        // a copy until its exec.
        let free = Wait::default().look_every(Duration::from_millis(1), || {
            Ok::<_, Infallible>(holder(dir, "cluster-a").is_none().then_some(()))
        });
        assert_eq!(free, Ok(Waited::Found(())));
    }

    #[test]
    fn other_locks_of_the_same_inode_number_do_not_count() {
        let locks = "1: POSIX  ADVISORY  WRITE 7 fe:00:12 0 EOF\n2: FLOCK  ADVISORY  WRITE 8 fe:00:12 0 EOF\n";
        assert!(is_held(locks, 12, 8));
        assert!(!is_held(locks, 12, 7));
        assert!(!is_held(locks, 13, 8));
        assert!(!is_held("nonsense\n\n1: FLOCK", 12, 8));
    }
}

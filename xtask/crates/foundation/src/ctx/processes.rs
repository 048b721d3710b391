//! The process table, with the identity that is needed to signal a process
//! safely later.

use std::fs;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};

use super::as_root;
use super::host::Host;
use super::probe::ProbeError;
use crate::plan::ProcessIdentity;

/// `USER_HZ`, which is 100 on all common architectures of Linux, independent of
/// the kernel's timer.
const TICKS_PER_SECOND: u32 = 100;

/// A process as `/proc` shows it to this user.
#[derive(Debug, Clone)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    pub session: i32,
    /// `/proc/PID/stat` field 3; `Z` is a process that ended but was not
    /// reaped.
    pub state: char,
    /// Clock ticks after boot.
    pub start_ticks: u64,
    pub comm: String,
    pub argv: Vec<String>,
}

impl Process {
    /// Returns `None` if the process does not exist or ends meanwhile.
    pub fn probe(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut process = parse_stat(&stat)?;
        let argv = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        process.argv = argv
            .split(|byte| *byte == 0)
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        // The last argument ends with a NUL too.
        if process.argv.last().is_some_and(String::is_empty) {
            process.argv.pop();
        }
        Some(process)
    }

    pub fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }

    /// Its start time by the current wall clock.
    pub fn started(&self) -> Option<SystemTime> {
        let uptime = fs::read_to_string("/proc/uptime").ok()?;
        let uptime: f64 = uptime.split_whitespace().next()?.parse().ok()?;
        let ticks = Duration::from_secs(self.start_ticks) / TICKS_PER_SECOND;
        let age = Duration::try_from_secs_f64(uptime)
            .ok()?
            .checked_sub(ticks)?;
        SystemTime::now().checked_sub(age)
    }

    /// The target of file descriptor 1; `None` if it cannot be read.
    pub fn stdout_path(&self) -> Option<Utf8PathBuf> {
        link(self.pid, "fd/1")
    }

    /// Its working directory; `None` if it cannot be read.
    pub fn current_dir(&self) -> Option<Utf8PathBuf> {
        link(self.pid, "cwd")
    }

    /// The path of the executable, or the command name if it cannot be read.
    pub fn executable(&self) -> String {
        link(self.pid, "exe").map_or_else(|| self.comm.clone(), Utf8PathBuf::into_string)
    }

    /// The inode of its network namespace; `None` if it cannot be read.
    pub fn network_namespace(&self) -> Option<u64> {
        use std::os::unix::fs::MetadataExt;
        Some(
            fs::metadata(format!("/proc/{}/ns/net", self.pid))
                .ok()?
                .ino(),
        )
    }

    /// Whether it runs in a PID namespace below that of `/proc`, as in a
    /// container or a lab. Other users' processes show this too.
    pub fn is_in_inner_pid_namespace(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        pids.is_some_and(|pids| pids.split_whitespace().count() > 1)
    }

    /// How long its threads have waited for a processor in all; zero if the
    /// kernel does not count that (`/proc/PID/task/TID/schedstat`, second field).
    pub fn run_delay(&self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid));
        let delay = |thread: fs::DirEntry| -> Option<u64> {
            let counts = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            counts.split_whitespace().nth(1)?.parse().ok()
        };
        let delays = threads.into_iter().flatten().flatten().filter_map(delay);
        Duration::from_nanos(delays.sum())
    }

    /// The user that it runs as; `None` if it has ended.
    pub fn owner(&self) -> Option<u32> {
        use std::os::unix::fs::MetadataExt;
        Some(fs::metadata(format!("/proc/{}", self.pid)).ok()?.uid())
    }

    /// Whether `path` is the same folder for this process: the arguments of a
    /// process in a container may name a folder inside the container. `None` if
    /// unknown, as for other users' processes without root.
    pub fn shares(&self, path: &Utf8Path) -> Option<bool> {
        use std::os::unix::fs::MetadataExt;
        let there = format!("/proc/{}/root{path}", self.pid);
        let there = match fs::symlink_metadata(&there) {
            Ok(found) => Some((found.dev(), found.ino())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(_) => return None,
        };
        let here = match fs::symlink_metadata(path) {
            Ok(found) => Some((found.dev(), found.ino())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(_) => return None,
        };
        // Some helpers change their root folder.
        Some(there.is_none() || there == here)
    }

    pub fn identity(&self, host: &Host, what: impl Into<String>) -> ProcessIdentity {
        ProcessIdentity {
            boot_id: host.boot_id.clone(),
            pid: self.pid,
            start_ticks: self.start_ticks,
            exe: self.executable(),
            what: what.into(),
            cluster: None,
        }
    }
}

/// Returns the inodes of the network namespaces of processes. Root is asked about those of
/// other users.
///
/// # Errors
/// If one has ended, or sudo needs a password.
pub fn network_namespaces<'a>(
    processes: impl Iterator<Item = &'a Process>,
) -> Result<Vec<u64>, ProbeError> {
    let mut inodes = Vec::new();
    let mut hidden = Vec::new();
    for process in processes {
        match process.network_namespace() {
            Some(inode) => inodes.push(inode),
            None => hidden.push(format!("/proc/{}/ns/net", process.pid)),
        }
    }
    if !hidden.is_empty() {
        let stat = ["stat", "--dereference", "--format=%i"];
        let argv: Vec<&str> = stat
            .into_iter()
            .chain(hidden.iter().map(String::as_str))
            .collect();
        let answer = as_root::answer(&argv)?;
        inodes.extend(answer.lines().filter_map(|line| line.parse::<u64>().ok()));
    }
    Ok(inodes)
}

/// Returns all processes that this user can see, sorted by pid; empty if the
/// process table cannot be read. Not for deciding that something is gone.
pub fn scan() -> Vec<Process> {
    try_scan().unwrap_or_default()
}

/// Like [`scan`].
///
/// # Errors
/// If the process table cannot be read or hides other users' processes.
pub fn try_scan() -> std::io::Result<Vec<Process>> {
    let mut pids: Vec<i32> = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        pids.extend(name.to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    if !pids.contains(&own) {
        return Err(std::io::Error::other("`/proc` does not show processes"));
    }
    // Other users' processes may be hidden, such as a cluster's helpers, which
    // run as root.
    if fs::read("/proc/1/stat").is_err() {
        return Err(std::io::Error::other(
            "`/proc` hides the processes of other users (`hidepid`)",
        ));
    }
    pids.sort_unstable();
    Ok(pids
        .into_iter()
        .filter_map(Process::probe)
        .filter(Process::is_alive)
        .collect())
}

fn link(pid: i32, name: &str) -> Option<Utf8PathBuf> {
    let target = fs::read_link(format!("/proc/{pid}/{name}")).ok()?;
    Utf8PathBuf::from_path_buf(target).ok()
}

/// `comm` may contain blanks and parentheses: the last `)` ends it.
fn parse_stat(stat: &str) -> Option<Process> {
    let (head, tail) = stat.rsplit_once(')')?;
    let (pid, comm) = head.split_once('(')?;
    let fields: Vec<&str> = tail.split_ascii_whitespace().take(20).collect();
    Some(Process {
        pid: pid.trim().parse().ok()?,
        comm: comm.to_owned(),
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        start_ticks: fields.get(19)?.parse().ok()?,
        argv: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_may_hold_anything() {
        let stat = "12 (a ) (b) S 1 12 7 0 -1 4194560 1 0 0 0 3 4 0 0 20 0 1 0 99 1 2 3";
        let process = parse_stat(stat).unwrap();
        assert_eq!(process.comm, "a ) (b");
        assert_eq!(
            (process.parent, process.session, process.start_ticks),
            (1, 7, 99)
        );
    }

    #[test]
    fn we_are_in_the_table_ourselves() {
        let me = i32::try_from(std::process::id()).unwrap();
        let found = scan()
            .into_iter()
            .find(|process| process.pid == me)
            .unwrap();
        assert!(!found.argv.is_empty());
        assert!(found.executable().starts_with('/'));
        let age = found.started().unwrap().elapsed().unwrap_or_default();
        assert!(age < Duration::from_hours(1), "{age:?}");
    }
}

//! What is there of a lab: found by looking at the process table, never by a
//! file that says so.

use std::fs;
use std::os::unix::fs::MetadataExt;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use talos::TalosVersion;

use super::folder::{LabFolder, MARKER};
use super::parts::LabParts;
use super::up;
use crate::app::LabNodes;
use foundation::ctx::processes::{self, Process};
use foundation::files;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Absent,
    Starting,
    Running,
    /// A folder without processes: the machine was restarted, or the lab's
    /// init was killed.
    Stale,
}

/// What the lab was started with; the marker file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Made {
    pub(super) schema: u32,
    /// As a tag: `v1.12.0`.
    pub(super) talosctl: String,
    #[serde(default)]
    pub(super) nodes: LabNodes,
    pub(super) kernel: String,
    /// Version of the part that nodes boot.
    pub(super) guest: String,
    /// Of the talosctl and the tools, for the PATH inside.
    pub(super) path: Vec<Utf8PathBuf>,
}

impl Made {
    /// The parts that it was started from, as this program would make them.
    pub(super) fn parts(&self, lab_folder: &LabFolder, arch: &str) -> LabParts {
        let version = TalosVersion::parse(&self.talosctl);
        let version = version.unwrap_or_else(|_| up::default_version(self.nodes));
        LabParts::wanted(lab_folder, self.nodes, &version, arch)
    }
}

#[derive(Debug, Clone)]
pub(super) struct Lab {
    pub(super) state: State,
    /// PID 1 of the lab's namespace.
    pub(super) init: Option<Process>,
    /// Others that speak of this lab: the unshare around init, a start under way.
    pub(super) helpers: Vec<Process>,
    pub(super) made: Option<Made>,
}

impl Lab {
    pub(super) fn probe(lab_folder: &LabFolder) -> Self {
        let (init, helpers) = find(&lab_folder.dir);
        let marker = files::read_text(&lab_folder.dir.join(MARKER), files::SMALL);
        let made = marker
            .ok()
            .flatten()
            .and_then(|text| serde_json::from_str(&text).ok());
        let ready = lab_folder.dir.join("ready").exists();
        let state = match (&init, helpers.is_empty()) {
            (Some(_), _) if ready => State::Running,
            (Some(_), _) | (None, false) => State::Starting,
            (None, true) if fs::symlink_metadata(&lab_folder.dir).is_ok() => State::Stale,
            (None, true) => State::Absent,
        };
        Self {
            state,
            init,
            helpers,
            made,
        }
    }

    /// What its nodes run.
    pub(super) fn nodes(&self) -> LabNodes {
        self.made
            .as_ref()
            .map(|made| made.nodes)
            .unwrap_or_default()
    }

    /// The running lab's init, for entering it.
    pub(super) fn running(&self) -> Option<(&Process, &Made)> {
        match self.state {
            State::Running => self.init.as_ref().zip(self.made.as_ref()),
            _ => None,
        }
    }
}

/// The lab's init and everything else that root runs for it.
fn find(dir: &Utf8Path) -> (Option<Process>, Vec<Process>) {
    let mut init = None;
    let mut helpers = Vec::new();
    for process in processes::scan() {
        // Any user may give a process these arguments, and the lab is entered
        // as root.
        if !names(&process.argv, dir) || !is_roots(process.pid) {
            continue;
        }
        if init.is_none() && is_first_of_its_namespace(process.pid) {
            init = Some(process);
        } else {
            helpers.push(process);
        }
    }
    (init, helpers)
}

/// Whether root's Docker runs with these settings.
pub(super) fn runs_with(settings: &Utf8Path) -> bool {
    let named = |process: &Process| {
        process
            .argv
            .windows(2)
            .any(|words| words[0] == "--config-file" && words[1] == settings.as_str())
    };
    processes::scan()
        .iter()
        .any(|process| named(process) && is_roots(process.pid))
}

/// Cgroup folders of what Docker ran: the kernel keeps empty ones.
pub(super) fn cgroups(lab_folder: &LabFolder) -> Vec<Utf8PathBuf> {
    let name = glob::Pattern::escape(&lab_folder.cgroup());
    // One hierarchy, or one for each controller.
    let patterns = ["/sys/fs/cgroup", "/sys/fs/cgroup/*"];
    let folders = patterns
        .iter()
        .filter_map(|root| glob::glob(&format!("{root}{name}/")).ok());
    let folders = folders.flatten().flatten();
    folders
        .filter_map(|folder| Utf8PathBuf::from_path_buf(folder).ok())
        .collect()
}

/// `sh …/init/init DIR …`, also behind the words of `setsid` and `unshare`.
fn names(argv: &[String], dir: &Utf8Path) -> bool {
    argv.windows(2).any(|words| {
        (words[0].ends_with("/init/init") || words[0].ends_with("/init/start"))
            && words[1] == dir.as_str()
    })
}

fn is_roots(pid: i32) -> bool {
    fs::metadata(format!("/proc/{pid}")).is_ok_and(|found| found.uid() == 0)
}

fn is_first_of_its_namespace(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| ends_as_one(&status))
}

/// `NSpid:` lists the pid in each namespace, ours first.
fn ends_as_one(status: &str) -> bool {
    let Some(line) = status.lines().find_map(|line| line.strip_prefix("NSpid:")) else {
        return false;
    };
    let pids: Vec<&str> = line.split_whitespace().collect();
    pids.len() > 1 && pids.last() == Some(&"1")
}

/// Loop devices backed by a file under `dir`, which no namespace holds. Others
/// are never touched.
pub(super) fn loops(dir: &Utf8Path) -> Vec<String> {
    let real = dir.canonicalize_utf8().unwrap_or_else(|_| dir.to_owned());
    let files = glob::glob("/sys/block/loop*/loop/backing_file").into_iter();
    let mut found: Vec<String> = files
        .flatten()
        .filter_map(|file| {
            let backing = fs::read_to_string(file.as_ref().ok()?).ok()?;
            // The kernel adds " (deleted)" behind the path.
            let backing = Utf8Path::new(backing.trim_end());
            let ours = backing.starts_with(&real) || backing.starts_with(dir);
            let name = file
                .ok()?
                .components()
                .nth(3)?
                .as_os_str()
                .to_str()?
                .to_owned();
            ours.then(|| format!("/dev/{name}"))
        })
        .collect();
    found.sort();
    found
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests prepare files")]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_lab_is_named_by_init_and_its_folder() {
        let dir = Utf8Path::new("/c/lab");
        assert!(names(&words("sh /p/tools-1/init/init /c/lab /p"), dir));
        assert!(names(
            &words("unshare --pid --fork sh /p/tools-1/init/init /c/lab /p"),
            dir
        ));
        assert!(names(&words("sh /p/tools-1/init/start /c/lab /p"), dir));
        assert!(!names(&words("sh /p/tools-1/init/init /c/lab2 /p"), dir));
        assert!(!names(&words("vim /c/lab /p/tools-1/init/init"), dir));
        assert!(!names(&[], dir));
    }

    #[test]
    fn pid_one_is_looked_for_in_the_innermost_namespace() {
        assert!(ends_as_one("Name:\tsh\nNSpid:\t4922\t1\nVmPeak: 1"));
        assert!(!ends_as_one("Name:\tinit\nNSpid:\t1\n"));
        assert!(!ends_as_one("Name:\tsh\nNSpid:\t4922\t11\n"));
        assert!(!ends_as_one("Name:\tsh\n"));
    }

    #[test]
    fn a_process_of_a_user_with_our_arguments_is_not_a_lab() {
        let root = tempfile::tempdir().unwrap();
        let dir = Utf8PathBuf::from_path_buf(root.path().to_owned()).unwrap();
        let lab_folder = LabFolder {
            dir: dir.clone(),
            parts: "/p".into(),
            shared_parent: false,
        };
        assert_eq!(Lab::probe(&lab_folder).state, State::Stale);
        fs::write(dir.join("ready"), "").unwrap();
        assert_eq!(Lab::probe(&lab_folder).state, State::Stale);
        drop(root);
        assert_eq!(Lab::probe(&lab_folder).state, State::Absent);
        assert!(loops(&dir).is_empty());
    }
}

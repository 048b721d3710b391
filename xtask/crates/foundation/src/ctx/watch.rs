//! Changes of a checkout's files. The system reports that something happened in a folder;
//! whether a file has changed is decided by its content, so that a touch, a save of equal
//! bytes and a checkout of another branch and back do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use ignore::WalkBuilder;
use notify::event::EventKind;
use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};
use rustc_hash::FxHasher;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use super::git;
use crate::failure::{Because, Failure, Result};
use crate::signals::Signals;
use crate::wait::{Wait, Waited};

/// A round starts when nothing has happened for this long: a save is several events, and
/// git writes thousands of files.
const QUIET: Duration = Duration::from_millis(200);

/// What git keeps in its folder while it is in the middle of something.
const BUSY: [&str; 5] = [
    "index.lock",
    "HEAD.lock",
    "rebase-merge",
    "rebase-apply",
    "sequencer",
];

/// Names that editors give to files that they delete again.
fn is_of_an_editor(name: &str) -> bool {
    name.ends_with('~') || name == "4913"
}

/// What the system reports.
enum Report {
    /// Something happened to these paths.
    Paths(Vec<PathBuf>),
    /// Reports are lost.
    Lost,
}

/// The files of a checkout that git does not ignore, and their content.
pub struct Watch {
    root: Utf8PathBuf,
    git: Option<Utf8PathBuf>,
    notify: RecommendedWatcher,
    reports: UnboundedReceiver<Report>,
    /// Watched folders, each with its files and a hash of their content.
    folders: BTreeMap<PathBuf, BTreeMap<PathBuf, u64>>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Watch {
    /// Starts to watch.
    ///
    /// # Errors
    /// When the system has no watches left, or the folder cannot be read.
    pub fn start(root: &Utf8Path) -> Result<Self> {
        let (send, reports) = unbounded_channel();
        let handler = move |event: notify::Result<notify::Event>| {
            let report = match event {
                Ok(event) if event.need_rescan() => Report::Lost,
                Ok(event) if matches!(event.kind, EventKind::Access(_)) => return,
                Ok(event) => Report::Paths(event.paths),
                Err(_) => Report::Lost,
            };
            // The receiver is gone at the end only.
            let _ = send.send(report);
        };
        let notify =
            notify::recommended_watcher(handler).because(|| format!("cannot watch `{root}`"))?;
        let mut watch = Self {
            root: root.to_owned(),
            git: git::folder(root),
            notify,
            reports,
            folders: BTreeMap::new(),
        };
        watch.add(root.as_std_path(), &mut BTreeSet::new())?;
        Ok(watch)
    }

    /// Awaits changes. Returns the paths of the changed files, from the root; none if the user
    /// has asked to stop.
    ///
    /// # Errors
    /// When the system has no watches left.
    pub fn changes(&mut self, signals: &Signals) -> Result<Option<BTreeSet<Utf8PathBuf>>> {
        loop {
            let touched = match Wait::default().or_signal(signals).until(self.touched())? {
                Waited::Found(touched) => touched,
                Waited::Interrupted | Waited::TimedOut => return Ok(None),
            };
            let changed = self.compare(touched)?;
            if !changed.is_empty() {
                return Ok(Some(changed));
            }
        }
    }

    /// The folders in which something happened, once all is quiet; none for all of them.
    async fn touched(&mut self) -> Option<BTreeSet<PathBuf>> {
        let mut folders = BTreeSet::new();
        let mut is_lost = false;
        let mut next = self.reports.recv().await;
        loop {
            match next {
                Some(Report::Paths(paths)) => {
                    for path in paths {
                        folders.extend(path.parent().map(Path::to_owned));
                        folders.insert(path);
                    }
                }
                // The watcher is dropped with this.
                Some(Report::Lost) | None => is_lost = true,
            }
            // The time is over again and again while git is busy, whether or not it writes.
            next = loop {
                match timeout(QUIET, self.reports.recv()).await {
                    Ok(report) => break report,
                    Err(_) if self.git_is_busy() => {}
                    Err(_) => return (!is_lost).then_some(folders),
                }
            };
        }
    }

    fn git_is_busy(&self) -> bool {
        let git = self.git.as_ref();
        git.is_some_and(|git| BUSY.iter().any(|name| git.join(name).exists()))
    }

    /// Reads the folders again, all if there are none, and returns the files whose content
    /// differs.
    fn compare(&mut self, touched: Option<BTreeSet<PathBuf>>) -> Result<BTreeSet<Utf8PathBuf>> {
        let mut changed = BTreeSet::new();
        let touched = touched.unwrap_or_else(|| self.folders.keys().cloned().collect());
        for folder in touched {
            if !self.folders.contains_key(&folder) {
                continue;
            }
            if !folder.is_dir() {
                self.remove(&folder, &mut changed);
                continue;
            }
            let (files, below) = listed(&folder);
            let before = self.folders.insert(folder.clone(), files.clone());
            let before = before.unwrap_or_default();
            let differ = files
                .iter()
                .filter(|(path, hash)| before.get(*path) != Some(hash));
            let gone = before.keys().filter(|path| !files.contains_key(*path));
            let paths = differ.map(|(path, _)| path).chain(gone);
            changed.extend(paths.filter_map(|path| self.relative(path)));
            for new in below {
                if !self.folders.contains_key(&new) {
                    self.add(&new, &mut changed)?;
                }
            }
        }
        Ok(changed)
    }

    /// Watches a folder and those below it. Their files count as new.
    fn add(&mut self, top: &Path, new: &mut BTreeSet<Utf8PathBuf>) -> Result<()> {
        let mut open = vec![top.to_owned()];
        while let Some(folder) = open.pop() {
            // Watched before it is read: what changes in between is reported.
            match self.notify.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {}
                Err(error) if matches!(error.kind, ErrorKind::MaxFilesWatch) => {
                    return Err(no_watches(&folder));
                }
                // It is gone again, or only others may read it.
                Err(_) => continue,
            }
            let (files, below) = listed(&folder);
            new.extend(files.keys().filter_map(|path| self.relative(path)));
            self.folders.insert(folder, files);
            open.extend(below);
        }
        Ok(())
    }

    fn remove(&mut self, folder: &Path, gone: &mut BTreeSet<Utf8PathBuf>) {
        let below: Vec<PathBuf> = self
            .folders
            .keys()
            .filter(|other| other.starts_with(folder))
            .cloned()
            .collect();
        for folder in below {
            // The system has dropped the watch with the folder.
            let _ = self.notify.unwatch(&folder);
            let files = self.folders.remove(&folder).unwrap_or_default();
            gone.extend(files.keys().filter_map(|path| self.relative(path)));
        }
    }

    fn relative(&self, path: &Path) -> Option<Utf8PathBuf> {
        let path = Utf8Path::from_path(path)?;
        path.strip_prefix(&self.root).ok().map(Utf8Path::to_owned)
    }
}

fn no_watches(folder: &Path) -> Failure {
    Failure::host(format!("cannot watch `{}`", folder.display()))
        .cause("the limit of watches of this user is reached")
        .hint("sudo sysctl fs.inotify.max_user_watches=524288")
}

/// The files of a folder with a hash of their content, and the folders in it, without what
/// git ignores and without hidden ones.
fn listed(folder: &Path) -> (BTreeMap<PathBuf, u64>, Vec<PathBuf>) {
    let entries = WalkBuilder::new(folder)
        .max_depth(Some(1))
        .ignore(false)
        .follow_links(false)
        .build();
    let (mut files, mut folders) = (BTreeMap::new(), Vec::new());
    for entry in entries.flatten().filter(|entry| entry.depth() > 0) {
        let name = entry.file_name().to_string_lossy();
        match entry.file_type() {
            Some(kind) if kind.is_dir() => folders.push(entry.into_path()),
            Some(kind) if kind.is_file() && !is_of_an_editor(&name) => {
                if let Some(hash) = hash_of(entry.path()) {
                    files.insert(entry.into_path(), hash);
                }
            }
            _ => {}
        }
    }
    (files, folders)
}

/// None if the file is gone or cannot be read.
fn hash_of(path: &Path) -> Option<u64> {
    let mut hasher = FxHasher::default();
    hasher.write(&std::fs::read(path).ok()?);
    Some(hasher.finish())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests change files")]
mod tests {
    use std::fs;

    use super::*;

    fn changed(watch: &mut Watch) -> Vec<String> {
        let touched = Wait::default().until(watch.touched()).unwrap();
        let Waited::Found(touched) = touched else {
            panic!("{touched:?}");
        };
        let changed = watch.compare(touched).unwrap();
        changed.into_iter().map(Utf8PathBuf::into_string).collect()
    }

    #[test]
    fn only_content_counts() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir(root.join(".git")).unwrap();
        for (name, text) in [
            ("a/x.go", "1"),
            ("a/b/y.go", "1"),
            (".gitignore", "*.sum\n/_out/\n"),
        ] {
            fs::write(root.join(name), text).unwrap();
        }
        let mut watch = Watch::start(root).unwrap();

        fs::write(root.join("a/x.go"), "1").unwrap();
        fs::write(root.join("go.work.sum"), "ignored").unwrap();
        fs::write(root.join("a/.x.go.swp"), "hidden").unwrap();
        fs::write(root.join("a/x.go~"), "of an editor").unwrap();
        assert_eq!(changed(&mut watch), [""; 0], "a touch");

        // As editors save: to another file that takes the place of the first.
        fs::write(root.join("a/b/new"), "2").unwrap();
        fs::rename(root.join("a/b/new"), root.join("a/b/y.go")).unwrap();
        fs::create_dir_all(root.join("c/d")).unwrap();
        fs::write(root.join("c/d/z.go"), "1").unwrap();
        assert_eq!(changed(&mut watch), ["a/b/y.go", "c/d/z.go"]);

        fs::write(root.join("c/d/z.go"), "2").unwrap();
        assert_eq!(changed(&mut watch), ["c/d/z.go"], "a new folder is watched");
        fs::remove_dir_all(root.join("c")).unwrap();
        assert_eq!(changed(&mut watch), ["c/d/z.go"]);
    }

    #[test]
    fn lost_reports_lead_to_a_full_comparison() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        fs::create_dir(root.join("a")).unwrap();
        fs::write(root.join("a/x.go"), "1").unwrap();
        let mut watch = Watch::start(root).unwrap();
        fs::write(root.join("a/x.go"), "2").unwrap();
        let changed = watch.compare(None).unwrap();
        assert_eq!(changed.into_iter().collect::<Vec<_>>(), ["a/x.go"]);
    }

    #[test]
    fn nothing_is_read_while_git_is_in_the_middle() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        fs::write(root.join("x.go"), "1").unwrap();
        let mut watch = Watch::start(root).unwrap();
        let git = root.join("busy");
        fs::create_dir(&git).unwrap();
        watch.git = Some(git.clone());
        fs::write(git.join("index.lock"), "").unwrap();
        fs::write(root.join("x.go"), "half").unwrap();
        let half = Wait::default().within(4 * QUIET).until(watch.touched());
        assert_eq!(half.unwrap(), Waited::TimedOut);
        fs::write(root.join("x.go"), "whole").unwrap();
        fs::remove_file(git.join("index.lock")).unwrap();
        assert_eq!(changed(&mut watch), ["x.go"]);
    }
}

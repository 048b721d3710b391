//! Changes of a checkout's files. The system reports that something happened in a folder;
//! whether a file has changed is decided by its content, so that a touch, a save of equal
//! bytes and a checkout of another branch and back do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::mpsc::{SendError, channel};
use std::thread::{Builder, scope};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use flate2::Crc;
use ignore::{DirEntry, WalkBuilder};
use notify::event::{EventKind, MetadataKind, ModifyKind};
use notify::{ErrorKind, PollWatcher, RecursiveMode, Watcher};
use tokio::select;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use super::{file_system, git};
use crate::failure::{Because, Failure, Result};
use crate::signals::Signals;
use crate::wait::{Wait, Waited};

/// A round starts when nothing has happened for this long: a save is several events, and
/// git writes thousands of files.
const QUIET: Duration = Duration::from_millis(200);

/// How often a file system without events is looked at.
const POLL: Duration = Duration::from_secs(2);

/// What git keeps in its folder while it is in the middle of something.
const BUSY: [&str; 6] = [
    "index.lock",
    "HEAD.lock",
    "rebase-merge",
    "rebase-apply",
    "sequencer",
    "MERGE_HEAD",
];

/// How often git is found busy before that is reported: a checkout takes a second.
const LONG: usize = 15;

/// Names that editors give to files that they delete again.
fn is_of_an_editor(name: &str) -> bool {
    name.ends_with('~') || name == "4913"
}

/// What the system reports.
enum Report {
    /// Something happened to these paths; whether it may have changed their content.
    Paths(Vec<PathBuf>, bool),
    /// Reports are lost.
    Lost,
}

impl Report {
    /// `None` for what does not matter.
    fn of(event: notify::Result<notify::Event>) -> Option<Self> {
        match event {
            Ok(event) if event.need_rescan() => Some(Self::Lost),
            Ok(event) => match event.kind {
                EventKind::Access(_) => None,
                // The time is what a file system that is polled shows of a write.
                EventKind::Modify(ModifyKind::Metadata(kind)) => {
                    let is_written = kind == MetadataKind::WriteTime;
                    Some(Self::Paths(event.paths, is_written))
                }
                _ => Some(Self::Paths(event.paths, true)),
            },
            Err(_) => Some(Self::Lost),
        }
    }
}

/// What was reported since files were last compared.
#[derive(Debug, Default, PartialEq, Eq)]
struct Touched {
    folders: BTreeSet<PathBuf>,
    /// Reports are lost: anything may have happened.
    is_lost: bool,
}

impl Touched {
    fn is_empty(&self) -> bool {
        self.folders.is_empty() && !self.is_lost
    }
}

/// How a wait for changes ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Woken<T> {
    /// The paths of the changed files, from the root.
    Changed(BTreeSet<Utf8PathBuf>),
    /// The caller's own event.
    Other(T),
    /// Nothing is compared before git is done: it keeps this file. Reported once.
    GitIsBusy(&'static str),
    /// The user has asked to stop.
    Stop,
}

/// The files of a checkout that git does not ignore, and their content.
pub struct Watch {
    root: Utf8PathBuf,
    git: Option<Utf8PathBuf>,
    notify: Box<dyn Watcher>,
    reports: UnboundedReceiver<Report>,
    /// Why it looks at files again and again, if the system reports no events.
    polled: Option<&'static str>,
    touched: Touched,
    /// How often git was found busy since it last was not.
    busy: usize,
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
        Self::start_on(root, file_system::without_events(root))
    }

    fn start_on(root: &Utf8Path, polled: Option<&'static str>) -> Result<Self> {
        let (send, reports) = unbounded_channel();
        let handler = move |event: notify::Result<notify::Event>| {
            if let Some(report) = Report::of(event) {
                // The receiver is gone at the end only.
                let _ = send.send(report);
            }
        };
        let cannot = || format!("cannot watch `{root}`");
        let notify: Box<dyn Watcher> = if polled.is_some() {
            // It knows times in seconds, in which a file may be written twice.
            let config = notify::Config::default()
                .with_poll_interval(POLL)
                .with_compare_contents(true);
            Box::new(PollWatcher::new(handler, config).because(cannot)?)
        } else {
            Box::new(notify::recommended_watcher(handler).because(cannot)?)
        };
        let mut watch = Self {
            root: root.to_owned(),
            git: git::folder(root),
            notify,
            reports,
            polled,
            touched: Touched::default(),
            busy: 0,
            folders: BTreeMap::new(),
        };
        watch.add(root.as_std_path(), &mut BTreeSet::new())?;
        Ok(watch)
    }

    /// The kind of the checkout's file system, if it reports no events: then files are looked
    /// at every two seconds.
    pub fn polled(&self) -> Option<&'static str> {
        self.polled
    }

    /// How many folders are watched.
    pub fn folders(&self) -> usize {
        self.folders.len()
    }

    /// Awaits changes. Returns the paths of the changed files, from the root; none if the user
    /// has asked to stop.
    ///
    /// # Errors
    /// When the system has no watches left.
    pub fn changes(&mut self, signals: &Signals) -> Result<Option<BTreeSet<Utf8PathBuf>>> {
        loop {
            match self.changes_or(signals, pending::<()>())? {
                Woken::Changed(files) => return Ok(Some(files)),
                Woken::GitIsBusy(_) => {}
                Woken::Other(()) | Woken::Stop => return Ok(None),
            }
        }
    }

    /// Awaits changes, or the caller's own event. What is reported until then is not lost.
    ///
    /// # Errors
    /// When the system has no watches left.
    pub fn changes_or<T>(
        &mut self,
        signals: &Signals,
        other: impl Future<Output = T>,
    ) -> Result<Woken<T>> {
        let woken = Wait::default().or_signal(signals).until(async {
            let mut other = pin!(other);
            loop {
                select! {
                    biased;
                    value = &mut other => return Ok(Woken::Other(value)),
                    busy = self.settled() => if let Some(busy) = busy {
                        return Ok(Woken::GitIsBusy(busy));
                    }
                }
                let touched = std::mem::take(&mut self.touched);
                let changed = self.compare(touched)?;
                if !changed.is_empty() {
                    return Ok(Woken::Changed(changed));
                }
            }
        })?;
        match woken {
            Waited::Found(woken) => woken,
            Waited::Interrupted | Waited::TimedOut => Ok(Woken::Stop),
        }
    }

    /// For the end of a build, which has read the files at some time since the last wait: those
    /// that were written meanwhile count as changed, even if they have their former content
    /// again.
    pub fn doubt_written(&mut self) {
        while let Ok(report) = self.reports.try_recv() {
            if let Report::Paths(paths, true) = &report {
                for path in paths {
                    if let Some(files) = path.parent().and_then(|it| self.folders.get_mut(it)) {
                        files.remove(path);
                    }
                }
            }
            self.note(report);
        }
    }

    /// Compares a folder now, for a caller that has written into it: its changes are not
    /// reported later.
    ///
    /// # Errors
    /// When the system has no watches left.
    pub fn changed_in(&mut self, folder: &Utf8Path) -> Result<BTreeSet<Utf8PathBuf>> {
        let folder = self.root.join(folder).into_std_path_buf();
        let mut others = Vec::new();
        while let Ok(report) = self.reports.try_recv() {
            match report {
                Report::Paths(paths, _) if paths.iter().all(|it| it.starts_with(&folder)) => {}
                other => others.push(other),
            }
        }
        for report in others {
            self.note(report);
        }
        let below = self.folders.keys().filter(|it| it.starts_with(&folder));
        let touched = Touched {
            folders: below.cloned().collect(),
            is_lost: false,
        };
        self.compare(touched)
    }

    fn note(&mut self, report: Report) {
        match report {
            Report::Paths(paths, _) => {
                for path in paths {
                    let folders = &mut self.touched.folders;
                    folders.extend(path.parent().map(Path::to_owned));
                    folders.insert(path);
                }
            }
            Report::Lost => self.touched.is_lost = true,
        }
    }

    /// Returns when something has happened and all is quiet, or what git keeps while it is busy
    /// for long; may be dropped and called again.
    async fn settled(&mut self) -> Option<&'static str> {
        if self.touched.is_empty() {
            match self.reports.recv().await {
                Some(report) => self.note(report),
                // The watcher is dropped with this.
                None => pending().await,
            }
        }
        // The time is over again and again while git is busy, whether or not it writes.
        loop {
            match timeout(QUIET, self.reports.recv()).await {
                Ok(Some(report)) => self.note(report),
                Ok(None) => pending().await,
                Err(_) => {
                    let Some(marker) = self.git_is_busy() else {
                        self.busy = 0;
                        return None;
                    };
                    self.busy += 1;
                    if self.busy == LONG {
                        return Some(marker);
                    }
                }
            }
        }
    }

    fn git_is_busy(&self) -> Option<&'static str> {
        let git = self.git.as_ref()?;
        BUSY.into_iter().find(|name| git.join(name).exists())
    }

    /// Reads the folders again, all if reports are lost, and returns the files whose content
    /// differs.
    fn compare(&mut self, touched: Touched) -> Result<BTreeSet<Utf8PathBuf>> {
        let mut changed = BTreeSet::new();
        let touched = if touched.is_lost {
            self.folders.keys().cloned().collect()
        } else {
            touched.folders
        };
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
        let hashed = scope(|scope| {
            // A thread reads files while this one watches folders: a checkout has thousands.
            let (send, files) = channel::<PathBuf>();
            let thread = Builder::new().spawn_scoped(scope, move || {
                let hashed = files.iter().filter_map(with_hash);
                hashed.collect::<Vec<_>>()
            });
            let mut unsent = Vec::new();
            // In one walk: each walk of its own would read the ignore rules above it again.
            for entry in walk(top).build().flatten() {
                let path = entry.path();
                if entry.file_type().is_some_and(|kind| kind.is_dir()) {
                    // Watched before it is read: what changes in between is reported.
                    match self.notify.watch(path, RecursiveMode::NonRecursive) {
                        Ok(()) => {
                            self.folders.insert(path.to_owned(), BTreeMap::new());
                        }
                        Err(error) if matches!(error.kind, ErrorKind::MaxFilesWatch) => {
                            return Err(no_watches(path));
                        }
                        // It is gone again, or only others may read it.
                        Err(_) => {}
                    }
                } else if counts(&entry)
                    && let Err(SendError(path)) = send.send(entry.into_path())
                {
                    // No thread could be started.
                    unsent.extend(with_hash(path));
                }
            }
            drop(send);
            let read = thread.map(|thread| thread.join().unwrap_or_default());
            Ok(read.unwrap_or(unsent))
        })?;
        for (path, hash) in hashed {
            let relative = self.relative(&path);
            let folder = path.parent().and_then(|it| self.folders.get_mut(it));
            if let Some(folder) = folder {
                folder.insert(path, hash);
                new.extend(relative);
            }
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

/// Without what git ignores and without hidden files.
fn walk(folder: &Path) -> WalkBuilder {
    let mut walk = WalkBuilder::new(folder);
    walk.ignore(false).follow_links(false);
    walk
}

/// The files of a folder with a hash of their content, and the folders in it.
fn listed(folder: &Path) -> (BTreeMap<PathBuf, u64>, Vec<PathBuf>) {
    let entries = walk(folder).max_depth(Some(1)).build();
    let (mut files, mut folders) = (BTreeMap::new(), Vec::new());
    for entry in entries.flatten().filter(|entry| entry.depth() > 0) {
        if entry.file_type().is_some_and(|kind| kind.is_dir()) {
            folders.push(entry.into_path());
        } else if counts(&entry)
            && let Some(hash) = hash_of(entry.path())
        {
            files.insert(entry.into_path(), hash);
        }
    }
    (files, folders)
}

/// Whether the content of what was found matters.
fn counts(entry: &DirEntry) -> bool {
    let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
    is_file && !is_of_an_editor(&entry.file_name().to_string_lossy())
}

/// `None` if the file is gone or cannot be read.
fn with_hash(path: PathBuf) -> Option<(PathBuf, u64)> {
    let hash = hash_of(&path)?;
    Some((path, hash))
}

/// Length and CRC, which no code computes faster. `None` if the file is gone or cannot be read.
fn hash_of(path: &Path) -> Option<u64> {
    let mut crc = Crc::new();
    crc.update(&std::fs::read(path).ok()?);
    Some(u64::from(crc.amount()) << 32 | u64::from(crc.sum()))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests change files")]
mod tests {
    use std::fs;

    use super::*;

    fn changed(watch: &mut Watch) -> Vec<String> {
        let settled = Wait::default().until(watch.settled()).unwrap();
        assert_eq!(settled, Waited::Found(None));
        let touched = std::mem::take(&mut watch.touched);
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
        let lost = Touched {
            is_lost: true,
            ..Touched::default()
        };
        let changed = watch.compare(lost).unwrap();
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
        let half = Wait::default().within(4 * QUIET).until(watch.settled());
        assert_eq!(half.unwrap(), Waited::TimedOut);
        fs::write(root.join("x.go"), "whole").unwrap();
        fs::remove_file(git.join("index.lock")).unwrap();
        assert_eq!(changed(&mut watch), ["x.go"]);
    }

    #[test]
    fn what_a_build_may_have_read_counts_even_if_it_is_as_before() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        for (name, text) in [("x.go", "1"), ("y.go", "1"), ("z.go", "1")] {
            fs::write(root.join(name), text).unwrap();
        }
        let mut watch = Watch::start(root).unwrap();
        fs::write(root.join("x.go"), "2").unwrap();
        fs::write(root.join("x.go"), "1").unwrap();
        // As touch(1): for one time alone the kernel reports a write.
        let now = std::time::SystemTime::now();
        let touched = fs::FileTimes::new().set_accessed(now).set_modified(now);
        let file = fs::File::open(root.join("y.go")).unwrap();
        file.set_times(touched).unwrap();
        // The reports are read once the watcher has passed on the last one.
        fs::write(root.join("z.go"), "2").unwrap();
        let all = Wait::default().until(watch.settled()).unwrap();
        assert_eq!(all, Waited::Found(None));
        assert_eq!(changed(&mut watch), ["z.go"], "without a build");

        fs::write(root.join("x.go"), "2").unwrap();
        fs::write(root.join("x.go"), "1").unwrap();
        file.set_times(touched).unwrap();
        fs::write(root.join("z.go"), "3").unwrap();
        let seen = Wait::default().look_every(QUIET / 10, || {
            watch.doubt_written();
            let folder = &watch.folders[root.as_std_path()];
            Ok::<_, Failure>((!folder.contains_key(root.join("z.go").as_std_path())).then_some(()))
        });
        assert_eq!(seen.unwrap(), Waited::Found(()));
        assert_eq!(
            changed(&mut watch),
            ["x.go", "z.go"],
            "a touch does not write"
        );
    }

    #[test]
    fn what_the_caller_writes_is_not_reported() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        fs::create_dir(root.join("policy")).unwrap();
        fs::write(root.join("x.go"), "1").unwrap();
        let mut watch = Watch::start(root).unwrap();
        fs::write(root.join("policy/policy.33"), "2").unwrap();
        let own = watch.changed_in("policy".into()).unwrap();
        assert_eq!(own.into_iter().collect::<Vec<_>>(), ["policy/policy.33"]);
        fs::write(root.join("x.go"), "2").unwrap();
        assert_eq!(changed(&mut watch), ["x.go"]);
    }

    #[test]
    fn a_file_system_without_events_is_polled() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        fs::write(root.join("x.go"), "1").unwrap();
        let mut watch = Watch::start_on(root, Some("NFS")).unwrap();
        assert_eq!(watch.polled(), Some("NFS"));
        fs::write(root.join("x.go"), "2").unwrap();
        assert_eq!(changed(&mut watch), ["x.go"]);
    }

    #[test]
    fn an_event_of_the_caller_loses_no_change() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        fs::write(root.join("x.go"), "1").unwrap();
        let mut watch = Watch::start(root).unwrap();
        let signals = Signals::default();
        fs::write(root.join("x.go"), "2").unwrap();
        let woken = watch.changes_or(&signals, async { tokio::time::sleep(QUIET / 2).await });
        assert_eq!(woken.unwrap(), Woken::Other(()));
        assert_eq!(changed(&mut watch), ["x.go"]);
        signals.raise();
        let woken = watch.changes_or(&signals, pending::<()>());
        assert_eq!(woken.unwrap(), Woken::Stop);
    }
}

//! Which records of runs are kept: the last ones of each command in each checkout, those of
//! failures longer, all of them within an age and a size.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::own;
use super::run_summary::RunSummary;
use super::runs::{ids_in, is_live, now_ms};
use crate::ctx::own_files;

/// What is kept.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Of one command in one checkout.
    pub runs: usize,
    /// The same for runs that failed, which are not counted with the others.
    pub failed_runs: usize,
    pub age: Duration,
    pub failed_age: Duration,
    /// Of all records.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            runs: 20,
            failed_runs: 40,
            age: Duration::from_hours(30 * 24),
            failed_age: Duration::from_hours(90 * 24),
            bytes: 1 << 30,
        }
    }
}

/// A record, as far as it matters here.
struct Kept {
    id: String,
    dir: Utf8PathBuf,
    started: Option<u64>,
    bytes: u64,
    failed: bool,
    /// Command and checkout.
    of: (String, Option<Utf8PathBuf>),
}

/// Removes records beyond the limits, but never the newest or that of an active run. With
/// `verb`, only records of that command are counted: no others are new. Returns the ids of
/// what was removed.
pub fn prune(root: &Utf8Path, limits: &Limits, verb: Option<&str>) -> Vec<String> {
    let (going, _) = beyond(root, limits, verb);
    let removed = going.into_iter().filter(|it| own::remove(&it.dir).is_ok());
    removed.map(|it| it.id).collect()
}

/// The ids of what [`prune`] would remove, and their size in bytes.
pub fn would_prune(root: &Utf8Path, limits: &Limits) -> (Vec<String>, u64) {
    let (going, bytes) = beyond(root, limits, None);
    (going.into_iter().map(|it| it.id).collect(), bytes)
}

fn beyond(root: &Utf8Path, limits: &Limits, verb: Option<&str>) -> (Vec<Kept>, u64) {
    let mut ids = ids_in(root);
    // The newest stays.
    ids.pop();
    let mut kept: Vec<Kept> = ids
        .into_iter()
        .rev()
        .map(|id| look(root, id, verb))
        .collect();
    kept.retain(|it| !is_live(&it.dir));
    let mut going: Vec<Kept> = Vec::new();
    let now = now_ms();
    let is_old = |it: &Kept| {
        let age = if it.failed {
            limits.failed_age
        } else {
            limits.age
        };
        let oldest = now.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        it.started.is_some_and(|started| started < oldest)
    };
    going.extend(kept.extract_if(.., |it| is_old(it)));
    let mut counted: Vec<(bool, (String, Option<Utf8PathBuf>), usize)> = Vec::new();
    let mut is_surplus = |it: &Kept| {
        if verb.is_some_and(|verb| it.of.0 != verb) {
            return false;
        }
        let most = if it.failed {
            limits.failed_runs
        } else {
            limits.runs
        };
        let same = counted
            .iter_mut()
            .find(|(failed, of, _)| (*failed, of) == (it.failed, &it.of));
        if let Some((.., count)) = same {
            *count += 1;
            return *count > most;
        }
        counted.push((it.failed, it.of.clone(), 1));
        most == 0
    };
    going.extend(kept.extract_if(.., |it| is_surplus(it)));
    // The oldest go first, and those of failures last.
    let mut bytes: u64 = kept.iter().map(|it| it.bytes).sum();
    kept.sort_by(|a, b| a.failed.cmp(&b.failed).then(a.id.cmp(&b.id)));
    let mut is_too_much = |it: &Kept| {
        let is_too_much = bytes > limits.bytes;
        bytes -= if is_too_much { it.bytes } else { 0 };
        is_too_much
    };
    going.extend(kept.extract_if(.., |it| is_too_much(it)));
    let bytes = going.iter().map(|it| it.bytes).sum();
    (going, bytes)
}

fn look(root: &Utf8Path, id: String, verb: Option<&str>) -> Kept {
    let dir = root.join(&id);
    let mut parts = id.splitn(2, '-');
    let started = parts
        .next()
        .and_then(|stamp| u64::from_str_radix(stamp, 16).ok());
    // A second record of one millisecond has a number.
    let named = parts.next().unwrap_or_default();
    let named = named.trim_end_matches(|c: char| c.is_ascii_digit());
    let named = named.trim_end_matches('-').to_owned();
    // Old enough for what is not a failure: how it ended decides.
    let is_asked = verb.is_none_or(|verb| verb == named)
        || started.is_some_and(|started| {
            let age = Limits::default().age.as_millis();
            now_ms().saturating_sub(started) > u64::try_from(age).unwrap_or(u64::MAX)
        });
    let summary = is_asked.then(|| RunSummary::read(&dir).ok()).flatten();
    Kept {
        started,
        bytes: size(&dir),
        failed: summary.as_ref().is_some_and(|it| it.code != Some(0)),
        of: (named, summary.and_then(|it| it.origin.checkout)),
        dir,
        id,
    }
}

fn size(dir: &Utf8Path) -> u64 {
    let names = own_files::names_in(dir).unwrap_or_default();
    names
        .into_iter()
        .filter_map(|name| Some(dir.join(name).symlink_metadata().ok()?.len()))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Root {
        _dir: tempfile::TempDir,
        path: Utf8PathBuf,
        next: u64,
    }

    impl Root {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
            Self {
                _dir: dir,
                path,
                next: 0,
            }
        }

        fn add(&mut self, days: u64, verb: &str, checkout: &str, code: u8, bytes: usize) -> String {
            self.next += 1;
            let at = now_ms() - days * 24 * 3600 * 1000 - 5000 + self.next;
            let id = format!("{at:011x}-{verb}");
            let dir = self.path.join(&id);
            let meta = serde_json::json!({
                "id": id, "command": ["xtask"], "started": at, "checkout": checkout, "cwd": "/",
            });
            let write = |name: &str, text: String| {
                own::replace(&dir.join(name), text.as_bytes(), 0o600).unwrap();
            };
            write("run.json", meta.to_string());
            let end = format!("{{\"event\":\"end\",\"code\":{code},\"at\":{at}}}\n");
            write("events.jsonl", end);
            write("step-01.log", "x".repeat(bytes));
            id
        }

        fn left(&self) -> Vec<String> {
            ids_in(&self.path)
        }
    }

    fn limits(runs: usize, failed_runs: usize) -> Limits {
        Limits {
            runs,
            failed_runs,
            ..Limits::default()
        }
    }

    #[test]
    fn the_last_of_each_command_and_checkout_stay() {
        let mut root = Root::new();
        let failed: Vec<String> = (0..3).map(|_| root.add(0, "build", "/a", 4, 1)).collect();
        let here: Vec<String> = (0..5).map(|_| root.add(0, "build", "/a", 0, 1)).collect();
        let there = root.add(0, "build", "/b", 0, 1);
        let other = root.add(0, "cluster-up", "/a", 0, 1);
        let newest = root.add(0, "build", "/a", 0, 1);
        // Another command's are not looked at.
        assert!(prune(&root.path, &limits(2, 3), Some("cluster-up")).is_empty());
        let gone = prune(&root.path, &limits(2, 3), None);
        assert_eq!(gone.len(), 3, "{gone:?}");
        let left = root.left();
        for id in failed
            .iter()
            .chain(&here[3..])
            .chain([&there, &other, &newest])
        {
            assert!(left.contains(id), "{id}: {left:?}");
        }
        assert_eq!(left.len(), 8);
    }

    #[test]
    fn failures_are_kept_longer_and_none_for_good() {
        let mut root = Root::new();
        let old = root.add(40, "t", "/a", 0, 1);
        let failed = root.add(40, "t", "/a", 1, 1);
        let ancient = root.add(100, "t", "/a", 1, 1);
        root.add(0, "t", "/a", 0, 1);
        let mut gone = prune(&root.path, &Limits::default(), Some("another"));
        gone.sort();
        assert_eq!(gone, [ancient, old]);
        assert!(root.left().contains(&failed));
    }

    #[test]
    fn beyond_the_size_failures_go_last() {
        let mut root = Root::new();
        let failed = root.add(0, "t", "/a", 4, 1000);
        let first = root.add(0, "t", "/a", 0, 1000);
        let second = root.add(0, "t", "/a", 0, 1000);
        let newest = root.add(0, "t", "/a", 0, 1000);
        let limits = Limits {
            bytes: 3000,
            ..Limits::default()
        };
        let (going, bytes) = would_prune(&root.path, &limits);
        assert_eq!(going, std::slice::from_ref(&first));
        assert!(bytes > 1000 && root.left().len() == 4);
        assert_eq!(prune(&root.path, &limits, None), [first]);
        let limits = Limits { bytes: 0, ..limits };
        assert_eq!(prune(&root.path, &limits, None), [second, failed]);
        assert_eq!(root.left(), [newest]);
    }
}

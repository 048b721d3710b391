//! Run records: a folder for each run that changes something, with its plan,
//! events and the output of every step. Addressed as `latest` or by a prefix.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::FlockOperation;
use rustix::io::{Errno, retry_on_intr};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::own;
use crate::ctx::own_files;
use crate::failure::{Because, Failure, Result};
use crate::files;
use crate::plan::secrets::{MASK, Secrets};
use crate::plan::{Action, Plan};
use crate::typed;

/// Limits of the records: older ones are removed, never the newest.
const KEEP_RUNS: usize = 100;
const KEEP_AGE: Duration = Duration::from_hours(30 * 24);
const KEEP_BYTES: u64 = 1 << 30;
const EVENTS: &str = "events.jsonl";
/// Global options that take a value.
const WITH_VALUE: [&str; 4] = ["-C", "--talos-dir", "--format", "--color"];

/// What happens in a run. Steps are numbered from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The step's condition does not hold.
    Skip {
        step: usize,
    },
    Start {
        step: usize,
    },
    Finish {
        step: usize,
        /// How long it took.
        ms: u64,
        failure: Option<String>,
    },
    /// A step of an undo begins.
    Undo {
        why: String,
    },
    UndoFailed {
        why: String,
        failure: String,
    },
    End {
        /// The exit code.
        code: u8,
    },
}

/// A line of a record's `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    #[serde(flatten)]
    pub event: Event,
    /// Milliseconds since 1970.
    pub at: u64,
}

/// An open record.
#[derive(Debug)]
pub struct Record {
    pub id: String,
    pub dir: Utf8PathBuf,
    /// Locked as long as the run is active.
    events: File,
}

impl Record {
    /// Opens a record for `plan`; older ones beyond the limits are removed.
    ///
    /// # Errors
    /// If the state folder cannot be written.
    pub fn open(state: &Utf8Path, command: &[String], plan: &Plan) -> Result<Self> {
        let root = state.join("runs");
        let verb = verb_of(command);
        let open = || -> std::io::Result<Self> {
            // The names of runs are private too.
            match own::create_folder(&root, 0o700) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(error);
                }
                _ => {}
            }
            let (id, dir) = new_dir(&root, verb)?;
            let words = Secrets::default();
            let command: Vec<String> = command.iter().map(|word| words.masked(word)).collect();
            let meta = json!({
                "schema": 1, "id": id, "command": command, "started": now_ms(),
                "version": env!("CARGO_PKG_VERSION"), "pid": std::process::id(),
                "plan": recorded(plan),
            });
            own::replace(
                &dir.join("run.json"),
                format!("{meta:#}\n").as_bytes(),
                0o600,
            )?;
            let events = own::create(&dir.join(EVENTS), 0o600)?;
            retry_on_intr(|| rustix::fs::flock(&events, FlockOperation::LockExclusive))?;
            Ok(Self { id, dir, events })
        };
        let record = open().because(|| format!("cannot record the run in `{root}`"))?;
        prune(&root, KEEP_RUNS, KEEP_AGE, KEEP_BYTES);
        Ok(record)
    }

    /// One line on one clock; a record that cannot be written must not stop
    /// the work it records.
    pub fn event(&mut self, event: Event) {
        let line = Line {
            event,
            at: now_ms(),
        };
        if let Ok(line) = serde_json::to_string(&line) {
            let _ = writeln!(self.events, "{line}");
        }
    }

    /// The file for the output of step `index` (from 0).
    pub fn step_log(&self, index: usize) -> Utf8PathBuf {
        self.dir.join(format!("step-{:02}.log", index + 1))
    }

    /// The file for the output of a step of an undo.
    pub fn undo_log(&self, index: usize) -> Utf8PathBuf {
        self.dir.join(format!("undo-{:02}.log", index + 1))
    }
}

/// Returns the plan without secrets and without the contents of files that only
/// their owner may read.
fn recorded(plan: &Plan) -> Plan {
    let mut plan = plan.masked();
    for step in &mut plan.steps {
        if let Action::WriteFile { contents, mode, .. } = &mut step.action
            && matches!(mode, 0o400 | 0o600)
        {
            *contents = format!("{MASK} ({} bytes)", contents.len());
        }
    }
    plan
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the command's name: the first word that is not an option or its
/// value. It becomes part of the folder's name.
fn verb_of(command: &[String]) -> &str {
    let mut words = command.iter().skip(1).map(String::as_str);
    while let Some(word) = words.next() {
        if WITH_VALUE.contains(&word) {
            words.next();
        } else if !word.starts_with('-') {
            let is_plain = word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-');
            return if is_plain && !word.is_empty() {
                word
            } else {
                "run"
            };
        }
    }
    "run"
}

/// Whether the run of this record is still active.
pub fn is_live(dir: &Utf8Path) -> bool {
    let Ok(Some(events)) = own_files::open_to_read(&dir.join(EVENTS)) else {
        return false;
    };
    rustix::fs::flock(&events, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
}

/// What happened in the run of this record's folder, without lines that were
/// written half or by another version.
///
/// # Errors
/// When the record cannot be read.
pub fn events(dir: &Utf8Path) -> Result<Vec<Line>> {
    let path = dir.join(EVENTS);
    let text =
        own_files::read(&path, 4 * files::MEDIUM).because(|| format!("cannot read `{path}`"))?;
    let text = text.unwrap_or_default();
    let lines = text.split(|byte| *byte == b'\n');
    Ok(lines
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect())
}

/// Ids sort by time and are unique even within one millisecond.
fn new_dir(root: &Utf8Path, verb: &str) -> std::io::Result<(String, Utf8PathBuf)> {
    for attempt in 0..100_u32 {
        let suffix = if attempt == 0 {
            String::new()
        } else {
            format!("-{attempt}")
        };
        let id = format!("{:011x}-{verb}{suffix}", now_ms());
        let dir = root.join(&id);
        // The output of children may contain secrets.
        match own::create_folder(&dir, 0o700) {
            Ok(()) => return Ok((id, dir)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(std::io::Error::other("a hundred runs in one millisecond"))
}

/// Returns the ids of all records, newest first.
pub fn list(state: &Utf8Path) -> Vec<String> {
    let mut ids = ids_in(&state.join("runs"));
    ids.reverse();
    ids
}

fn ids_in(root: &Utf8Path) -> Vec<String> {
    let mut ids = own_files::names_in(root).unwrap_or_default();
    ids.sort();
    ids
}

/// Returns the folder of `latest`, or of the only record whose id starts with
/// `prefix`.
///
/// # Errors
/// If no record or several match.
pub fn find(state: &Utf8Path, prefix: &str) -> Result<Utf8PathBuf> {
    let ids = list(state);
    let matching: Vec<&String> = if prefix == "latest" {
        ids.iter().take(1).collect()
    } else {
        ids.iter().filter(|id| id.starts_with(prefix)).collect()
    };
    match matching[..] {
        [id] => Ok(state.join("runs").join(id)),
        [] => Err(Failure::usage(format!("no run `{prefix}`")).hint(typed!("runs"))),
        _ => Err(
            Failure::usage(format!("`{prefix}` matches {} runs", matching.len())).hint(format!(
                "type a longer prefix; `{}` lists the runs",
                typed!("runs")
            )),
        ),
    }
}

/// Removes the oldest records beyond the limits, but never the newest or that
/// of an active run.
pub fn prune(root: &Utf8Path, keep_runs: usize, keep_age: Duration, keep_bytes: u64) {
    let ids = ids_in(root);
    let oldest_kept = now_ms().saturating_sub(u64::try_from(keep_age.as_millis()).unwrap_or(0));
    let mut bytes = 0;
    for (age, id) in ids.iter().rev().enumerate() {
        let dir = root.join(id);
        bytes += size(&dir);
        let stamp = id
            .split('-')
            .next()
            .and_then(|stamp| u64::from_str_radix(stamp, 16).ok());
        let too_old = stamp.is_some_and(|stamp| stamp < oldest_kept);
        if age > 0 && (age >= keep_runs || too_old || bytes > keep_bytes) && !is_live(&dir) {
            let _ = own::remove(&dir);
        }
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

    #[test]
    fn records_are_found_by_latest_and_prefix_and_pruned_by_count() {
        let dir = tempfile::tempdir().unwrap();
        let state = Utf8Path::from_path(dir.path()).unwrap();
        let command = ["xtask".to_owned(), "cluster".to_owned()];
        let records: Vec<Record> = (0..5)
            .map(|_| Record::open(state, &command, &Plan::new("t")).unwrap())
            .collect();
        let last = &records[4];
        assert_eq!(find(state, "latest").unwrap(), last.dir);
        assert_eq!(find(state, &last.id).unwrap(), last.dir);
        assert!(
            find(state, &last.id[..4])
                .unwrap_err()
                .to_string()
                .contains("5 runs")
        );
        assert!(
            find(state, "nope")
                .unwrap_err()
                .to_string()
                .contains("no run")
        );
        let runs = state.join("runs");
        prune(&runs, 2, KEEP_AGE, KEEP_BYTES);
        assert_eq!(list(state).len(), 5, "all of them live");
        let (oldest, last) = (records[0].id.clone(), last.id.clone());
        let mut records = records.into_iter();
        let _live = records.next();
        drop(records);
        prune(&runs, 2, KEEP_AGE, KEEP_BYTES);
        assert_eq!(list(state).len(), 3, "the newest two and the live one");
        prune(&runs, 2, KEEP_AGE, 0);
        assert_eq!(list(state), [last, oldest]);
    }

    #[test]
    fn events_are_read_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let state = Utf8Path::from_path(dir.path()).unwrap();
        let mut record = Record::open(state, &["xtask".to_owned()], &Plan::new("t")).unwrap();
        let written = [
            Event::Start { step: 1 },
            Event::Finish {
                step: 1,
                ms: 7,
                failure: None,
            },
            Event::UndoFailed {
                why: "a".to_owned(),
                failure: "b".to_owned(),
            },
            Event::End { code: 4 },
        ];
        for event in &written {
            record.event(event.clone());
        }
        let _ = write!(record.events, "{{\"event\":\"torn");
        let lines = events(&record.dir).unwrap();
        let read: Vec<&Event> = lines.iter().map(|line| &line.event).collect();
        assert!(read.into_iter().eq(&written));
        let text = std::fs::read_to_string(record.dir.join(EVENTS)).unwrap();
        assert!(text.contains(r#""event":"undo-failed","why":"a","failure":"b","at":"#));
        assert!(text.contains(r#""failure":null"#));
    }

    #[test]
    fn records_are_pruned_by_age_and_size() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let old = now_ms() - 40 * 24 * 3600 * 1000;
        for (ms, bytes) in [
            (old, 1),
            (now_ms() - 3000, 500),
            (now_ms() - 2000, 600),
            (now_ms(), 1),
        ] {
            let run = root.join(format!("{ms:011x}-t"));
            own::replace(&run.join("step-01.log"), &vec![b'x'; bytes], 0o600).unwrap();
        }
        prune(root, KEEP_RUNS, KEEP_AGE, KEEP_BYTES);
        assert_eq!(ids_in(root).len(), 3);
        prune(root, KEEP_RUNS, KEEP_AGE, 1000);
        assert_eq!(ids_in(root).len(), 2);
    }

    #[test]
    fn the_noun_of_a_command_is_no_option_and_no_path() {
        let verb = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            verb_of(&words).to_owned()
        };
        assert_eq!(verb("xtask cluster up"), "cluster");
        assert_eq!(
            verb("xtask -C /src/talos --color never cluster up"),
            "cluster"
        );
        assert_eq!(verb("xtask --talos-dir=/src/talos -y lab up"), "lab");
        assert_eq!(verb("xtask ../x"), "run");
        assert_eq!(verb("xtask"), "run");
    }
}

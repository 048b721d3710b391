//! Run records: a folder for each run that changes something, with its plan,
//! events and the output of every step. Addressed as `latest` or by a prefix.

use std::fs::File;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::FlockOperation;
use rustix::io::{Errno, retry_on_intr};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::own;
use super::retention::{self, Limits};
use crate::ctx::probe::commit;
use crate::ctx::{Ctx, own_files};
use crate::failure::{Because, Failure, Result};
use crate::files;
use crate::plan::secrets::{MASK, Secrets};
use crate::plan::{Action, Plan};
use crate::typed;

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

/// Where a run was started, and on what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    pub cwd: Utf8PathBuf,
    pub checkout: Option<Utf8PathBuf>,
    /// The commit of the checkout, with `-dirty` if files were changed.
    pub head: Option<String>,
}

impl Origin {
    pub fn of(ctx: &Ctx) -> Self {
        let checkout = ctx.checkout().ok().map(|checkout| checkout.dir);
        Self {
            cwd: ctx.cwd.clone(),
            head: checkout.as_deref().and_then(commit),
            checkout,
        }
    }
}

/// An open record.
#[derive(Debug)]
pub struct Record {
    pub id: String,
    pub dir: Utf8PathBuf,
    /// Locked as long as the run is active; `None` for a run that is not recorded.
    events: Option<File>,
}

impl Record {
    /// Opens a record for `plan`; older ones beyond the limits are removed.
    ///
    /// # Errors
    /// If the state folder cannot be written.
    pub fn open(
        state: &Utf8Path,
        command: &[String],
        plan: &Plan,
        origin: &Origin,
    ) -> Result<Self> {
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
            let (id, dir) = new_dir(&root, &verb)?;
            let words = Secrets::default();
            let command: Vec<String> = command.iter().map(|word| words.masked(word)).collect();
            let meta = json!({
                "schema": 1, "id": id, "command": command, "started": now_ms(),
                "version": env!("CARGO_PKG_VERSION"), "pid": std::process::id(),
                "cwd": origin.cwd, "checkout": origin.checkout, "head": origin.head,
                "plan": recorded(plan),
            });
            own::replace(
                &dir.join("run.json"),
                format!("{meta:#}\n").as_bytes(),
                0o600,
            )?;
            let events = own::create(&dir.join(EVENTS), 0o600)?;
            retry_on_intr(|| rustix::fs::flock(&events, FlockOperation::LockExclusive))?;
            Ok(Self {
                id,
                dir,
                events: Some(events),
            })
        };
        let record = open().because(|| format!("cannot record the run in `{root}`"));
        let record = record.map_err(|failure| {
            failure
                .hint("make that folder writable, or record elsewhere: export XDG_STATE_HOME=DIR")
        })?;
        retention::prune(&root, &Limits::default(), Some(&verb));
        Ok(record)
    }

    /// A run that changes nothing and cannot be recorded.
    pub fn none() -> Self {
        Self {
            id: String::new(),
            dir: Utf8PathBuf::new(),
            events: None,
        }
    }

    /// One line on one clock; a record that cannot be written must not stop
    /// the work it records.
    pub fn event(&mut self, event: Event) {
        let line = Line {
            event,
            at: now_ms(),
        };
        if let Some(events) = &mut self.events
            && let Ok(line) = serde_json::to_string(&line)
        {
            let _ = writeln!(events, "{line}");
        }
    }

    /// The file for the output of step `index` (from 0).
    pub fn step_log(&self, index: usize) -> Utf8PathBuf {
        self.dir.join(step_log(index))
    }

    /// Whether there is a folder for logs.
    pub fn is_kept(&self) -> bool {
        self.events.is_some()
    }

    /// The file for the output of a step of an undo.
    pub fn undo_log(&self, index: usize) -> Utf8PathBuf {
        self.dir.join(format!("undo-{:02}.log", index + 1))
    }
}

/// The name of the file with the output of step `index` (from 0).
pub fn step_log(index: usize) -> String {
    format!("step-{:02}.log", index + 1)
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

/// Returns the command's name: the first two words that are not options or their
/// values, such as `cluster-up`. It becomes part of the folder's name.
fn verb_of(command: &[String]) -> String {
    let is_plain = |word: &&str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    };
    let mut plain = Vec::new();
    let mut words = command.iter().skip(1).map(String::as_str);
    while let Some(word) = words.next() {
        if WITH_VALUE.contains(&word) {
            words.next();
        } else if !word.starts_with('-') {
            plain.push(word);
        } else if !plain.is_empty() {
            // The value of this option, perhaps.
            break;
        }
    }
    let plain: Vec<&str> = plain.into_iter().take(2).take_while(is_plain).collect();
    match plain[..] {
        [] => "run".to_owned(),
        _ => plain.join("-").chars().take(LONGEST_VERB).collect(),
    }
}

/// Of a folder's name.
const LONGEST_VERB: usize = 40;

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

/// Whether a step has begun, so that it was cut short if it did not finish.
pub fn has_begun(events: &[Line], step: usize) -> bool {
    let start = Event::Start { step };
    events.iter().any(|line| line.event == start)
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

pub(super) fn ids_in(root: &Utf8Path) -> Vec<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn open(state: &Utf8Path, command: &[String]) -> Record {
        Record::open(state, command, &Plan::new("t"), &Origin::default()).unwrap()
    }

    #[test]
    fn records_are_found_by_latest_and_by_prefix() {
        let dir = tempfile::tempdir().unwrap();
        let state = Utf8Path::from_path(dir.path()).unwrap();
        let command = ["xtask".to_owned(), "cluster".to_owned()];
        let records: Vec<Record> = (0..5).map(|_| open(state, &command)).collect();
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
    }

    #[test]
    fn events_are_read_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let state = Utf8Path::from_path(dir.path()).unwrap();
        let mut record = open(state, &["xtask".to_owned()]);
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
        let _ = write!(record.events.as_ref().unwrap(), "{{\"event\":\"torn");
        let lines = events(&record.dir).unwrap();
        let read: Vec<&Event> = lines.iter().map(|line| &line.event).collect();
        assert!(read.into_iter().eq(&written));
        let text = std::fs::read_to_string(record.dir.join(EVENTS)).unwrap();
        assert!(text.contains(r#""event":"undo-failed","why":"a","failure":"b","at":"#));
        assert!(text.contains(r#""failure":null"#));
    }

    #[test]
    fn the_words_of_a_command_are_no_options_and_no_paths() {
        let verb = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            verb_of(&words)
        };
        assert_eq!(verb("xtask cluster up"), "cluster-up");
        assert_eq!(
            verb("xtask -C /src/talos --color never cluster up"),
            "cluster-up"
        );
        assert_eq!(verb("xtask --talos-dir=/src/talos -y lab up"), "lab-up");
        assert_eq!(verb("xtask cluster --name mine"), "cluster");
        assert_eq!(verb("xtask test unit ./pkg/..."), "test-unit");
        assert_eq!(verb("xtask build V=1 kernel"), "build");
        assert_eq!(verb("xtask ../x"), "run");
        assert_eq!(verb("xtask"), "run");
    }
}

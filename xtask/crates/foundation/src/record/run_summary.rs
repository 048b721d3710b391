//! A run in a few words, from its record.

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::runs::{self, Event, Line, Origin};
use crate::ctx::own_files;
use crate::failure::{Because, Failure, Result};
use crate::files;

/// What was planned.
const FILE: &str = "run.json";

/// What a list of runs shows.
#[derive(Debug, Clone, Serialize)]
pub struct RunSummary {
    pub id: String,
    /// Its words, without the program.
    pub command: String,
    /// Milliseconds since 1970.
    pub started: u64,
    /// The same; of a run that was killed, its last event.
    pub ended: Option<u64>,
    pub code: Option<u8>,
    pub running: bool,
    /// Of this program.
    pub version: String,
    #[serde(flatten)]
    pub origin: Origin,
    pub dir: Utf8PathBuf,
}

/// The head of `run.json`, without the plan.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    id: String,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    started: u64,
    #[serde(default)]
    version: String,
    #[serde(flatten)]
    origin: Origin,
}

impl RunSummary {
    /// # Errors
    /// When the record cannot be read or does not parse.
    pub fn read(dir: &Utf8Path) -> Result<Self> {
        let head: Head = parsed(dir)?;
        Ok(Self::of(dir, head, &runs::events(dir)?))
    }

    /// Of a record that [`read`] has read.
    ///
    /// # Errors
    /// When it is not the record of a run.
    pub fn of_record(dir: &Utf8Path, meta: &Value, events: &[Line]) -> Result<Self> {
        let head = Head::deserialize(meta);
        let head = head.map_err(|error| unparsed(&dir.join(FILE), error))?;
        Ok(Self::of(dir, head, events))
    }

    fn of(dir: &Utf8Path, head: Head, events: &[Line]) -> Self {
        let code = events.iter().find_map(|line| match line.event {
            Event::End { code } => Some(code),
            _ => None,
        });
        let words: Vec<&str> = head.command.iter().skip(1).map(String::as_str).collect();
        let running = code.is_none() && runs::is_live(dir);
        Self {
            id: head.id,
            command: words.join(" "),
            started: head.started,
            ended: events.last().map(|line| line.at).filter(|_| !running),
            code,
            running,
            version: head.version,
            origin: head.origin,
            dir: dir.to_owned(),
        }
    }

    /// How long it took, or takes until now.
    pub fn milliseconds(&self) -> u64 {
        let end = if self.running {
            runs::now_ms()
        } else {
            self.ended.unwrap_or(self.started)
        };
        end.saturating_sub(self.started)
    }
}

/// A record as it was written, with what happened.
///
/// # Errors
/// When the record cannot be read or does not parse.
pub fn read(dir: &Utf8Path) -> Result<(Value, Vec<Line>)> {
    Ok((parsed(dir)?, runs::events(dir)?))
}

fn parsed<T: for<'a> Deserialize<'a>>(dir: &Utf8Path) -> Result<T> {
    let path = dir.join(FILE);
    let text = own_files::read(&path, 4 * files::MEDIUM);
    let text = text.because(|| format!("cannot read `{path}`"))?;
    let text = text.ok_or_else(|| Failure::step(format!("there is no `{path}`")))?;
    serde_json::from_slice(&text).map_err(|error| unparsed(&path, error))
}

fn unparsed(path: &Utf8Path, error: serde_json::Error) -> Failure {
    Failure::step(format!("`{path}` does not parse")).cause(error)
}

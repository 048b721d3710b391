//! `selinux denials --follow`: groups when they appear and when they grow.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::Duration;

use selinux::log::{Denials, Group, LossKind, Reader, Summary};
use serde_json::{Value, json};

use super::denials::{self, DenialsArgs, Judge};
use super::{inputs, policies, text};
use crate::app::App;
use foundation::failure::{Because, Exit, Failure, Result};
use foundation::ui::{self, Style};
use foundation::wait::{Wait, Waited};
use foundation::{files, typed};

/// How often a file and stdin are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How often the logs of nodes are read: talosctl reads them as a whole.
const ROUND: Duration = Duration::from_secs(2);
/// Pieces of stdin that wait until they are read.
const PIECES: usize = 4;

/// Follows one log, or those of nodes, until Ctrl-C, until the end of stdin, or until the
/// reader closes the pipe.
pub(super) fn run(app: &App<'_>, args: &DenialsArgs) -> Result<u8> {
    let loaded = policies::find(app, args.policy.as_deref())?;
    let mut report = Report {
        app,
        judge: Judge::new(app, loaded.as_ref()),
        is_json: args.json,
        groups: Vec::new(),
        errors: Vec::new(),
        losses: BTreeSet::new(),
    };
    // What was read is summed up when the user stops it.
    let _attention = app.signals.attend();
    let (reader, summary, waited) = match args.logs.logs.as_slice() {
        [] => nodes(app, args, &mut report)?,
        [log] if log == "-" => stdin(app, &mut report)?,
        [log] => file(app, log, &mut report)?,
        _ => {
            return Err(Failure::usage("`--follow` reads one log")
                .cause("the order of records of several logs is not known")
                .hint(typed!("selinux denials {} --follow", args.logs.logs[0])));
        }
    };
    let is_interrupted = match waited {
        // The reader of our output has gone.
        Waited::Found(End::Output) => return Ok(0),
        Waited::Found(End::Log) => false,
        Waited::TimedOut | Waited::Interrupted => true,
    };
    report.end(reader.denials(), &summary);
    if is_interrupted {
        return Ok(Exit::Interrupted.code());
    }
    Ok(denials::exit_code(reader.denials(), &summary))
}

/// Why following ended.
enum End {
    Log,
    Output,
}

type Followed = (Reader, Summary, Waited<End>);

/// Every round reads all that the nodes have kept: a record that was read before is
/// recognised, also after a reboot. A reader of that round alone shows what is lost.
fn nodes(app: &App<'_>, args: &DenialsArgs, report: &mut Report<'_>) -> Result<Followed> {
    let nodes = inputs::nodes(app, &args.logs)?;
    let mut reader = Reader::new();
    let mut summary = reader.summary();
    let mut said_before: Vec<Option<String>> = vec![None; nodes.len()];
    let mut is_first = true;
    let wait = Wait::default().or_signal(app.signals);
    let waited = wait.look_every(ROUND, || {
        let mut round = Reader::new();
        for (node, before) in nodes.iter().zip(&mut said_before) {
            let said = match node.logs() {
                Ok(logs) => {
                    node.feed(&mut reader, &logs);
                    node.feed(&mut round, &logs);
                    logs.note
                }
                // Ctrl-C ends talosctl as well.
                Err(_) if app.signals.count() > 0 => return Ok(None),
                Err(failure) if is_first => return Err(failure),
                // It may boot.
                Err(failure) => Some(format!("{}; it is asked again", failure.in_one_line())),
            };
            if said != *before
                && let Some(said) = &said
            {
                app.ui.note(said);
            }
            *before = said;
        }
        is_first = false;
        if !reader.recognises_duplicates() {
            return Err(
                Failure::host("too many denials to tell them apart").hint(typed!(
                    "selinux denials --node {}",
                    args.logs.node.join(" --node ")
                )),
            );
        }
        (_, summary) = round.finish();
        Ok(report.show(reader.denials(), &summary))
    })?;
    // What several rounds have read, in place of the last.
    summary.denials = reader.summary().denials;
    Ok((reader, summary, waited))
}

/// A file that is written again from its beginning, or replaced, is another log.
fn file(app: &App<'_>, log: &str, report: &mut Report<'_>) -> Result<Followed> {
    let mut reader = Reader::new();
    reader.begin(log, None);
    let what = || format!("cannot read `{log}`");
    let mut known = inputs::open(app, log)?.metadata().because(what)?.ino();
    let mut offset = 0;
    let path = app.ctx.cwd.join(log);
    let wait = Wait::default().or_signal(app.signals);
    let waited = wait.look_every(LOOK, || {
        // It may be missing for a moment.
        let Some(mut file) = files::open(&path).because(what)? else {
            return Ok(None);
        };
        let metadata = file.metadata().because(what)?;
        if metadata.ino() != known || metadata.len() < offset {
            reader.begin(log, None);
            (known, offset) = (metadata.ino(), 0);
        }
        if metadata.len() == offset && offset > 0 {
            return Ok(None);
        }
        file.seek(SeekFrom::Start(offset)).because(what)?;
        inputs::feed(&mut reader, &mut file).because(what)?;
        offset = file.stream_position().because(what)?;
        Ok::<_, Failure>(report.show(reader.denials(), &reader.summary()))
    })?;
    let summary = reader.summary();
    Ok((reader, summary, waited))
}

fn stdin(app: &App<'_>, report: &mut Report<'_>) -> Result<Followed> {
    let mut reader = Reader::new();
    reader.begin("-", None);
    let pieces = pieces_of_stdin();
    let wait = Wait::default().or_signal(app.signals);
    let waited = wait.look_every(LOOK, || {
        loop {
            match pieces.try_recv() {
                Ok(piece) => reader.feed(&piece.because(|| "cannot read stdin".to_owned())?),
                Err(TryRecvError::Empty) => {
                    return Ok(report.show(reader.denials(), &reader.summary()));
                }
                Err(TryRecvError::Disconnected) => return Ok::<_, Failure>(Some(End::Log)),
            }
        }
    })?;
    // The last line may have no end.
    reader.begin("-", None);
    let summary = reader.summary();
    let _ = report.show(reader.denials(), &summary);
    Ok((reader, summary, waited))
}

/// A thread of its own, because reading stdin cannot be interrupted.
fn pieces_of_stdin() -> Receiver<std::io::Result<Vec<u8>>> {
    let (sender, receiver) = sync_channel(PIECES);
    std::thread::spawn(move || {
        let mut buffer = vec![0; inputs::PIECE];
        loop {
            let piece = match std::io::stdin().lock().read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => Ok(buffer[..count].to_owned()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            if sender.send(piece).is_err() {
                return;
            }
        }
    });
    receiver
}

/// What was printed.
struct Report<'a> {
    app: &'a App<'a>,
    judge: Judge<'a>,
    is_json: bool,
    /// Of each group, the number of records and of permissions.
    groups: Vec<(u64, usize)>,
    /// Of each context error, the number of records.
    errors: Vec<u64>,
    losses: BTreeSet<LossKind>,
}

impl Report<'_> {
    /// Prints what is new. Returns an end once the pipe is closed.
    fn show(&mut self, denials: &Denials, summary: &Summary) -> Option<End> {
        let mut out = String::new();
        for (at, group) in denials.groups.iter().enumerate() {
            self.add_group(&mut out, at, group);
        }
        for (at, error) in denials.errors.iter().enumerate() {
            if at == self.errors.len() {
                self.errors.push(0);
            }
            let added = error.count - std::mem::replace(&mut self.errors[at], error.count);
            if added == 0 {
                continue;
            }
            if self.is_json {
                let fields = json!({"added": added, "error": denials::error_json(error)});
                add_event(&mut out, "context-error", fields);
            } else {
                denials::write_error(&mut out, error);
            }
        }
        for loss in &summary.losses {
            // A log that has just begun has no record yet.
            if loss.kind == LossKind::Empty || !self.losses.insert(loss.kind) {
                continue;
            }
            let meaning = loss.kind.meaning();
            if self.is_json {
                let loss = json!({"kind": loss.kind.name(), "meaning": meaning});
                add_event(&mut out, "loss", json!({"loss": loss}));
            } else {
                let said = format!("the log is incomplete: {meaning}");
                let _ = writeln!(out, "{}", self.app.ui.paint(Style::Warn, &said));
            }
        }
        (!out.is_empty() && ui::try_print(&out).is_err()).then_some(End::Output)
    }

    fn add_group(&mut self, out: &mut String, at: usize, group: &Group) {
        if at == self.groups.len() {
            self.groups.push((0, 0));
        }
        let now = (group.count, group.operations.len());
        let (count, permissions) = std::mem::replace(&mut self.groups[at], now);
        let added = group.count - count;
        if added == 0 {
            return;
        }
        // Another permission can have another cause.
        let is_new = permissions < group.operations.len();
        if self.is_json {
            let event = if count == 0 { "new" } else { "more" };
            let group = self.judge.judge(group).to_json();
            add_event(out, event, json!({"added": added, "group": group}));
        } else if is_new {
            self.judge.judge(group).write(out, self.app.ui);
        } else {
            let _ = write!(out, "+{added}  ");
            text::write_head(out, self.app.ui, group);
        }
    }

    /// Prints what the log holds.
    fn end(&self, denials: &Denials, summary: &Summary) {
        let mut out = String::new();
        if self.is_json {
            let log = text::summary_json(summary, denials.uncounted);
            add_event(&mut out, "end", json!({"log": log}));
        } else {
            let groups = denials.groups.len();
            text::write_summary(&mut out, self.app.ui, summary, groups, denials.uncounted);
        }
        ui::print(&out);
    }
}

/// Adds a line of JSON.
fn add_event(out: &mut String, event: &str, mut fields: Value) {
    fields["event"] = event.into();
    let _ = writeln!(
        out,
        "{}",
        ui::text::json(&ui::with_schema(fields).to_string())
    );
}

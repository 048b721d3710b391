//! Carrying out a plan: execute, tee, supervise, record. With `record` the
//! only place that changes the world. Knows no command and makes no decision
//! about what to do, only about how a step ends.

mod bridge;
mod builtin;
mod child;
mod core;
mod excerpt;
pub mod exec_root;
mod exit_code;
mod gateway;
pub mod gotest;
mod images;
mod log;
mod passthrough;
mod pipe;
mod progress;
mod registries;
mod removal;
mod root;
mod spawn;
mod step;
mod stop;
mod tee;
mod terminal;
mod undo;

use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::ctx::Ctx;
use crate::failure::{Exit, Failure, Result};
use crate::plan::{Action, Plan, Privilege, Resource, Step, Watch};
use crate::record::ledger::{Entry, Ledger, Op};
use crate::record::runs::{Record, now_ms};
use crate::signals::Signals;
use crate::ui::Ui;

pub use core::Grace;
pub use exit_code::to_test_exit;
pub use gateway::{serve as serve_gateway, start as start_gateway};
pub use passthrough::{pass_through, replace_process};
pub use root::{become_root, become_root_for_tests, serve_root_step, serve_warden};
pub use spawn::we_are_xtask;
pub use step::interactive;

/// The deadline of a step that has none of its own.
const DEADLINE: Duration = Duration::from_hours(2);

/// The first Ctrl-C asks, the second does not.
const KILL_AT: usize = 2;

/// Looks while a child runs; a failure ends the child at once.
pub type Observer = Box<dyn FnMut() -> Option<Failure>>;

/// What a command must know to say how its half-made things are undone.
pub trait Undo {
    /// The plan that removes what a stopped step may have half made.
    fn undo(&self, ctx: &Ctx, made: &Resource, interrupted: bool) -> Undoing;
    fn observe(&self, ctx: &Ctx, watch: &Watch) -> Observer;
}

/// What becomes of something half made.
#[derive(Debug)]
pub enum Undoing {
    Do(Plan),
    /// Do this and ask again: things may go, or show, only then.
    Again(Plan),
    /// Looking shows that nothing is left.
    Done,
    /// It stays, for the stated reason.
    Keep(String),
}

/// Reads what a plan's tests print, which then is not shown.
pub trait Reader {
    /// Where the record of the run is; before anything else.
    fn record(&mut self, dir: &Utf8Path);
    fn read(&mut self, bytes: &[u8]);
    /// Several times a second.
    fn tick(&mut self);
}

/// Runs plans, one at a time.
#[derive(Debug)]
pub struct Runner<'a> {
    pub ctx: &'a Ctx,
    pub ui: &'a Ui,
    pub signals: &'a Signals,
    /// How long a step that is to stop has for it.
    pub grace: Grace,
    /// What recipes print on their standard output goes to ours.
    pub output_is_ours: bool,
}

impl Runner<'_> {
    /// Run `plan` from top to bottom, recorded, stopping at the first failure.
    ///
    /// # Errors
    /// The failing step's, with where its log is.
    pub fn execute(&self, plan: &Plan, undo: &dyn Undo) -> Result<()> {
        self.execute_recorded(plan, undo)?.1
    }

    /// As [`Self::execute`]; also gives the record, for what the steps printed.
    ///
    /// # Errors
    /// When nothing could be started; the failing step's is in the second.
    pub fn execute_recorded(&self, plan: &Plan, undo: &dyn Undo) -> Result<(Record, Result<()>)> {
        self.execute_with(plan, undo, None)
    }

    /// Run `plan`, whose tests `reader` follows.
    ///
    /// # Errors
    /// The failing step's; of a test binary [`Exit::Child`] with its code, 128
    /// + N for a signal.
    pub fn execute_tests(
        &self,
        plan: &Plan,
        undo: &dyn Undo,
        reader: &mut dyn Reader,
    ) -> Result<()> {
        self.execute_with(plan, undo, Some(reader))?.1
    }

    fn execute_with(
        &self,
        plan: &Plan,
        undo: &dyn Undo,
        mut reader: Option<&mut dyn Reader>,
    ) -> Result<(Record, Result<()>)> {
        let _attention = self.signals.attend();
        let by_sudo = plan.needs_root() && !self.ctx.host.is_root();
        if by_sudo {
            // A Ctrl-C at its prompt is an answer too.
            become_root(self.ui).map_err(|refused| {
                if self.signals.count() > 0 {
                    interrupted()
                } else {
                    refused
                }
            })?;
        }
        let _refresh = by_sudo.then(root::Refresh::start);
        let command: Vec<String> = std::env::args_os()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        Ledger::of(&self.ctx.dirs.state).check()?;
        let mut record = Record::open(&self.ctx.dirs.state, &command, plan)?;
        if let Some(reader) = &mut reader {
            reader.record(&record.dir);
        }
        for note in &plan.notes {
            self.ui.note(note);
        }
        let result = self.steps(plan, &mut record, undo, reader);
        let code = result
            .as_ref()
            .map_or_else(|failure| failure.exit.code(), |()| 0);
        record.event(json!({"event": "end", "code": code}));
        Ok((record, result))
    }

    /// Run `plan` as a part of another run, which shows and records it: its
    /// own record lies apart, so that `runs latest` stays the user's.
    ///
    /// # Errors
    /// The failing step's.
    pub fn execute_within(&self, plan: &Plan, undo: &dyn Undo) -> Result<()> {
        let _attention = self.signals.attend();
        let command: Vec<String> = std::env::args_os()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        let state = self.ctx.dirs.state.join("within");
        let mut record = Record::open(&state, &command, plan)?;
        self.steps(plan, &mut record, undo, None)
    }

    fn steps(
        &self,
        plan: &Plan,
        record: &mut Record,
        undo: &dyn Undo,
        mut reader: Option<&mut dyn Reader>,
    ) -> Result<()> {
        let runtime = core::runtime()?;
        let mut progress = progress::Progress::default();
        for (index, step) in plan.steps.iter().enumerate() {
            if !progress.is_due(plan, step) {
                record.event(json!({"event": "skip", "step": index + 1}));
                continue;
            }
            let step = &progress.filled(step);
            record.event(json!({"event": "start", "step": index + 1}));
            let began = Instant::now();
            let attempt = Attempt {
                log: record.step_log(index),
                run: record.id.clone(),
                kill_at: KILL_AT,
                runtime: &runtime,
                reader: match &mut reader {
                    Some(reader) => Some(&mut **reader),
                    None => None,
                },
            };
            let result = match &step.learns {
                Some(learns) => self.learn(step, learns, &mut progress),
                None => self.step(step, attempt, undo),
            };
            let result = result.map_err(|failure| failure.masked(&step.secrets()));
            record.event(json!({
                "event": "finish", "step": index + 1, "ms": began.elapsed().as_millis(),
                "failure": result.as_ref().err().map(ToString::to_string),
            }));
            if let Err(failure) = result {
                return Err(self.after_failure(failure, step, record, (undo, &runtime)));
            }
        }
        Ok(())
    }

    fn step(&self, step: &Step, attempt: Attempt<'_>, undo: &dyn Undo) -> Result<()> {
        if self.signals.count() > 0 {
            return Err(interrupted());
        }
        self.ui.step(step);
        if let Some(made) = &step.makes {
            self.write_ledger(Op::Intend, made, &attempt.run)?;
        }
        let mut observer = step
            .watch
            .as_ref()
            .map(|watch| undo.observe(self.ctx, watch));
        let how = step::How {
            log: Some(attempt.log),
            deadline: step.deadline.map_or(DEADLINE, Duration::from_secs),
            observer: observer.as_mut(),
            signals: self.signals,
            runtime: attempt.runtime,
            ui: self.ui,
            grace: self.grace,
            only_listed: false,
            kill_at: attempt.kill_at,
            output_is_ours: self.output_is_ours,
            quiet: false,
            // Of as short a life as this step's.
            reader: attempt.reader.map(|reader| reader as &mut dyn Reader),
            tests: false,
        };
        if step.privilege == Privilege::Root && !self.ctx.host.is_root() {
            root::run_step(step, how)?;
        } else {
            perform(step, &self.ctx.host.boot_id, how)?;
        }
        if let Some(gone) = &step.unmakes {
            self.write_ledger(Op::Gone, gone, &attempt.run)?;
        }
        Ok(())
    }

    /// Take something off the ledger that looking has shown to be gone. What was
    /// never on it stays off it.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub fn forget(&self, gone: &Resource) -> Result<()> {
        let ledger = Ledger::of(&self.ctx.dirs.state);
        if ledger
            .live()?
            .iter()
            .any(|entry| entry.resource.key() == gone.key())
        {
            self.write_ledger(Op::Gone, gone, "")?;
        }
        Ok(())
    }

    fn write_ledger(&self, op: Op, resource: &Resource, run: &str) -> Result<()> {
        Ledger::of(&self.ctx.dirs.state).append(&Entry {
            op,
            at: now_ms(),
            boot_id: self.ctx.host.boot_id.clone(),
            run: run.to_owned(),
            resource: resource.clone(),
        })
    }
}

/// One try at a step.
struct Attempt<'a> {
    log: Utf8PathBuf,
    /// The record's id, for the ledger.
    run: String,
    kill_at: usize,
    runtime: &'a Runtime,
    reader: Option<&'a mut dyn Reader>,
}

/// The failure of a step that Ctrl-C or SIGTERM ended.
fn interrupted() -> Failure {
    Failure::new(Exit::Interrupted, "interrupted")
}

/// Do one step as the user that we are.
fn perform(step: &Step, boot_id: &str, how: step::How<'_>) -> Result<()> {
    match &step.action {
        Action::Run(run) => step::run(run, &step.why, how),
        other => builtin::perform(other, boot_id, &how),
    }
}

#[cfg(test)]
mod tests;

//! Running a plan: start each step, log it, watch it, record it. Only this
//! module and `record` change the world. It does not know the commands, and
//! decides how a step ends but never what is done.

pub mod airgap;
mod bridge;
mod builtin;
mod child;
mod core;
mod excerpt;
pub mod exec_root;
mod exit_code;
pub mod gotest;
mod image_digests;
mod launch;
mod log;
mod passthrough;
mod pipe;
mod progress;
mod registries;
pub mod registry_relay;
mod removal;
mod root;
mod shut_down;
mod spawn;
mod step;
mod stop;
mod tee;
mod terminal;
mod undo;
mod waits;

use std::fmt;
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use tokio::runtime::Runtime;

use crate::ctx::Ctx;
use crate::ctx::ledger::{Entry, Ledger, Op};
use crate::failure::{Exit, Failure, Result};
use crate::plan::{Action, Plan, Privilege, Resource, Step, Watch};
use crate::record::runs::{Event, Origin, Record, now_ms};
use crate::signals::Signals;
use crate::ui::Ui;
use crate::ui::text::counted;
use crate::wait::runtime;

pub use crate::ctx::cluster::{Observed, Observer};
pub use core::Grace;
pub use exit_code::to_test_exit;
pub use passthrough::{pass_through, replace_process};
pub use root::{
    become_root, become_root_for_tests, refusal_of_root_for_tests, serve_root_step, serve_warden,
};
pub use spawn::we_are_xtask;
pub use step::interactive;

/// The deadline of a step that has none of its own.
const DEADLINE: Duration = Duration::from_hours(2);

/// The first Ctrl-C asks a step to end, the second kills it.
const KILL_AT: usize = 2;

/// How resources are undone and watched; commands implement it.
pub trait Undo {
    /// The plan that removes what a stopped step may have half made.
    fn undo(&self, ctx: &Ctx, made: &Resource, interrupted: bool) -> Undoing;
    fn observe(&self, ctx: &Ctx, watch: &Watch) -> Observer;
    /// Adds the cause that looking shows to the failure of a step, before what
    /// it has made is undone.
    fn explain(&self, _ctx: &Ctx, _made: &Resource, failure: Failure) -> Failure {
        failure
    }
}

/// How to undo a resource that a failed step may have made in part.
#[derive(Debug)]
pub enum Undoing {
    Do(Plan),
    /// Run this plan and call [`Undo::undo`] again: the result decides.
    Again(Plan),
    /// Nothing is left of it.
    Done,
    /// It is kept, for the stated reason.
    Keep(String),
}

/// Reads the output of a plan's tests, which is not shown then.
pub trait Reader {
    fn read(&mut self, bytes: &[u8]);
    /// Several times a second.
    fn tick(&mut self);
}

/// How one plan is run.
#[derive(Default)]
pub struct Options<'a> {
    /// Standard output is left to the results: recipes print to standard error.
    pub keep_stdout: bool,
    /// Another run shows and records the plan; this record is kept apart, so
    /// that `runs latest` stays the user's.
    pub is_part: bool,
    pub reader: Option<&'a mut dyn Reader>,
    /// Gets the record of the run before the first step.
    pub recorded: Option<&'a mut dyn FnMut(&Record)>,
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("keep_stdout", &self.keep_stdout)
            .field("is_part", &self.is_part)
            .finish_non_exhaustive()
    }
}

/// Runs plans, one at a time.
#[derive(Clone, Copy)]
pub struct Runner<'a> {
    pub ctx: &'a Ctx,
    pub ui: &'a Ui,
    pub signals: &'a Signals,
    pub undo: &'a dyn Undo,
    /// How long a step has to end after it was asked to.
    pub grace: Grace,
}

impl fmt::Debug for Runner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").finish_non_exhaustive()
    }
}

impl Runner<'_> {
    /// Runs `plan` from top to bottom, recorded, stopping at the first failure of a step
    /// without a job.
    ///
    /// # Errors
    /// The failing step's, with the path of its log; for a test binary
    /// [`Exit::Child`] with its code, 128 + N for a signal.
    pub fn run(&self, plan: &Plan, mut options: Options<'_>) -> Result<()> {
        let _attention = self.signals.attend();
        let state = &self.ctx.dirs.state;
        let (records, refresh) = if options.is_part {
            (state.join("within"), None)
        } else {
            Ledger::in_dir(state).check()?;
            (state.clone(), self.become_root_for(plan)?)
        };
        let command: Vec<String> = std::env::args_os()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        let origin = if options.is_part {
            Origin::default()
        } else {
            Origin::of(self.ctx)
        };
        let mut record = match Record::open(&records, &command, plan, &origin) {
            Err(failure) if plan.changes_nothing() => {
                self.ui.note(&failure.in_one_line());
                Record::none()
            }
            opened => opened?,
        };
        if let Some(recorded) = &mut options.recorded {
            recorded(&record);
        }
        let notes = plan.notes.iter().filter(|_| !options.is_part);
        notes.for_each(|note| self.ui.note(note));
        let mut execution = Execution {
            runner: *self,
            runtime: runtime()?,
            keep_stdout: options.keep_stdout,
            record: &mut record,
        };
        let result = execution.steps(plan, options.reader);
        drop(refresh);
        let code = result
            .as_ref()
            .map_or_else(|failure| failure.exit.code(), |()| 0);
        record.event(Event::End { code });
        result
    }

    /// Asks sudo before the first step, and keeps its credentials fresh.
    fn become_root_for(&self, plan: &Plan) -> Result<Option<root::Refresh>> {
        if !plan.needs_root() || self.ctx.host.is_root() {
            return Ok(None);
        }
        match become_root(self.ui) {
            Ok(()) => Ok(Some(root::Refresh::start())),
            // A Ctrl-C at sudo's prompt is an answer too.
            Err(_) if self.signals.explain_failure() => Err(interrupted()),
            Err(refused) => Err(refused),
        }
    }

    /// Removes a resource from the ledger that no longer exists. Does nothing for
    /// a resource that the ledger does not have.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub fn forget(&self, gone: &Resource) -> Result<()> {
        let ledger = Ledger::in_dir(&self.ctx.dirs.state);
        if ledger
            .live()?
            .iter()
            .any(|entry| entry.resource.key() == gone.key())
        {
            self.write_ledger(Op::Gone, gone, "")?;
        }
        Ok(())
    }

    /// Records a resource before the plan that makes it is run.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub fn intend(&self, resource: &Resource) -> Result<()> {
        self.write_ledger(Op::Intend, resource, "")
    }

    fn write_ledger(&self, op: Op, resource: &Resource, run: &str) -> Result<()> {
        Ledger::in_dir(&self.ctx.dirs.state).append(&Entry {
            op,
            at: now_ms(),
            boot_id: self.ctx.host.boot_id.clone(),
            run: run.to_owned(),
            resource: resource.clone(),
        })
    }
}

/// A run of one plan.
struct Execution<'a> {
    runner: Runner<'a>,
    runtime: Runtime,
    keep_stdout: bool,
    record: &'a mut Record,
}

impl Execution<'_> {
    fn steps(&mut self, plan: &Plan, mut reader: Option<&mut dyn Reader>) -> Result<()> {
        let mut progress = progress::Progress::default();
        let mut parts = Parts::of(plan);
        let (mut failures, mut stopped) = (Vec::new(), 0);
        for (index, step) in plan.steps.iter().enumerate() {
            let number = index + 1;
            let is_stopped = progress.is_stopped(plan, step);
            stopped += u64::from(is_stopped);
            if is_stopped || !progress.is_due(plan, step) {
                self.record.event(Event::Skip { step: number });
                continue;
            }
            let step = &progress.filled(step);
            if let Some(part) = &step.part {
                parts.begin(part, self.runner.ui);
            }
            self.record.event(Event::Start { step: number });
            let began = Instant::now();
            let result = if let Some(learns) = &step.learns {
                self.runner.learn(step, learns, &mut progress)
            } else {
                let reader = reader.as_mut();
                let attempt = Attempt {
                    log: self.record.is_kept().then(|| self.record.step_log(index)),
                    kill_at: KILL_AT,
                    reader: reader.map(|reader| &mut **reader as &mut dyn Reader),
                };
                self.step(step, attempt)
            };
            let result = result.map_err(|failure| failure.masked(&step.secrets()));
            self.record.event(Event::Finish {
                step: number,
                ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
                failure: result.as_ref().err().map(ToString::to_string),
            });
            if let Err(failure) = result {
                if self.runner.signals.count() > 0 {
                    for file in progress.delete_half_made(plan, step) {
                        let why = "the recipe that makes it was interrupted";
                        self.runner.ui.note(&format!("deleted `{file}`: {why}"));
                    }
                }
                let failure = self.after_failure(failure, step);
                match step.job {
                    Some(job) if failure.exit == Exit::Step => {
                        self.runner.ui.note(&failure.what);
                        progress.fail(job);
                        failures.push(failure);
                    }
                    _ => {
                        failures.push(failure);
                        break;
                    }
                }
            }
        }
        joined(failures, stopped).map_or(Ok(()), Err)
    }

    fn step(&self, step: &Step, attempt: Attempt<'_>) -> Result<()> {
        let Runner {
            ctx,
            ui,
            signals,
            undo,
            grace,
        } = self.runner;
        if signals.count() > 0 {
            return Err(interrupted());
        }
        // Results of tests are what the reader of a log looks for.
        let folds = step.part.is_none() && !step.runs_tests();
        let _group = folds.then(|| ui.group(&step.why));
        if step.part.is_none() {
            ui.step(step);
        }
        if let Some(made) = &step.makes {
            self.runner
                .write_ledger(Op::Intend, made, &self.record.id)?;
        }
        let mut observer = step.watch.as_ref().map(|watch| undo.observe(ctx, watch));
        let context = step::StepContext {
            log: attempt.log,
            deadline: step.deadline.map_or(DEADLINE, Duration::from_secs),
            observer: observer.as_mut(),
            signals,
            runtime: &self.runtime,
            ui,
            grace,
            only_listed: false,
            kill_at: attempt.kill_at,
            output_is_ours: !self.keep_stdout,
            shown: step::Shown::of(step),
            // Coerced to the lifetime of this step.
            reader: attempt.reader.map(|reader| reader as &mut dyn Reader),
        };
        if step.privilege == Privilege::Root && !ctx.host.is_root() {
            root::run_step(step, context)?;
        } else {
            perform(step, &ctx.host.boot_id, context)?;
        }
        if let Some(gone) = &step.unmakes {
            self.runner.write_ledger(Op::Gone, gone, &self.record.id)?;
        }
        Ok(())
    }
}

/// The parts of a plan, counted and timed.
struct Parts<'a> {
    names: Vec<&'a str>,
    current: Option<String>,
    began: Instant,
}

impl<'a> Parts<'a> {
    fn of(plan: &'a Plan) -> Self {
        let mut names: Vec<&str> = plan
            .steps
            .iter()
            .filter_map(|step| step.part.as_deref())
            .collect();
        names.dedup();
        Self {
            names,
            current: None,
            began: Instant::now(),
        }
    }

    fn begin(&mut self, part: &str, ui: &Ui) {
        if self.current.as_deref() == Some(part) {
            return;
        }
        self.current = Some(part.to_owned());
        let number = self.names.iter().position(|name| *name == part);
        let number = number.map_or(0, |index| index + 1);
        ui.part(number, self.names.len(), part, self.began.elapsed());
    }
}

/// One attempt at a step.
struct Attempt<'a> {
    log: Option<Utf8PathBuf>,
    kill_at: usize,
    reader: Option<&'a mut dyn Reader>,
}

/// The last failure of a run, with those that it went on after, and how many steps it
/// did not run because of them.
fn joined(mut failures: Vec<Failure>, stopped: u64) -> Option<Failure> {
    let last = failures.pop()?;
    if failures.is_empty() && stopped == 0 {
        return Some(last);
    }
    let count = failures.len() as u64 + 1;
    let title = format!(
        "{} failed, and {} after them did not run",
        counted(count, "step"),
        counted(stopped, "step")
    );
    let mut all = Failure::new(last.exit, title);
    for failure in failures.into_iter().chain([last]) {
        all.causes.push(failure.what);
        all.causes.extend(failure.causes);
        all.excerpt = failure.excerpt;
        all.hint = failure.hint;
    }
    Some(all)
}

/// The failure of a step that Ctrl-C or SIGTERM ended.
fn interrupted() -> Failure {
    Failure::new(Exit::Interrupted, "interrupted")
}

/// Performs one step as the current user.
fn perform(step: &Step, boot_id: &str, context: step::StepContext<'_>) -> Result<()> {
    match &step.action {
        Action::Run(run) => step::run(run, &step.why, context),
        other => builtin::perform(other, boot_id, &context),
    }
}

#[cfg(test)]
mod tests;

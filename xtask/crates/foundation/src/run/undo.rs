//! Undoes what a failed step may have made, and reports what is left.

use super::{Attempt, Execution, KILL_AT, Runner, Undoing};
use crate::ctx::ledger::Op;
use crate::failure::{Exit, Failure};
use crate::plan::{Plan, Resource, Step};
use crate::record::runs::Event;
use crate::{program, typed};

/// How often an undo may check again.
const ROUNDS: usize = 6;

impl Execution<'_> {
    /// Undoes the step's resource. Returns the failure to be shown, with what is
    /// left.
    pub(super) fn after_failure(&mut self, mut failure: Failure, step: &Step) -> Failure {
        let Runner {
            ctx,
            ui,
            signals,
            undo,
            ..
        } = self.runner;
        let is_killed = signals.forgive() >= KILL_AT;
        let Some(made) = &step.makes else {
            if is_killed {
                failure.causes.push(format!(
                    "stopped at once: step \"{}\" may be half done",
                    step.why
                ));
            }
            return failure;
        };
        if is_killed {
            // The user asked twice: stop now, without an undo.
            return left(failure, made, "stopped at once, with nothing undone");
        }
        let interrupted = failure.exit == Exit::Interrupted;
        if !interrupted {
            failure = undo.explain(ctx, made, failure);
        }
        let mut done = 0;
        for round in 0..ROUNDS {
            let (plan, is_last) = match undo.undo(ctx, made, interrupted) {
                Undoing::Keep(why) => {
                    failure.causes.push(why);
                    return failure;
                }
                Undoing::Done => {
                    ui.note("undone");
                    let gone = self.runner.write_ledger(Op::Gone, made, &self.record.id);
                    failure.causes.extend(gone.err().map(|error| error.what));
                    return failure;
                }
                Undoing::Do(plan) => (plan, true),
                Undoing::Again(plan) => (plan, false),
            };
            if round == 0 {
                ui.note(&format!("undoing: {}", plan.title));
            }
            let first = done;
            done += plan.steps.len();
            match self.undo(&mut failure, &plan, first) {
                Undone::Whole if is_last => {
                    ui.note("undone");
                    return failure;
                }
                Undone::Partly if is_last => break,
                Undone::Stopped => return left(failure, made, "stopped again while undoing"),
                Undone::Whole | Undone::Partly => {}
            }
        }
        left(failure, made, "not all could be undone")
    }

    /// Runs one plan of an undo, whose first step has the number `first` among all
    /// of its steps.
    fn undo(&mut self, failure: &mut Failure, plan: &Plan, first: usize) -> Undone {
        let mut end = Undone::Whole;
        for (index, step) in plan.steps.iter().enumerate() {
            let why = &step.why;
            self.record.event(Event::Undo { why: why.clone() });
            let attempt = Attempt {
                log: self
                    .record
                    .is_kept()
                    .then(|| self.record.undo_log(first + index)),
                kill_at: 1,
                reader: None,
            };
            let mut step = step.clone();
            if end != Undone::Whole {
                // Something is left: it must stay on the ledger.
                step.unmakes = None;
            }
            let Err(error) = self.step(&step, attempt) else {
                continue;
            };
            end = Undone::Partly;
            self.record.event(Event::UndoFailed {
                why: why.clone(),
                failure: error.to_string(),
            });
            let cause = format!("could not undo \"{why}\": {}", error.in_one_line());
            failure.causes.push(cause);
            if error.exit == Exit::Interrupted {
                failure.exit = Exit::Interrupted;
                return Undone::Stopped;
            }
        }
        end
    }
}

/// How one plan of an undo ended.
#[derive(PartialEq, Eq)]
enum Undone {
    Whole,
    Partly,
    Stopped,
}

fn left(mut failure: Failure, made: &Resource, why: &str) -> Failure {
    failure
        .causes
        .push(format!("{why}: {} may be left", made.describe()));
    failure.hint = Some(undo_hint(made));
    failure
}

fn undo_hint(made: &Resource) -> String {
    match made {
        Resource::Cluster { name, .. } => {
            typed!("cluster destroy --name {}", name)
        }
        Resource::Start { name, .. } => typed!("cluster stop --name {}", name),
        Resource::Lab { .. } => typed!("lab down"),
        Resource::Relay { state_dir, .. } => {
            let name = state_dir.file_name().unwrap_or_default();
            typed!("cluster destroy --name {}", name)
        }
        Resource::Container { name } => program!("docker rm -f {}", name),
        Resource::AirGap { name, .. } => typed!("airgap down --name {}", name),
    }
}

//! After a failed step: undo what it may have half made, and say what is left.

use serde_json::json;
use tokio::runtime::Runtime;

use super::{Attempt, KILL_AT, Runner, Undo, Undoing};
use crate::failure::{Exit, Failure};
use crate::plan::{Plan, Resource, Step};
use crate::record::ledger::Op;
use crate::record::runs::Record;
use crate::{program, typed};

/// How often an undo that wants to look again may do so.
const ROUNDS: usize = 6;

impl Runner<'_> {
    /// The failure that is told in the end.
    pub(super) fn after_failure(
        &self,
        mut failure: Failure,
        step: &Step,
        record: &mut Record,
        (undo, runtime): (&dyn Undo, &Runtime),
    ) -> Failure {
        let is_killed = self.signals.forgive() >= KILL_AT;
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
            // Asked twice: at once, not in good order.
            return left(failure, made, "stopped at once, with nothing undone");
        }
        let interrupted = failure.exit == Exit::Interrupted;
        let mut done = 0;
        for round in 0..ROUNDS {
            let (plan, is_last) = match undo.undo(self.ctx, made, interrupted) {
                Undoing::Keep(why) => {
                    failure.causes.push(why);
                    return failure;
                }
                Undoing::Done => {
                    self.ui.note("undone");
                    if let Err(error) = self.write_ledger(Op::Gone, made, &record.id) {
                        failure.causes.push(error.what);
                    }
                    return failure;
                }
                Undoing::Do(plan) => (plan, true),
                Undoing::Again(plan) => (plan, false),
            };
            if round == 0 {
                self.ui.note(&format!("undoing: {}", plan.title));
            }
            let first = done;
            done += plan.steps.len();
            match self.carry_out_undo(&mut failure, (&plan, first), record, (undo, runtime)) {
                Undone::Whole if is_last => {
                    self.ui.note("undone");
                    return failure;
                }
                Undone::Partly if is_last => break,
                Undone::Stopped => return left(failure, made, "stopped again while undoing"),
                Undone::Whole | Undone::Partly => {}
            }
        }
        left(failure, made, "not all could be undone")
    }

    /// `first` is the number of the plan's first step among all of the undo.
    fn carry_out_undo(
        &self,
        failure: &mut Failure,
        (plan, first): (&Plan, usize),
        record: &mut Record,
        (undo, runtime): (&dyn Undo, &Runtime),
    ) -> Undone {
        let mut end = Undone::Whole;
        for (index, step) in plan.steps.iter().enumerate() {
            record.event(json!({"event": "undo", "why": step.why}));
            let attempt = Attempt {
                log: record.undo_log(first + index),
                run: record.id.clone(),
                kill_at: 1,
                runtime,
                reader: None,
            };
            let mut step = step.clone();
            if end != Undone::Whole {
                // Something is left: the ledger must go on saying so.
                step.unmakes = None;
            }
            let Err(error) = self.step(&step, attempt, undo) else {
                continue;
            };
            end = Undone::Partly;
            record.event(
                json!({"event": "undo-failed", "why": step.why, "failure": error.to_string()}),
            );
            let said = [&[error.what][..], &error.causes].concat().join(": ");
            let why = format!("could not undo \"{}\": {said}", step.why);
            failure.causes.push(why);
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
        Resource::Lab { .. } => typed!("lab down"),
        Resource::Relay { state_dir, .. } => {
            let name = state_dir.file_name().unwrap_or_default();
            typed!("cluster destroy --name {}", name)
        }
        Resource::Container { name } => program!("docker rm -f {}", name),
    }
}

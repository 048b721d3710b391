//! After a failed step: undo what it may have half made, and say what is left.

use serde_json::json;

use super::{Attempt, KILL_AT, Runner, Undo, Undoing};
use crate::failure::{Exit, Failure};
use crate::plan::{Plan, Resource, Step};
use crate::record::runs::Record;

impl Runner<'_> {
    /// The failure that is told in the end.
    pub(super) fn after_failure(
        &self,
        mut failure: Failure,
        step: &Step,
        record: &mut Record,
        undo: &dyn Undo,
    ) -> Failure {
        let Some(made) = &step.makes else {
            return failure;
        };
        if self.signals.forgive() >= KILL_AT {
            // Asked twice: at once, not in good order.
            return left(failure, made, "stopped at once, with nothing undone");
        }
        let plan = match undo.undo(self.ctx, made, failure.exit == Exit::Interrupted) {
            Undoing::Keep(why) => {
                failure.causes.push(why);
                return failure;
            }
            Undoing::Do(plan) => plan,
        };
        self.ui.note(&format!("undoing: {}", plan.title));
        self.carry_out_undo(failure, made, &plan, record, undo)
    }

    fn carry_out_undo(
        &self,
        mut failure: Failure,
        made: &Resource,
        plan: &Plan,
        record: &mut Record,
        undo: &dyn Undo,
    ) -> Failure {
        let mut is_whole = true;
        for (index, step) in plan.steps.iter().enumerate() {
            record.event(json!({"event": "undo", "why": step.why}));
            let attempt = Attempt {
                log: record.undo_log(index),
                run: record.id.clone(),
                kill_at: 1,
            };
            let mut step = step.clone();
            if !is_whole {
                // Something is left: the ledger must go on saying so.
                step.unmakes = None;
            }
            let Err(error) = self.step(&step, &attempt, undo) else {
                continue;
            };
            is_whole = false;
            record.event(json!({"event": "undo-failed", "why": step.why, "failure": error.to_string()}));
            let causes = error.causes.iter().map(|cause| format!(": {cause}")).collect::<String>();
            failure.causes.push(format!("could not undo \"{}\": {}{causes}", step.why, error.what));
            if error.exit == Exit::Interrupted {
                failure.exit = Exit::Interrupted;
                return left(failure, made, "stopped again while undoing");
            }
        }
        if is_whole {
            self.ui.note("undone");
            failure
        } else {
            left(failure, made, "not all could be undone")
        }
    }
}

fn left(mut failure: Failure, made: &Resource, why: &str) -> Failure {
    failure.causes.push(format!("{why}: {} may be left", made.describe()));
    failure.hint = Some(undo_hint(made));
    failure
}

fn undo_hint(made: &Resource) -> String {
    match made {
        Resource::Cluster { name, .. } => {
            format!("cargo xtask cluster destroy --name {name}")
        }
        Resource::Lab { .. } => "cargo xtask lab down".to_owned(),
    }
}

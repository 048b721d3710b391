//! What a plan has learnt so far: which conditions hold, which values slots
//! have.

use std::collections::BTreeMap;
use std::time::Duration;

use makefile::Decisions;

use super::Runner;
use crate::ctx::probe;
use crate::failure::{Failure, Result};
use crate::plan::{Action, Learns, Plan, Step};

/// A value may come from a registry.
const LIMIT: Duration = Duration::from_mins(10);

#[derive(Debug, Default)]
pub(super) struct Progress {
    decisions: Decisions,
    values: BTreeMap<usize, String>,
}

impl Progress {
    /// Whether the step's condition holds; looked at when its turn comes.
    pub(super) fn is_due(&mut self, plan: &Plan, step: &Step) -> bool {
        let changed = |path: &str| std::fs::metadata(path).ok()?.modified().ok();
        step.only_if
            .is_none_or(|condition| self.decisions.runs(&plan.conditions, condition, &changed))
    }

    /// The step with what has been learnt in place of its slots.
    pub(super) fn filled(&self, step: &Step) -> Step {
        let mut step = step.clone();
        let fill = |text: &mut String| {
            if makefile::contains_slot(text) {
                *text = makefile::fill(text, |slot| {
                    self.values.get(&slot).cloned().unwrap_or_default()
                });
            }
        };
        match &mut step.action {
            Action::Run(run) => {
                run.argv.iter_mut().for_each(fill);
                run.env.iter_mut().for_each(|(_, value)| fill(value));
            }
            Action::RecordImages { references, .. } => references.iter_mut().for_each(fill),
            _ => {}
        }
        step
    }
}

impl Runner<'_> {
    /// Run the step's command for its output: trailing newlines cut, others
    /// blanks, however it ends, as make has it.
    pub(super) fn learn(
        &self,
        step: &Step,
        learns: &Learns,
        progress: &mut Progress,
    ) -> Result<()> {
        let Action::Run(run) = &step.action else {
            return Err(Failure::step(format!(
                "step \"{}\" has no command",
                step.why
            )));
        };
        self.ui.step(step);
        let argv: Vec<&str> = run.argv.iter().map(String::as_str).collect();
        let output =
            probe::run_in(&argv, &run.env, run.cwd.as_deref(), LIMIT).ok_or_else(|| {
                Failure::step(format!(
                    "`{}` cannot be started or takes longer than {} min",
                    argv.join(" "),
                    LIMIT.as_secs() / 60
                ))
            })?;
        self.ui.child_output(output.stderr.as_bytes());
        if self.signals.count() > 0 {
            return Err(super::interrupted());
        }
        let value = output
            .stdout
            .trim_end_matches(['\n', '\r'])
            .replace('\n', " ");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
        if learns.plain && !value.chars().all(is_plain) {
            return Err(Failure::step(format!(
                "`{}` printed `{}`, which a shell would read anew",
                argv.join(" "),
                value.escape_debug()
            ))
            .cause("the value goes through the command line of a nested make, where blanks and quotes would be lost"));
        }
        progress.values.insert(learns.slot, value);
        Ok(())
    }
}

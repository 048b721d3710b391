//! The state of a running plan: which conditions hold, and the values of its
//! slots.

use std::collections::BTreeMap;
use std::time::Duration;

use makefile::{Decisions, Failures};

use super::Runner;
use crate::ctx::probe::Probe;
use crate::failure::{Failure, Result};
use crate::plan::secrets::MASK;
use crate::plan::{Action, Learns, Plan, Step};

/// A value may come from a registry.
const LIMIT: Duration = Duration::from_mins(10);

#[derive(Debug, Default)]
pub(super) struct Progress {
    decisions: Decisions,
    failures: Failures,
    values: BTreeMap<usize, String>,
    /// The values that must not be shown.
    secret: Vec<String>,
}

impl Progress {
    /// Whether something that the step needs has failed.
    pub(super) fn is_stopped(&self, plan: &Plan, step: &Step) -> bool {
        self.failures.reach(&plan.jobs, step.job)
    }

    /// Whether the step's condition holds, evaluated just before the step.
    pub(super) fn is_due(&mut self, plan: &Plan, step: &Step) -> bool {
        let changed = |path: &str| std::fs::metadata(path).ok()?.modified().ok();
        step.only_if
            .is_none_or(|condition| self.decisions.runs(&plan.conditions, condition, &changed))
    }

    /// Records the failure of a job, which the plan goes on after.
    pub(super) fn fail(&mut self, job: usize) {
        self.failures.add(job);
    }

    /// Deletes the files that an interrupted step may have half made, as make does: the
    /// next build would take them for whole. Returns them.
    pub(super) fn delete_half_made(&self, plan: &Plan, step: &Step) -> Vec<String> {
        let changed = |path: &str| {
            let found = std::fs::symlink_metadata(path).ok()?;
            found.is_file().then(|| found.modified().ok()).flatten()
        };
        let Some(condition) = step.only_if else {
            return Vec::new();
        };
        let files = self
            .decisions
            .half_made(&plan.conditions, condition, &changed);
        let deleted = files
            .into_iter()
            .filter(|file| rustix::fs::unlink(*file).is_ok());
        deleted.map(str::to_owned).collect()
    }

    /// The step with its slots replaced by their values.
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
                if !self.secret.is_empty() {
                    let learnt = self.secret.iter().cloned();
                    run.secrets = run.secrets.with(learnt.map(|value| (String::new(), value)));
                }
            }
            Action::RecordImages { references, .. } => references.iter_mut().for_each(fill),
            _ => {}
        }
        step
    }
}

impl Runner<'_> {
    /// Runs the step's command and stores its output, whatever the exit code,
    /// as make's `shell` function does: without trailing newlines, and with
    /// spaces for the others.
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
        let mut probe = Probe::new(&run.argv).envs(&run.env).timeout(LIMIT);
        if let Some(cwd) = &run.cwd {
            probe = probe.current_dir(cwd);
        }
        let output = probe.run().map_err(|error| {
            Failure::step(format!("`{}` did not end", run.argv.join(" "))).cause(error)
        })?;
        self.ui.child_output(output.stderr.as_bytes());
        if self.signals.count() > 0 {
            return Err(super::interrupted());
        }
        let value = output
            .stdout
            .trim_end_matches(['\n', '\r'])
            .replace('\n', " ");
        let shown = if learns.secret {
            MASK.to_owned()
        } else {
            value.escape_debug().to_string()
        };
        if !learns.passage.keeps(&value) {
            return Err(Failure::step(format!(
                "`{}` printed `{shown}`, which a shell would expand again",
                run.argv.join(" "),
            ))
            .cause("the value goes through the command line of a nested make, where blanks and quotes would be lost"));
        }
        if learns.secret {
            progress.secret.push(value.clone());
        }
        progress.values.insert(learns.slot, value);
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests prepare files")]
mod tests {
    use makefile::{Condition, Prerequisite};

    use super::*;

    fn plan_with(target: &str, needs: &str) -> Plan {
        let mut plan = Plan::new("t");
        plan.conditions = vec![Condition {
            within: None,
            target: Some(target.to_owned()),
            is_file: true,
            prerequisites: vec![Prerequisite {
                path: needs.to_owned(),
                made_by: None,
                phony: false,
            }],
        }];
        plan
    }

    fn step(text: &str) -> Step {
        let mut step = Step::run("t", ["sh", "-c", text]);
        step.only_if = Some(0);
        step
    }

    #[test]
    fn files_are_looked_at_when_the_first_step_is_due_and_then_no_more() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name).to_str().unwrap().to_owned();
        let plan = plan_with(&path("target"), &path("source"));
        std::fs::write(path("source"), "").unwrap();
        let mut progress = Progress::default();
        assert!(progress.is_due(&plan, &step("x")));
        // Its own recipe made it; the next line of that recipe still has to run.
        std::fs::write(path("target"), "").unwrap();
        assert!(progress.is_due(&plan, &step("y")));
        assert!(!Progress::default().is_due(&plan, &step("x")));
        assert!(Progress::default().is_due(&plan, &Step::run("always", ["true"])));
    }

    #[test]
    fn slots_are_filled_in_words_environment_and_references() {
        let mut progress = Progress::default();
        progress.values.insert(3, "v1".to_owned());
        let slot = "\u{f500}3\u{f501}".to_owned();
        let mut step = step(&format!("echo {slot} \u{f500}4\u{f501}"));
        if let Action::Run(run) = &mut step.action {
            run.env.push(("TAG".to_owned(), slot.clone()));
        }
        let filled = progress.filled(&step);
        let Action::Run(run) = &filled.action else {
            panic!("{filled:?}");
        };
        assert_eq!(run.argv[2], "echo v1 ");
        assert_eq!(run.env, [("TAG".to_owned(), "v1".to_owned())]);
        let record = Action::RecordImages {
            references: vec![format!("r/u/x:{slot}")],
            metadata: None,
            tree: "/t".into(),
            list: "/l".into(),
        };
        let Action::RecordImages { references, .. } =
            progress.filled(&Step::new("t", record)).action
        else {
            panic!("another action");
        };
        assert_eq!(references, ["r/u/x:v1"]);
    }
}

//! In a script: which steps are taken, and values that steps learn.

use std::fmt::Write;

use makefile::Prerequisite;

use super::quote;
use crate::plan::{Plan, Step};

/// Which conditions a script has decided so far: each once, at its first step.
#[derive(Default)]
pub(super) struct Decided {
    done: Vec<usize>,
}

impl Decided {
    /// What decides the step's condition, if nothing has yet.
    pub(super) fn before(&mut self, plan: &Plan, step: &Step) -> String {
        let mut out = String::new();
        if let Some(condition) = step.only_if {
            self.decide(plan, condition, &mut out);
        }
        out
    }

    fn decide(&mut self, plan: &Plan, index: usize, out: &mut String) {
        let Some(condition) = plan.conditions.get(index) else {
            return;
        };
        if self.done.contains(&index) {
            return;
        }
        self.done.push(index);
        let makers = condition
            .prerequisites
            .iter()
            .filter_map(|needed| needed.made_by);
        for other in condition.within.into_iter().chain(makers) {
            self.decide(plan, other, out);
        }
        let mut tests = Vec::new();
        if let Some(target) = &condition.target {
            let target = quote(target);
            tests.push(format!("[ ! -e {target} ]"));
            tests.extend(
                condition
                    .prerequisites
                    .iter()
                    .map(|needed| newer(needed, &target)),
            );
        }
        let outer = condition
            .within
            .map_or_else(String::new, |outer| format!("$run_{outer} && "));
        let any = if tests.is_empty() {
            "true".to_owned()
        } else {
            tests.join(" || ")
        };
        let _ = writeln!(
            out,
            "run_{index}=false; if {outer}{{ {any}; }}; then run_{index}=true; fi"
        );
    }

    /// The command, where its condition holds, its output kept where it is a
    /// value.
    #[expect(clippy::unused_self, reason = "the other half of `before`")]
    pub(super) fn around(&self, step: &Step, command: &str) -> String {
        let command = match &step.learns {
            Some(learns) => format!(
                "value_{}=$( {command} | tr '\\n' ' ' | sed 's/ *$//')",
                learns.slot
            ),
            None => command.to_owned(),
        };
        match step.only_if {
            Some(condition) => format!("if $run_{condition}; then\n{command}\nfi"),
            None => command,
        }
    }
}

fn newer(needed: &Prerequisite, target: &str) -> String {
    let path = quote(&needed.path);
    match needed.made_by {
        _ if needed.phony => "true".to_owned(),
        Some(maker) => format!("$run_{maker} || [ ! -e {path} ] || [ {path} -nt {target} ]"),
        None => format!("[ ! -e {path} ] || [ {path} -nt {target} ]"),
    }
}

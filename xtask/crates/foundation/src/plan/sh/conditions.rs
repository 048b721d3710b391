//! Conditions and values of steps in a script.

use std::collections::BTreeSet;
use std::fmt::Write;

use makefile::Prerequisite;

use super::quote;
use crate::plan::{Plan, Step};

/// The conditions that a script has evaluated so far: each once, at its first
/// step.
#[derive(Default)]
pub(super) struct Decided {
    done: BTreeSet<usize>,
}

impl Decided {
    /// Returns the lines that evaluate the step's condition, unless it was
    /// evaluated before.
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
        if !self.done.insert(index) {
            return;
        }
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

    /// Returns the command with its condition, and with its output stored if it
    /// is a value.
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

#[cfg(test)]
mod tests {
    use makefile::Condition;

    use super::*;

    fn needs(path: &str, made_by: Option<usize>, phony: bool) -> Prerequisite {
        Prerequisite {
            path: path.to_owned(),
            made_by,
            phony,
        }
    }

    fn plan() -> Plan {
        let mut plan = Plan::new("t");
        let condition = |within, target: &str, prerequisites| Condition {
            within,
            target: Some(target.to_owned()),
            is_file: true,
            prerequisites,
        };
        plan.conditions = vec![
            condition(None, "it's", vec![]),
            condition(
                None,
                "b",
                vec![needs("it's", Some(0), false), needs("always", None, true)],
            ),
            condition(Some(1), "c", vec![needs("src", None, false)]),
        ];
        plan
    }

    fn step(only_if: usize) -> Step {
        let mut step = Step::run("t", ["true"]);
        step.only_if = Some(only_if);
        step
    }

    #[test]
    fn a_condition_is_decided_once_after_those_it_hangs_on() {
        let plan = plan();
        let mut decided = Decided::default();
        let text = decided.before(&plan, &step(2));
        let at = |name: &str| text.find(name).unwrap();
        assert!(
            at("run_0=false") < at("run_1=false") && at("run_1=false") < at("run_2=false"),
            "{text}"
        );
        assert!(text.contains("if $run_1 && {"), "{text}");
        assert!(text.contains("[ src -nt c ]"), "{text}");
        assert_eq!(decided.before(&plan, &step(2)), "");
        assert_eq!(decided.before(&plan, &Step::run("t", ["true"])), "");
        assert_eq!(decided.before(&plan, &step(9)), "");
    }

    #[test]
    fn a_shell_decides_as_make_would() {
        let root = tempfile::tempdir().unwrap();
        let text = Decided::default().before(&plan(), &step(2));
        let script = format!(
            "cd '{}'; {text}\necho $run_0 $run_1 $run_2",
            root.path().display()
        );
        let said = |before: &str| {
            let argv = [
                "/bin/sh",
                "-c",
                &format!("cd '{}'; {before}; {script}", root.path().display()),
            ];
            crate::ctx::probe::Probe::new(argv).stdout().unwrap()
        };
        assert_eq!(said(":"), "true true true");
        assert_eq!(
            said("touch -d 2001-01-01 src \"it's\" b; touch -d 2002-01-01 c"),
            "false true false"
        );
        assert_eq!(said("touch -d 2003-01-01 src"), "false true true");
    }

    #[test]
    fn what_a_step_learns_is_a_variable_and_what_is_not_due_is_skipped() {
        let mut learning = step(1);
        learning.learns = Some(crate::plan::Learns {
            slot: 4,
            name: "x".to_owned(),
            passage: makefile::Passage::Direct,
            secret: false,
        });
        let text = Decided::default().around(&learning, "echo a");
        assert!(
            text.starts_with("if $run_1; then\nvalue_4=$( echo a | "),
            "{text}"
        );
        assert_eq!(Decided::default().around(&Step::run("t", ["x"]), "x"), "x");
    }
}

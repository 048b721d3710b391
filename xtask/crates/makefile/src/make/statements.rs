//! Reads the file: conditions, assignments, and where rules begin and end.

use super::Make;
use super::expand::BUILT_IN;
use crate::assign::Op;
use crate::condition::Test;
use crate::error::{Error, Place, Result};
use crate::flags::Override;
use crate::limits::ENTRY;
use crate::parse::{Makefile, Statement};
use crate::rules::{self, Pending};
use crate::slots;
use crate::variables::Origin;

impl Make<'_, '_> {
    /// Sets what make sets, and reads the whole file.
    pub(super) fn read(&mut self) -> Result<()> {
        self.set_up()?;
        let makefile = self.makefile.clone();
        self.read_file(&makefile, 0)?;
        self.check_included()
    }

    /// Reads one file, and those that it includes.
    pub(super) fn read_file(&mut self, makefile: &Makefile, depth: usize) -> Result<()> {
        // For each open `if`: whether its lines count, whether a branch was
        // taken, whether it is within a branch that does not count.
        let mut open: Vec<(bool, bool, bool)> = Vec::new();
        let mut pending: Option<Pending> = None;
        for (line, statement) in makefile.statements.iter() {
            let place = Place {
                file: makefile.name.clone(),
                line: *line,
            };
            self.spend_bytes(statement.size(), &place)?;
            let counts = open.last().is_none_or(|(counts, ..)| *counts);
            match statement {
                Statement::If(test) => {
                    let taken = counts && self.holds(test, &place)?;
                    open.push((taken, taken, !counts));
                }
                Statement::Else(test) => {
                    let Some((_, taken, outside)) = open.last().copied() else {
                        return Err(Error::malformed(&place, "`else` without a condition"));
                    };
                    let now = !outside
                        && !taken
                        && test
                            .as_ref()
                            .map_or(Ok(true), |test| self.holds(test, &place))?;
                    open.pop();
                    open.push((now, taken || now, outside));
                }
                Statement::EndIf => {
                    open.pop()
                        .ok_or_else(|| Error::malformed(&place, "`endif` without a condition"))?;
                }
                _ if !counts => {}
                Statement::Recipe(text) => {
                    Pending::add_recipe_line(pending.as_mut(), text, &place)?;
                }
                other => {
                    self.record(pending.take())?;
                    let (mark, stored) = (self.held(), self.variables.bytes());
                    if let Statement::Include(names, optional) = other {
                        self.include(names, *optional, depth, &place)?;
                    } else {
                        self.statement(other, &place, &mut pending)?;
                    }
                    // Only stored values remain of everything that the statement made.
                    self.release_to((mark + self.variables.bytes()).saturating_sub(stored));
                    self.hold(0, &place)?;
                }
            }
        }
        if !open.is_empty() {
            let place = Place {
                file: makefile.name.clone(),
                line: makefile.statements.last().map_or(1, |(line, _)| *line),
            };
            return Err(Error::malformed(&place, "a condition without `endif`"));
        }
        self.record(pending)
    }

    fn set_up(&mut self) -> Result<()> {
        for (name, value) in self.environment.clone() {
            // The shell of recipes never comes from the user's environment.
            if !matches!(
                name.as_str(),
                "SHELL" | "MAKELEVEL" | "MAKEFLAGS" | "MFLAGS" | "MAKEOVERRIDES"
            ) {
                self.variables.set_environment(&name, &value);
            }
        }
        let given: Vec<Override> = self.flags.overrides.iter().rev().cloned().collect();
        let set = |name: &str, value: String, make: &mut Self| {
            make.variables.set(name, value, false, Origin::Default);
        };
        set("MAKE", slots::MAKE.to_string(), self);
        set("SHELL", "/bin/sh".to_owned(), self);
        set("CURDIR", self.session.directory.clone(), self);
        set("MAKELEVEL", self.level.to_string(), self);
        set("MAKEFLAGS", self.flags.makeflags(), self);
        set("MFLAGS", self.flags.mflags(), self);
        set("MAKEOVERRIDES", self.flags.definitions(), self);
        set("MAKECMDGOALS", self.goals.join(" "), self);
        let name = self.makefile.name.to_string();
        self.name_makefile(&name);
        let place = Place {
            file: self.makefile.name.clone(),
            line: 0,
        };
        let mark = self.held();
        for Override {
            name,
            value,
            simple,
            settled,
            by,
        } in given
        {
            let value = if simple && !settled {
                self.expand(&value, &place)?
            } else {
                value
            };
            if simple {
                self.flags.settle_value(&name, &value);
            }
            self.variables
                .set(&name, value, !simple, Origin::CommandLine(by));
        }
        self.release_to(mark);
        self.hold(self.variables.bytes(), &place)
    }

    fn holds(&mut self, test: &Test, place: &Place) -> Result<bool> {
        let mark = self.held();
        let holds = self.decide(test, place);
        self.release_to(mark);
        holds
    }

    fn decide(&mut self, test: &Test, place: &Place) -> Result<bool> {
        match test {
            Test::Equal {
                left,
                right,
                wanted,
            } => {
                let (left, right) = (self.expand(left, place)?, self.expand(right, place)?);
                self.needs_now(&[&left, &right], "a condition", place)?;
                Ok((left == right) == *wanted)
            }
            Test::Defined { name, wanted } => {
                let name = self.expand(name, place)?;
                let defined = self
                    .variables
                    .get(&name)
                    .is_some_and(|variable| !variable.value.is_empty());
                Ok(defined == *wanted)
            }
        }
    }

    fn statement(
        &mut self,
        statement: &Statement,
        place: &Place,
        pending: &mut Option<Pending>,
    ) -> Result<()> {
        match statement {
            Statement::Assign {
                name,
                op,
                value,
                export,
            } => {
                let name = self.expand(name, place)?;
                self.needs_now(&[&name], "the name of a variable", place)?;
                self.assigning = Some(name.clone());
                let assigned = self.assign(&name, *op, value, place);
                self.assigning = None;
                assigned?;
                if *export {
                    self.variables.export(&name);
                }
            }
            Statement::Export(names) => {
                let names = self.expand(names, place)?;
                for name in names.split_ascii_whitespace() {
                    self.variables.export(name);
                }
            }
            Statement::Rule(text) => match rules::target_variable(text) {
                Some(variable) => self.set_of_target(&variable, place)?,
                None => *pending = self.rule(text, place)?,
            },
            Statement::Unsupported(construct) => return Err(Error::unsupported(place, *construct)),
            Statement::Malformed(what) => return Err(Error::malformed(place, *what)),
            _ => {}
        }
        Ok(())
    }

    /// `do_variable_definition`.
    fn assign(&mut self, name: &str, op: Op, value: &str, place: &Place) -> Result<()> {
        self.check_settable(name, op, place)?;
        let origin = Origin::File(place.clone());
        let old = self.variables.get(name).cloned();
        let (value, recursive) = match op {
            Op::Simple => (self.expand(value, place)?, false),
            Op::Conditional if old.is_some() => return Ok(()),
            Op::Recursive | Op::Conditional => (value.to_owned(), true),
            Op::Shell => {
                let command = self.expand(value, place)?;
                (self.shell(&command, place)?, true)
            }
            Op::Append => match old {
                None => (value.to_owned(), true),
                Some(old) => {
                    let added = if old.recursive {
                        value.to_owned()
                    } else {
                        self.expand(value, place)?
                    };
                    let blank = if old.value.is_empty() || added.is_empty() {
                        ""
                    } else {
                        " "
                    };
                    (format!("{}{blank}{added}", old.value), old.recursive)
                }
            },
        };
        self.variables.set(name, value, recursive, origin);
        Ok(())
    }

    /// Refuses a variable by which make itself works.
    pub(super) fn check_settable(&self, name: &str, op: Op, place: &Place) -> Result<()> {
        let own = [
            "MAKEFLAGS",
            "MAKE",
            "MAKEOVERRIDES",
            "VPATH",
            "GPATH",
            "MAKEFILE_LIST",
        ];
        let is_known = [".DEFAULT_GOAL", ".SHELLFLAGS"].contains(&name);
        if own.contains(&name) || (name.starts_with('.') && !is_known) {
            return Err(Error::unsupported(place, format!("setting `{name}`")));
        }
        // make has a value of its own, which `?=` keeps and `+=` extends.
        if matches!(op, Op::Conditional | Op::Append)
            && BUILT_IN.contains(&name)
            && self.variables.get(name).is_none()
        {
            return Err(Error::unsupported(
                place,
                format!("make's own variable `{name}`"),
            ));
        }
        if name.trim().is_empty() {
            return Err(Error::malformed(place, "empty variable name"));
        }
        Ok(())
    }

    /// Adds a complete rule.
    fn record(&mut self, pending: Option<Pending>) -> Result<()> {
        if let Some(rule) = pending {
            if rule.targets.iter().any(|target| target == ".PHONY") && rule.recipe.is_some() {
                return Err(Error::unsupported(&rule.place, "a recipe for `.PHONY`"));
            }
            self.spend_rule(&rule)?;
            self.rules.add(rule);
        }
        Ok(())
    }

    /// Counts the cost of a rule: each target gets its own list of prerequisites,
    /// which is inserted into the existing one.
    fn spend_rule(&mut self, rule: &Pending) -> Result<()> {
        let names = rule.prerequisites.iter().chain(&rule.order_only);
        let size: usize = names.clone().map(|name| name.len() + ENTRY).sum();
        let own: usize = rule.targets.iter().map(|name| name.len() + 4 * ENTRY).sum();
        let size = size.saturating_mul(rule.targets.len()).saturating_add(own);
        let there = |name: &String| match self.rules.explicit.get(name) {
            Some(target) => (target.prerequisites.len() + target.order_only.len()) / 4,
            None if name.contains('%') => self.rules.patterns.len(),
            None => 0,
        };
        let there: usize = rule.targets.iter().map(there).sum();
        // Each stem may become a part of each name.
        let stems = match &rule.pattern {
            Some(_) => own.saturating_mul(names.clone().count()),
            None => 0,
        };
        let size = size.saturating_add(stems);
        let each = rule.targets.len().saturating_mul(names.count());
        self.hold(size, &rule.place)?;
        self.spend(there.saturating_add(each), &rule.place)
    }

    /// Expands and parses `TARGETS: PREREQUISITES | ORDER-ONLY ; RECIPE`.
    fn rule(&mut self, text: &str, place: &Place) -> Result<Option<Pending>> {
        let (text, inline) = rules::split_inline(text);
        let expanded = self.expand(text, place)?;
        self.needs_now(&[&expanded], "a rule", place)?;
        let count = expanded.split_ascii_whitespace().count();
        self.hold(expanded.len() + count * ENTRY, place)?;
        Pending::parse(&expanded, inline, place)
    }
}

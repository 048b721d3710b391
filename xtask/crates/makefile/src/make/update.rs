//! The order of work: goals, their prerequisites, their recipes.

use std::rc::Rc;

use super::export::size_of;
use super::{Made, Make, UnderWay};
use crate::error::{Error, Place, Result};
use crate::limits::{ENTRY, STEP};
use crate::outcome::{Condition, Item, Line, Passage, Prerequisite, Step};
use crate::prefix::{self, Prefix, collapse_in_references, split_commands};
use crate::rules::{Recipe, plain_name};
use crate::slots;

/// The rule that updates a target.
#[derive(Default)]
pub(super) struct TargetRule {
    recipe: Option<Rc<Recipe>>,
    pub(super) place: Option<Place>,
    pattern: Option<String>,
    stem: Option<String>,
    prerequisites: Vec<String>,
    order_only: Vec<String>,
}

/// Suffixes of the sources of make's own rules.
const OBJECT_SOURCES: &[&str] = &[
    "c", "cc", "C", "cpp", "p", "f", "F", "m", "r", "s", "S", "mod", "y", "l",
];
const PROGRAM_SOURCES: &[&str] = &[
    "o", "c", "cc", "C", "cpp", "p", "f", "F", "m", "r", "s", "S", "mod", "sh", "y", "l",
];

impl TargetRule {
    /// Whether it may make a file again.
    pub(super) fn makes(&self, exists: bool) -> bool {
        let has_needs = !self.prerequisites.is_empty() || !self.order_only.is_empty();
        has_needs || (!exists && self.recipe.is_some())
    }
}

impl Make<'_, '_> {
    /// Updates all goals, one after the other, and returns their jobs.
    pub(super) fn run(&mut self) -> Result<Vec<usize>> {
        let mut goals: Vec<String> = self.goals.iter().map(|goal| plain_name(goal)).collect();
        if goals.is_empty() {
            let mut default = self.rules.default_goal().cloned();
            if self.variables.get(".DEFAULT_GOAL").is_some() {
                let place = self.place_of("", None);
                let named = self.global_value(".DEFAULT_GOAL", &place)?;
                self.needs_now(&[&named], "`.DEFAULT_GOAL`", &place)?;
                if named.split_ascii_whitespace().count() > 1 {
                    return Err(Error::Usage(
                        "`.DEFAULT_GOAL` has several targets".to_owned(),
                    ));
                }
                if named.trim().is_empty() {
                    return Err(Error::Usage("`.DEFAULT_GOAL` is empty".to_owned()));
                }
                default = Some(plain_name(named.trim()));
            }
            goals.push(
                default.ok_or_else(|| Error::Usage("the Makefile has no target".to_owned()))?,
            );
        }
        let mut jobs = Vec::new();
        for goal in goals {
            jobs.extend(self.update(&goal, None)?.job);
        }
        self.report_reads()?;
        Ok(jobs)
    }

    /// A job after others; without `--keep-going`, that of the recipe that called this
    /// make.
    fn job_after(&mut self, needs: Vec<usize>, place: &Place) -> Result<Option<usize>> {
        if self.flags.keep_going {
            self.add_job(needs, place).map(Some)
        } else {
            Ok(self.job)
        }
    }

    pub(super) fn add_job(&mut self, needs: Vec<usize>, place: &Place) -> Result<usize> {
        self.keep(std::mem::size_of_val(&needs[..]) + ENTRY, place)?;
        let jobs = &mut self.session.planned.jobs;
        jobs.push(needs);
        Ok(jobs.len() - 1)
    }

    fn update(&mut self, name: &str, needed_by: Option<&str>) -> Result<Made> {
        if let Some(made) = self.made.get(name) {
            return Ok(*made);
        }
        let phony = self.rules.phony.contains(name);
        let place = self.place_of(name, needed_by);
        self.keep(2 * name.len() + STEP, &place)?;
        self.spend_search(name, &place)?;
        let Some(rule_) = self.rule_for(name, phony)? else {
            let job = self.require(name, needed_by, &place)?;
            return Ok(self.settle(
                name,
                Made {
                    condition: None,
                    job,
                    phony,
                },
            ));
        };
        self.session.planned.chain.push(Step {
            level: self.level,
            target: name.to_owned(),
            pattern: rule_.pattern.clone(),
            place: rule_.place.clone(),
        });
        let needs = rule_.prerequisites.iter().chain(&rule_.order_only);
        let size: usize = needs.map(|needed| needed.len() + ENTRY).sum();
        self.spend_bytes(size, &place)?;
        self.descend(name)?;
        let mark = self.held();
        // The list itself, its copy in the condition, and `$^`.
        self.hold(size.saturating_mul(3), &place)?;
        self.under_way.push(name.to_owned());
        self.enter_scope(name, &place)?;
        let mut prerequisites = Vec::new();
        let mut jobs: Vec<usize> = self.job.into_iter().collect();
        for (index, needed) in rule_
            .prerequisites
            .iter()
            .chain(&rule_.order_only)
            .enumerate()
        {
            if self.under_way.contains(needed) {
                let note = format!("circular {name} <- {needed} dependency dropped");
                self.keep(note.len() + ENTRY, &place)?;
                self.session.planned.notes.push(note);
                continue;
            }
            let made = self.update(needed, Some(name))?;
            jobs.extend(made.job);
            if index < rule_.prerequisites.len() {
                prerequisites.push(Prerequisite {
                    path: needed.clone(),
                    made_by: made.condition,
                    phony: made.phony,
                });
            }
        }
        self.under_way.pop();
        let condition = if phony {
            self.within
        } else {
            self.keep(name.len() + size + ENTRY, &place)?;
            let conditions = &mut self.session.planned.conditions;
            conditions.push(Condition {
                within: self.within,
                target: Some(name.to_owned()),
                is_file: name.contains('/'),
                prerequisites,
            });
            Some(conditions.len() - 1)
        };
        let mut job = self.job_after(jobs, &place)?;
        if let Some(recipe) = &rule_.recipe {
            job = self.plan_recipe(name, &rule_, recipe, (condition, job))?;
        }
        self.scopes.pop();
        self.release_to(mark);
        self.ascend();
        let made = Made {
            condition,
            job,
            phony,
        };
        Ok(self.settle(name, made))
    }

    /// The place that messages about a target refer to.
    fn place_of(&self, name: &str, needed_by: Option<&str>) -> Place {
        let known = |name: &str| self.rules.explicit.get(name)?.place.clone();
        let place = known(name).or_else(|| known(needed_by?));
        place.unwrap_or_else(|| Place {
            file: self.makefile.name.clone(),
            line: 0,
        })
    }

    /// Counts the steps of [`Self::rule_for`] for a target without a recipe of its own.
    pub(super) fn spend_search(&mut self, name: &str, place: &Place) -> Result<()> {
        let explicit = self.rules.explicit.get(name);
        if explicit.is_some_and(|target| target.recipe.is_some()) {
            return Ok(());
        }
        self.spend(1 + self.rules.patterns.len(), place)?;
        let needs = self.rules.fitting(name).into_iter();
        let needs = needs.map(|(_, rule, _)| rule.prerequisites.len() + rule.order_only.len());
        let needs: usize = needs.sum();
        let mentioned = self.rules.mentioned + self.rules.patterns.len();
        self.spend(needs.saturating_mul(mentioned), place)
    }

    fn settle(&mut self, name: &str, made: Made) -> Made {
        self.made.insert(name.to_owned(), made);
        made
    }

    /// Without a rule it must be a file, now or when its turn comes; otherwise
    /// make stops here.
    fn require(
        &mut self,
        name: &str,
        needed_by: Option<&str>,
        place: &Place,
    ) -> Result<Option<usize>> {
        if self.rules.phony.contains(name) || self.session.world.exists(name) {
            if needed_by.is_none() {
                self.session
                    .planned
                    .notes
                    .push(format!("nothing to be done for `{name}`"));
            }
            return Ok(None);
        }
        let job = self.job_after(self.job.into_iter().collect(), place)?;
        self.session.planned.items.push(Item::Require {
            path: name.to_owned(),
            error: Error::NoRule {
                target: name.to_owned(),
                needed_by: needed_by.map(str::to_owned),
            },
            condition: self.within,
            job,
        });
        Ok(job)
    }

    /// Returns the rule for `name`: explicit, else by a pattern; `None` if
    /// there is none.
    pub(super) fn rule_for(&self, name: &str, phony: bool) -> Result<Option<TargetRule>> {
        let mut rule_ = TargetRule::default();
        let explicit = self.rules.explicit.get(name);
        if let Some(target) = explicit {
            rule_.prerequisites.clone_from(&target.prerequisites);
            rule_.order_only.clone_from(&target.order_only);
            rule_.recipe.clone_from(&target.recipe);
            rule_.place.clone_from(&target.place);
            rule_.stem.clone_from(&target.stem);
        }
        if rule_.recipe.is_some() || phony {
            return Ok((explicit.is_some() || phony).then_some(rule_));
        }
        for (pattern, rule, stem) in self.rules.fitting(name) {
            let filled = |names: &[String]| -> Vec<String> {
                names.iter().map(|name| stem.fill(name)).collect()
            };
            let (needs, order_only) = (filled(&rule.prerequisites), filled(&rule.order_only));
            let missing = needs
                .iter()
                .chain(&order_only)
                .find(|need| !self.is_known(need));
            if let Some(missing) = missing {
                if let (Some(place), false) = (&rule.place, self.rules.fitting(missing).is_empty())
                {
                    return Err(Error::unsupported(
                        place,
                        format!("`{missing}`: a chain of pattern rules"),
                    ));
                }
                continue;
            }
            rule_.prerequisites.splice(0..0, needs);
            rule_.order_only.splice(0..0, order_only);
            rule_.recipe.clone_from(&rule.recipe);
            rule_.place.clone_from(&rule.place);
            rule_.pattern = Some(pattern.clone());
            rule_.stem = Some(stem.text());
            return Ok(Some(rule_));
        }
        if let Some(source) = self.built_in_source(name) {
            return Err(Error::unsupported(
                &rule_.place.unwrap_or_else(|| Place {
                    file: self.makefile.name.clone(),
                    line: 0,
                }),
                format!("make's own rule for `{name}` from `{source}`"),
            ));
        }
        Ok(explicit.is_some().then_some(rule_))
    }

    /// A file from which make would build `name` by a rule of its own.
    fn built_in_source(&self, name: &str) -> Option<String> {
        let (stem, suffixes) = match name.strip_suffix(".o") {
            Some(stem) => (stem, OBJECT_SOURCES),
            None if !name.contains('.') => (name, PROGRAM_SOURCES),
            None => return None,
        };
        let sources = suffixes.iter().map(|suffix| format!("{stem}.{suffix}"));
        let mut existing = sources.filter(|source| self.session.world.exists(source));
        existing.next()
    }

    fn is_known(&self, name: &str) -> bool {
        let mentioned = |other: &String| other == name;
        self.rules.explicit.contains_key(name)
            || self.rules.phony.contains(name)
            || self
                .rules
                .explicit
                .values()
                .any(|target| target.prerequisites.iter().any(mentioned))
            || self.session.world.exists(name)
    }

    /// Expands a recipe and adds its lines. make expands all of them before it
    /// starts the first (`new_job`).
    fn plan_recipe(
        &mut self,
        name: &str,
        rule_: &TargetRule,
        recipe: &Recipe,
        (condition, job): (Option<usize>, Option<usize>),
    ) -> Result<Option<usize>> {
        let mut needs: Vec<&String> = rule_.prerequisites.iter().collect();
        let mut seen = std::collections::BTreeSet::new();
        needs.retain(|need| seen.insert(*need));
        let all: Vec<&str> = needs.iter().map(|need| need.as_str()).collect();
        let depth = self.automatic.len();
        let mut set =
            |automatic: &str, value: String| self.automatic.push((automatic.to_owned(), value));
        set("@", name.to_owned());
        set(
            "<",
            rule_.prerequisites.first().cloned().unwrap_or_default(),
        );
        set("^", all.join(" "));
        set("+", rule_.prerequisites.join(" "));
        let mut order_only: Vec<&String> = rule_.order_only.iter().collect();
        order_only.retain(|need| seen.insert(*need));
        let order_only: Vec<&str> = order_only.iter().map(|need| need.as_str()).collect();
        set("|", order_only.join(" "));
        if let Some(stem) = &rule_.stem {
            set("*", stem.clone());
        }
        // The folders and the names without them: `$(@D)`, `$(@F)`.
        let set = self.automatic.split_off(depth);
        self.automatic.extend(set.iter().cloned());
        for (name, value) in set {
            let part = |of: fn(&str) -> &str| {
                let words: Vec<&str> = value.split_ascii_whitespace().map(of).collect();
                words.join(" ")
            };
            let (folders, files) = (part(folder), part(file));
            self.automatic.push((format!("{name}D"), folders));
            self.automatic.push((format!("{name}F"), files));
        }
        self.recipe = Some(UnderWay {
            target: name.to_owned(),
            condition,
            job,
        });
        let result = self.plan_lines(name, recipe, condition, job);
        self.recipe = None;
        self.automatic.truncate(depth);
        result
    }

    /// Returns the job that must have succeeded for the whole recipe.
    fn plan_lines(
        &mut self,
        name: &str,
        recipe: &Recipe,
        condition: Option<usize>,
        mut job: Option<usize>,
    ) -> Result<Option<usize>> {
        let mut expanded = Vec::with_capacity(recipe.lines.len());
        for (place, raw) in &recipe.lines {
            expanded.push((
                place,
                raw,
                self.expand(&collapse_in_references(raw), place)?,
            ));
        }
        let Some((first, ..)) = expanded.first() else {
            return Ok(job);
        };
        let shell = self.shell_program(first)?;
        let environment = self.exported(first)?;
        let added = self.difference(&environment);
        // The bytes of the condition that is shown with each line.
        let when = condition.and_then(|condition| self.session.planned.conditions.get(condition));
        let when = when.map_or(0, |condition| {
            let needs = condition.prerequisites.iter();
            needs.map(|needed| needed.path.len() + 2).sum()
        });
        for (place, raw, text) in expanded {
            let mut prefix = Prefix::default();
            prefix.take(raw);
            for command in split_commands(&text) {
                let mut prefix = prefix;
                let command = prefix.take(command);
                if command.trim().is_empty() {
                    continue;
                }
                if let Some(goals) = self.submake(
                    command,
                    prefix.ignores_failure,
                    &environment,
                    place,
                    (condition, job),
                )? {
                    if let Some(before) = job {
                        let needs = [before].into_iter().chain(goals).collect();
                        job = Some(self.add_job(needs, place)?);
                    }
                    continue;
                }
                if command.contains(slots::MAKE)
                    && let Some(flags) = environment.get("MAKEFLAGS")
                {
                    self.pass(flags, Passage::Words);
                }
                let text = self.with_make(command, place)?;
                self.keep_shown(&text, place)?;
                self.keep(size_of(&added) + name.len() + when + STEP, place)?;
                let line = Line {
                    text,
                    shell: prefix::shell_of(command, &shell),
                    silent: prefix.silent || self.flags.silent,
                    ignores_failure: prefix.ignores_failure,
                    environment: added.clone(),
                    target: name.to_owned(),
                    place: place.clone(),
                    level: self.level,
                    condition,
                    job,
                };
                self.session.planned.items.push(Item::Line(line));
            }
        }
        Ok(job)
    }
}

/// `$(dir …)` of one word without the slash at its end.
fn folder(word: &str) -> &str {
    match word.rfind('/') {
        None => ".",
        Some(0) => "/",
        Some(slash) => &word[..slash],
    }
}

fn file(word: &str) -> &str {
    word.rfind('/').map_or(word, |slash| &word[slash + 1..])
}

//! The order of work: goals, their prerequisites, their recipes.

use std::rc::Rc;

use crate::error::{Error, Place, Result};
use crate::explain::Step;
use crate::outcome::{Condition, Item, Line, Prerequisite};
use crate::prefix::{Prefix, collapse_in_references, split_commands};
use crate::read::Make;
use crate::rules::{Recipe, plain_name};
use crate::slots;

/// A chain of prerequisites longer than this is a mistake.
const DEEPEST: usize = 200;

/// What became of a target.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Made {
    condition: Option<usize>,
    phony: bool,
}

/// How a target is made.
#[derive(Default)]
struct How {
    recipe: Option<Rc<Recipe>>,
    place: Option<Place>,
    pattern: Option<String>,
    stem: Option<String>,
    prerequisites: Vec<String>,
    order_only: Vec<String>,
}

impl Make<'_, '_> {
    /// All goals, one after the other.
    pub(crate) fn run(&mut self) -> Result<()> {
        let mut goals: Vec<String> = self.goals.iter().map(|goal| plain_name(goal)).collect();
        if goals.is_empty() {
            let default = self.rules.default_goal().cloned();
            goals.push(
                default.ok_or_else(|| Error::Usage("the Makefile has no target".to_owned()))?,
            );
        }
        for goal in goals {
            self.update(&goal, None)?;
        }
        self.report_reads()
    }

    fn update(&mut self, name: &str, needed_by: Option<&str>) -> Result<Made> {
        if let Some(made) = self.made.get(name) {
            return Ok(*made);
        }
        let phony = self.rules.phony.contains(name);
        let Some(how) = self.how(name, phony)? else {
            self.require(name, needed_by);
            return Ok(self.keep(
                name,
                Made {
                    condition: None,
                    phony,
                },
            ));
        };
        self.session.planned.chain.push(Step {
            level: self.level,
            target: name.to_owned(),
            pattern: how.pattern.clone(),
            place: how.place.clone(),
        });
        if self.under_way.len() >= DEEPEST {
            return Err(Error::Usage(format!(
                "a chain of more than {DEEPEST} prerequisites, last `{name}`"
            )));
        }
        self.under_way.push(name.to_owned());
        let mut prerequisites = Vec::new();
        for (index, needed) in how.prerequisites.iter().chain(&how.order_only).enumerate() {
            if self.under_way.contains(needed) {
                let note = format!("circular {name} <- {needed} dependency dropped");
                self.session.planned.notes.push(note);
                continue;
            }
            let made = self.update(needed, Some(name))?;
            if index < how.prerequisites.len() {
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
            let conditions = &mut self.session.planned.conditions;
            conditions.push(Condition {
                within: self.within,
                target: Some(name.to_owned()),
                prerequisites,
            });
            Some(conditions.len() - 1)
        };
        if let Some(recipe) = &how.recipe {
            self.follow(name, &how, recipe, condition)?;
        }
        Ok(self.keep(name, Made { condition, phony }))
    }

    fn keep(&mut self, name: &str, made: Made) -> Made {
        self.made.insert(name.to_owned(), made);
        made
    }

    /// No rule: a file, now or when its turn comes, or make stops here.
    fn require(&mut self, name: &str, needed_by: Option<&str>) {
        if self.rules.phony.contains(name) || self.session.world.exists(name) {
            if needed_by.is_none() {
                self.session
                    .planned
                    .notes
                    .push(format!("nothing to be done for `{name}`"));
            }
            return;
        }
        self.session.planned.items.push(Item::Require {
            path: name.to_owned(),
            error: Error::NoRule {
                target: name.to_owned(),
                needed_by: needed_by.map(str::to_owned),
            },
            condition: self.within,
        });
    }

    /// The rule for `name`: explicit, else a pattern; none when there is none.
    fn how(&self, name: &str, phony: bool) -> Result<Option<How>> {
        let mut how = How::default();
        let explicit = self.rules.explicit.get(name);
        if let Some(target) = explicit {
            how.prerequisites.clone_from(&target.prerequisites);
            how.order_only.clone_from(&target.order_only);
            how.recipe.clone_from(&target.recipe);
            how.place.clone_from(&target.place);
        }
        if how.recipe.is_some() || phony {
            return Ok((explicit.is_some() || phony).then_some(how));
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
            how.prerequisites.splice(0..0, needs);
            how.order_only.splice(0..0, order_only);
            how.recipe.clone_from(&rule.recipe);
            how.place.clone_from(&rule.place);
            how.pattern = Some(pattern.clone());
            how.stem = Some(stem.text());
            return Ok(Some(how));
        }
        Ok(explicit.is_some().then_some(how))
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

    /// Expand a recipe and give its lines. make expands all of them before it
    /// starts the first (`new_job`).
    fn follow(
        &mut self,
        name: &str,
        how: &How,
        recipe: &Recipe,
        condition: Option<usize>,
    ) -> Result<()> {
        let mut needs: Vec<&String> = how.prerequisites.iter().collect();
        let mut seen = std::collections::BTreeSet::new();
        needs.retain(|need| seen.insert(*need));
        let all: Vec<&str> = needs.iter().map(|need| need.as_str()).collect();
        let depth = self.automatic.len();
        let mut set =
            |automatic: &str, value: String| self.automatic.push((automatic.to_owned(), value));
        set("@", name.to_owned());
        set("<", how.prerequisites.first().cloned().unwrap_or_default());
        set("^", all.join(" "));
        if let Some(stem) = &how.stem {
            set("*", stem.clone());
        }
        self.recipe = Some((name.to_owned(), condition));
        let result = self.lines(name, recipe, condition);
        self.recipe = None;
        self.automatic.truncate(depth);
        result
    }

    fn lines(&mut self, name: &str, recipe: &Recipe, condition: Option<usize>) -> Result<()> {
        let mut expanded = Vec::with_capacity(recipe.lines.len());
        for (place, raw) in &recipe.lines {
            expanded.push((
                place,
                raw,
                self.expand(&collapse_in_references(raw), place)?,
            ));
        }
        let Some((first, ..)) = expanded.first() else {
            return Ok(());
        };
        let environment = self.exported(first)?;
        for (place, raw, text) in expanded {
            let mut prefix = Prefix::default();
            prefix.take(raw);
            for command in split_commands(&text) {
                let mut prefix = prefix;
                let command = prefix.take(command);
                if command.trim().is_empty() {
                    continue;
                }
                if self.call(
                    command,
                    prefix.ignores_failure,
                    &environment,
                    place,
                    condition,
                )? {
                    continue;
                }
                let line = Line {
                    text: command.replace(slots::MAKE, &self.session.make_command),
                    silent: prefix.silent || self.flags.silent,
                    ignores_failure: prefix.ignores_failure,
                    environment: self.difference(&environment),
                    target: name.to_owned(),
                    place: place.clone(),
                    level: self.level,
                    condition,
                };
                self.session.planned.items.push(Item::Line(line));
            }
        }
        Ok(())
    }
}

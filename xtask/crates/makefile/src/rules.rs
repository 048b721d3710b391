//! Rules: targets with their prerequisites and recipes.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::assign::{self, Op};
use crate::error::{Error, Place, Result};
use crate::lines::reference_end;
use crate::make::Scope;
use crate::stems::{self, Stem};

/// A recipe: its lines, not expanded, with their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recipe {
    pub(crate) lines: Vec<(Place, String)>,
}

/// The rules of a target or of a pattern, merged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Target {
    pub(crate) prerequisites: Vec<String>,
    pub(crate) order_only: Vec<String>,
    pub(crate) recipe: Option<Rc<Recipe>>,
    pub(crate) place: Option<Place>,
    /// `$*`, by a static pattern rule.
    pub(crate) stem: Option<String>,
}

/// `TARGET: NAME = VALUE`, not expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TargetVariable<'a> {
    pub(crate) targets: &'a str,
    pub(crate) name: &'a str,
    pub(crate) op: Op,
    pub(crate) value: &'a str,
    pub(crate) export: bool,
    /// `override` or `private`.
    pub(crate) modifier: Option<&'a str>,
}

/// A rule whose recipe may still follow.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) targets: Vec<String>,
    pub(crate) prerequisites: Vec<String>,
    pub(crate) order_only: Vec<String>,
    pub(crate) recipe: Option<Recipe>,
    pub(crate) place: Place,
    /// The target pattern of a static pattern rule.
    pub(crate) pattern: Option<String>,
}

impl Pending {
    /// Parses an expanded `TARGETS: PREREQUISITES | ORDER-ONLY`, with the recipe line
    /// that followed it after a `;`. None when the text is blank or has no target.
    ///
    /// # Errors
    /// A text that is not a rule, or a form of rule outside of the subset.
    pub(crate) fn parse(text: &str, inline: Option<&str>, place: &Place) -> Result<Option<Self>> {
        let Some((targets, rest)) = text.split_once(':') else {
            return if text.trim().is_empty() {
                Ok(None)
            } else {
                Err(Error::malformed(place, "missing separator"))
            };
        };
        check_form(targets, rest, place)?;
        let (pattern, rest) = match rest.split_once(':') {
            Some((pattern, rest)) => (Some(plain_name(pattern.trim())), rest),
            None => (None, rest),
        };
        let words =
            |text: &str| -> Vec<String> { text.split_ascii_whitespace().map(plain_name).collect() };
        let (prerequisites, order_only) = rest.split_once('|').unwrap_or((rest, ""));
        let rule = Self {
            targets: words(targets),
            prerequisites: words(prerequisites),
            order_only: words(order_only),
            recipe: inline.map(|line| Recipe {
                lines: vec![(place.clone(), line.to_owned())],
            }),
            place: place.clone(),
            pattern,
        };
        check_names(&rule)?;
        Ok((!rule.targets.is_empty()).then_some(rule))
    }

    /// Adds a line that began with a tab to the rule before it.
    ///
    /// # Errors
    /// Without a rule, for a line that is neither blank nor a comment.
    pub(crate) fn add_recipe_line(
        pending: Option<&mut Self>,
        text: &str,
        place: &Place,
    ) -> Result<()> {
        match pending {
            Some(rule) => {
                let recipe = rule
                    .recipe
                    .get_or_insert_with(|| Recipe { lines: Vec::new() });
                recipe.lines.push((place.clone(), text.to_owned()));
                Ok(())
            }
            None if text.trim().is_empty() || text.trim_start().starts_with('#') => Ok(()),
            None => Err(Error::unsupported(
                place,
                "a line that begins with a tab outside of a recipe",
            )),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(crate) explicit: BTreeMap<String, Target>,
    pub(crate) patterns: Vec<(String, Target)>,
    pub(crate) phony: std::collections::BTreeSet<String>,
    /// Variables of single targets.
    pub(crate) variables: BTreeMap<String, Scope>,
    order: Vec<String>,
    /// Number of explicit targets and their prerequisites: what a search compares.
    pub(crate) mentioned: usize,
}

impl Rules {
    pub(crate) fn names(&self) -> Vec<String> {
        let patterns = self.patterns.iter().map(|(pattern, _)| pattern.clone());
        self.order.iter().cloned().chain(patterns).collect()
    }

    /// The goal of `make` without arguments.
    pub(crate) fn default_goal(&self) -> Option<&String> {
        self.order
            .iter()
            .find(|name| !name.starts_with('.') || name.contains('/'))
    }

    /// Patterns with a recipe that match `target`, shortest stem first.
    pub(crate) fn fitting(&self, target: &str) -> Vec<(&String, &Target, Stem)> {
        let mut fitting: Vec<_> = self
            .patterns
            .iter()
            .filter_map(|(pattern, rule)| Some((pattern, rule, stems::stem(pattern, target)?)))
            .collect();
        fitting.sort_by_key(|(_, _, stem)| stem.length());
        fitting
    }

    pub(crate) fn add(&mut self, rule: Pending) {
        let recipe = rule.recipe.map(Rc::new);
        for name in rule.targets {
            if name.contains('%') {
                let target = Target {
                    prerequisites: rule.prerequisites.clone(),
                    order_only: rule.order_only.clone(),
                    recipe: recipe.clone(),
                    place: Some(rule.place.clone()),
                    stem: None,
                };
                // The same pattern with the same prerequisites replaces the
                // older one; without a recipe it cancels it.
                self.patterns.retain(|(pattern, older)| {
                    *pattern != name
                        || older.prerequisites != target.prerequisites
                        || older.order_only != target.order_only
                });
                if target.recipe.is_some() {
                    self.patterns.push((name, target));
                }
                continue;
            }
            if name == ".PHONY" {
                self.phony.extend(rule.prerequisites.iter().cloned());
                continue;
            }
            if !self.explicit.contains_key(&name) {
                self.order.push(name.clone());
            }
            self.mentioned += 1 + rule.prerequisites.len();
            let stem = rule
                .pattern
                .as_deref()
                .and_then(|pattern| static_stem(pattern, &name));
            let filled = |names: &[String]| -> Vec<String> {
                let fill = |name: &String| match &stem {
                    Some(stem) => plain_name(&name.replacen('%', stem, 1)),
                    None => name.clone(),
                };
                names.iter().map(fill).collect()
            };
            let (prerequisites, order_only) =
                (filled(&rule.prerequisites), filled(&rule.order_only));
            let target = self.explicit.entry(name).or_default();
            // The prerequisites of the rule with the recipe come first
            // (`record_files`).
            let at = if recipe.is_some() {
                0
            } else {
                target.prerequisites.len()
            };
            target.prerequisites.splice(at..at, prerequisites);
            let at = if recipe.is_some() {
                0
            } else {
                target.order_only.len()
            };
            target.order_only.splice(at..at, order_only);
            target.stem = stem.or(target.stem.take());
            if let Some(recipe) = &recipe {
                target.recipe = Some(recipe.clone());
                target.place = Some(rule.place.clone());
            }
            target.place.get_or_insert_with(|| rule.place.clone());
        }
    }
}

/// Drops `./` at the beginning of a name, as make does.
pub(crate) fn plain_name(name: &str) -> String {
    let mut name = name;
    while let Some(rest) = name.strip_prefix("./").filter(|rest| !rest.is_empty()) {
        name = rest.trim_start_matches('/');
    }
    name.to_owned()
}

/// The stem of a static pattern rule, which may be empty and has no folder of its own.
fn static_stem(pattern: &str, target: &str) -> Option<String> {
    let (before, after) = pattern.split_once('%')?;
    let stem = target.strip_prefix(before)?.strip_suffix(after)?;
    Some(stem.to_owned())
}

fn check_form(targets: &str, rest: &str, place: &Place) -> Result<()> {
    if rest.starts_with(':') {
        return Err(Error::unsupported(place, "a double-colon rule"));
    }
    if targets.trim_end().ends_with('&') {
        return Err(Error::unsupported(place, "a grouped-targets rule (`&:`)"));
    }
    let Some((pattern, rest)) = rest.split_once(':') else {
        return Ok(());
    };
    if rest.contains(':') || pattern.split_ascii_whitespace().count() != 1 {
        return Err(Error::malformed(
            place,
            "target pattern with other than one word",
        ));
    }
    if !pattern.contains('%') {
        return Err(Error::malformed(place, "target pattern contains no `%`"));
    }
    Ok(())
}

fn check_names(rule: &Pending) -> Result<()> {
    let place = &rule.place;
    let special = |name: &&String| {
        name.strip_prefix('.')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
    };
    if let Some(name) = rule
        .targets
        .iter()
        .filter(special)
        // Lines run one after the other in any case.
        .find(|name| *name != ".PHONY" && *name != ".NOTPARALLEL")
    {
        return Err(Error::unsupported(
            place,
            format!("special target `{name}`"),
        ));
    }
    if let Some(pattern) = &rule.pattern {
        if rule.targets.iter().any(|name| name.contains('%')) {
            return Err(Error::unsupported(
                place,
                "a static pattern rule whose target is a pattern",
            ));
        }
        let mut targets = rule.targets.iter();
        if let Some(target) = targets.find(|name| static_stem(pattern, name).is_none()) {
            return Err(Error::unsupported(
                place,
                format!("target `{target}`, which does not match the target pattern"),
            ));
        }
    }
    let all = rule
        .targets
        .iter()
        .chain(&rule.prerequisites)
        .chain(&rule.pattern)
        .chain(&rule.order_only);
    for name in all {
        if name.contains(['*', '?', '[', '~', '\\', ';', '=']) {
            return Err(Error::unsupported(
                place,
                format!("`{name}`: wildcards and escapes in a rule"),
            ));
        }
    }
    let patterns = rule
        .targets
        .iter()
        .filter(|name| name.contains('%'))
        .count();
    if patterns > 0 && rule.targets.len() > 1 {
        return Err(Error::unsupported(
            place,
            "a pattern rule with several targets",
        ));
    }
    if rule
        .targets
        .iter()
        .any(|name| name.trim_start_matches('/') == "%")
    {
        return Err(Error::unsupported(
            place,
            "the pattern `%`, which matches everything",
        ));
    }
    Ok(())
}

/// The position of `wanted` outside of references.
pub(crate) fn find_outside(text: &str, wanted: char) -> Option<usize> {
    let mut at = 0;
    while let Some(character) = text[at..].chars().next() {
        if character == wanted {
            return Some(at);
        }
        at = if character == '$' {
            reference_end(text, at)
        } else {
            at + character.len_utf8()
        };
    }
    None
}

/// Splits `RULE ; RECIPE`; references are not expanded yet.
pub(crate) fn split_inline(text: &str) -> (&str, Option<&str>) {
    match find_outside(text, ';') {
        Some(at) => (&text[..at], Some(text[at + 1..].trim_start())),
        None => (text, None),
    }
}

/// Parses `TARGET: [export] NAME = VALUE`.
pub(crate) fn target_variable(text: &str) -> Option<TargetVariable<'_>> {
    let colon = find_outside(text, ':')?;
    if find_outside(text, ';').is_some_and(|semicolon| semicolon < colon) {
        return None;
    }
    let mut rest = text[colon + 1..].trim_start_matches([' ', '\t']);
    let (mut export, mut modifier) = (false, None);
    while let Some((word, after)) = rest.split_once([' ', '\t']) {
        // `export = x` sets a variable of that name.
        if assign::parse(rest).is_some() {
            break;
        }
        match word {
            "export" => export = true,
            "override" | "private" | "unexport" => modifier = Some(word),
            _ => break,
        }
        rest = after.trim_start_matches([' ', '\t']);
    }
    let (name, op, value) = assign::parse(rest)?;
    Some(TargetVariable {
        targets: &text[..colon],
        name,
        op,
        value,
        export,
        modifier,
    })
}

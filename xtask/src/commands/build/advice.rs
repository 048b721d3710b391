//! Finds typing mistakes, and variables that do not do what they seem to.

use std::collections::BTreeSet;

use makefile::{Error, Item, Planned, Read};

use super::repository::Repository;
use super::{missing, mixes, stages};
use crate::meant;
use crate::typo::closest;
use foundation::failure::{Failure, Result};
use foundation::{program, typed};

/// Refuses a goal without a rule before anything starts.
///
/// # Errors
/// Exit code 2, with what may have been meant.
pub(super) fn check_goals(
    repository: &Repository,
    words: &[String],
    planned: &Planned,
) -> Result<()> {
    let goals: Vec<&String> = words.iter().filter(|word| !word.contains('=')).collect();
    if let Some(
        error @ Error::NoRule {
            target,
            needed_by: None,
        },
    ) = missing(planned)
        && goals
            .iter()
            .any(|goal| goal.trim_start_matches("./") == target)
    {
        let documented = repository
            .makefile
            .documented()
            .iter()
            .map(|it| it.target.clone());
        let known: BTreeSet<String> = documented
            .chain(planned.chain.iter().map(|step| step.target.clone()))
            .collect();
        let mut failure = Failure::usage(error.to_string());
        let other = meant::target(target).filter(|name| known.contains(*name));
        let close = || closest(target, known.iter().map(String::as_str));
        failure.hint = Some(match other.or_else(close) {
            Some(close) => format!(
                "did you mean `{close}`? `{}` shows all",
                typed!("build --list")
            ),
            None => typed!("build --list"),
        });
        return Err(failure);
    }
    // `target-initramf` fits a pattern, but docker would only refuse it after
    // minutes.
    let stages = stages(&repository.dir)?;
    for goal in goals {
        let stage = ["target-", "local-", "docker-", "registry-"]
            .iter()
            .find_map(|family| goal.strip_prefix(family));
        let Some(stage) =
            stage.filter(|stage| !stages.is_empty() && !stages.iter().any(|known| known == stage))
        else {
            continue;
        };
        // An explicit target may have such a name too.
        if planned
            .chain
            .iter()
            .any(|step| step.target == *goal && step.pattern.is_none())
        {
            continue;
        }
        if let Some(close) = closest(stage, stages.iter().map(String::as_str)) {
            let family = goal.strip_suffix(stage).unwrap_or_default();
            return Err(
                Failure::usage(format!("the Dockerfile has no stage `{stage}`"))
                    .hint(format!("did you mean `{family}{close}`?")),
            );
        }
    }
    Ok(())
}

/// Refuses an empty tag: images would have names that end with a colon.
///
/// # Errors
/// Exit code 3, with what git said.
pub(super) fn check_tag(
    repository: &Repository,
    planned: &Planned,
    errors: &[String],
) -> Result<()> {
    let is_empty = |read: &Read| read.name == "TAG" && read.value.trim().is_empty();
    if !planned.reads.iter().any(is_empty) {
        return Ok(());
    }
    let mut failure = Failure::host("TAG is empty");
    failure.causes = errors
        .iter()
        .filter(|it| it.contains("git"))
        .cloned()
        .collect();
    let is_of_another = failure
        .causes
        .iter()
        .any(|it| it.contains("dubious ownership"));
    Err(failure.hint(if is_of_another {
        program!(
            "git config --global --add safe.directory {}",
            repository.dir
        )
    } else {
        "name it, such as `--tag v1.0.0-dev`".to_owned()
    }))
}

/// Returns warnings about the given variables.
pub(super) fn warnings(repository: &Repository, words: &[String]) -> Vec<String> {
    let reads = repository.makefile.reads();
    let sets = repository.makefile.sets();
    let mut out = Vec::new();
    // Other files may read any variable.
    if repository.makefile.has_include() {
        return out;
    }
    for name in words
        .iter()
        .filter_map(|word| Some(word.split_once('=')?.0.trim_end_matches(':')))
    {
        if name == "V" && !reads.contains(name) {
            out.push(
                "the Makefile never reads V; `--progress plain` shows all output of a build"
                    .to_owned(),
            );
        } else if name == "PKG_KERNEL" && !reads.contains(name) {
            out.push("PKG_KERNEL has no effect here: only Talos' Makefile reads it; extensions take PKGS and PKGS_PREFIX".to_owned());
        } else if name == "WITH_DEBUG_SHELL" && !reads.contains(name) {
            out.push("WITH_DEBUG_SHELL is never read: Talos 1.14 dropped it; use `talosctl debug IMAGE --args /bin/sh`".to_owned());
        } else if !reads.contains(name) {
            let known = reads.iter().map(String::as_str).chain(sets.iter().copied());
            let meant = closest(name, known)
                .map_or_else(String::new, |close| format!("; did you mean {close}?"));
            out.push(format!(
                "the Makefile never reads {name}: it only reaches the environment of recipes{meant}"
            ));
        }
    }
    out
}

/// Returns what will only be noticed when the images are used: tags that name nothing, and
/// mixes that `installer` refuses.
pub(in crate::commands) fn notes(words: &[String], planned: &Planned) -> Vec<String> {
    let is_installer = |target: &str| {
        [
            "installer",
            "installer-base",
            "imager",
            "iso",
            "secureboot-iso",
        ]
        .contains(&target)
            || target.starts_with("image-")
    };
    let makes_installer = planned.chain.iter().any(|step| is_installer(&step.target));
    let pushes = planned.items.iter().any(|item| match item {
        Item::Line(line) => line.text.contains("push=true"),
        _ => false,
    });
    let mut notes = Vec::new();
    let tag = planned.reads.iter().rfind(|read| read.name == "TAG");
    if let Some(tag) =
        tag.filter(|tag| (makes_installer || pushes) && tag.value.ends_with("-dirty"))
    {
        notes.push(format!(
            "the tag `{}` is that of every build of this commit with changes; `--tag NAME` gives another",
            tag.value
        ));
    }
    if makes_installer {
        notes.extend(mixes::mixes(words, planned).into_iter().map(|failure| {
            let cause = failure.causes.into_iter().next();
            let rest = cause.into_iter().chain(failure.hint);
            rest.fold(failure.what, |text, part| format!("{text}; {part}"))
        }));
    }
    notes
}

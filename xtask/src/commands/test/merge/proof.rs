//! Proves that reports are those of all shards of one run, with every test in
//! exactly one of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::LegReport;
use crate::commands::test::leg::Leg;
use foundation::failure::{Failure, Result};
use foundation::typed;

/// More shards than any real run has.
const MOST_LEGS: usize = 10_000;
/// Maximum number of tests that a message names.
const NAMED: usize = 20;

/// Checks that the reports are complete.
///
/// # Errors
/// Exit code 3, with the shards and tests that are missing, reported twice, or
/// of another run.
pub(super) fn whole(parts: &[LegReport]) -> Result<()> {
    let Some(first) = parts.first() else {
        return Err(Failure::usage("there is nothing to merge"));
    };
    one_run(first, parts)?;
    all_legs(first.leg.of, parts)?;
    let mut wrong = Vec::new();
    let mut seen = BTreeMap::new();
    for part in parts {
        tests(part, &mut seen, &mut wrong);
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let more = wrong.len().saturating_sub(NAMED);
    let mut failure = Failure::host("the legs have not run every test exactly once")
        .hint("run the legs that are named again, to their end");
    for line in wrong.into_iter().take(NAMED) {
        failure = failure.cause(line);
    }
    if more > 0 {
        failure = failure.cause(format!("… and {more} more"));
    }
    Err(failure)
}

/// Returns what cannot be proven about such shards, as text.
pub(super) fn unproven(leg: &Leg) -> Vec<&'static str> {
    let mut notes = Vec::new();
    if leg.commit.is_none() {
        notes.push("the legs ran outside git: that their sources are the same is not proven");
    } else if leg.commit.as_ref().is_some_and(|it| it.ends_with("-dirty")) {
        notes.push("files were changed since the commit: that all legs had the same is not proven");
    }
    if leg.options.selects() {
        notes.push("only chosen tests were run: which of a package were missed cannot be told");
    }
    notes
}

fn one_run(first: &LegReport, parts: &[LegReport]) -> Result<()> {
    for part in parts {
        let (a, b) = (&first.leg, &part.leg);
        let commit = |leg: &Leg| leg.commit.clone().unwrap_or_else(|| "none".to_owned());
        let differs = if a.of != b.of {
            format!("{} and {} legs", a.of, b.of)
        } else if a.commit != b.commit {
            format!("commits {} and {}", commit(a), commit(b))
        } else if a.platform != b.platform {
            format!("{} and {}", a.platform, b.platform)
        } else if a.options != b.options {
            "other options of `test unit`".to_owned()
        } else if a.split != b.split {
            "they split the packages in other ways (`--times`)".to_owned()
        } else {
            continue;
        };
        return Err(Failure::host(format!(
            "legs {} and {} are not of one run",
            a.name(),
            b.name()
        ))
        .cause(differs)
        .cause(format!("{} and {}", first.file, part.file)));
    }
    Ok(())
}

fn all_legs(of: usize, parts: &[LegReport]) -> Result<()> {
    if of > MOST_LEGS {
        return Err(Failure::host(format!(
            "the reports say that there are {of} legs, and no run has more than {MOST_LEGS}"
        )));
    }
    let files = |number: usize| {
        let mine = parts.iter().filter(move |part| part.leg.number == number);
        mine.map(|part| part.file.as_str()).collect::<Vec<_>>()
    };
    let mut wrong = Vec::new();
    for number in 1..=of {
        match files(number).as_slice() {
            [] => wrong.push(format!("leg {number}/{of} is missing")),
            [_] => {}
            twice => wrong.push(format!(
                "leg {number}/{of} is there {} times: {}",
                twice.len(),
                twice.join(", ")
            )),
        }
    }
    let Some(line) = wrong.first() else {
        return Ok(());
    };
    let mut failure = Failure::host(line.clone());
    for line in wrong.iter().skip(1).take(NAMED) {
        failure = failure.cause(line);
    }
    if let Some(more) = wrong.len().checked_sub(1 + NAMED).filter(|more| *more > 0) {
        failure = failure.cause(format!("… and {more} more"));
    }
    Err(failure.hint(format!(
        "every leg once: `{}`",
        typed!("test unit --shard I/N --report FILE")
    )))
}

/// Returns the names in a list of `{package, test}`.
fn pairs(list: &Value) -> impl Iterator<Item = (&str, &str)> {
    let each = list.as_array().into_iter().flatten();
    each.filter_map(|it| Some((it["package"].as_str()?, it["test"].as_str()?)))
}

/// Checks that a shard reports exactly its own test functions. `seen`: the
/// shard of each package so far.
fn tests<'a>(part: &'a LegReport, seen: &mut BTreeMap<&'a str, String>, wrong: &mut Vec<String>) {
    let leg = &part.leg;
    let name = leg.name();
    if part.report["interrupted"] == true {
        wrong.push(format!("leg {name} was interrupted"));
    }
    let mut told: BTreeSet<(&str, &str)> = pairs(&part.report["left_out"])
        .chain(pairs(&part.report["not_run"]))
        .collect();
    let mut unbuilt = BTreeSet::new();
    let mine = leg.number.checked_sub(1).and_then(|at| leg.split.get(at));
    let mine: BTreeSet<&str> = mine.into_iter().flatten().map(String::as_str).collect();
    for package in part.report["packages"].as_array().into_iter().flatten() {
        let path = package["package"].as_str().unwrap_or_default();
        if let Some(before) = seen.insert(path, name.clone()) {
            wrong.push(format!("{path} is in legs {before} and {name}"));
        }
        // A package without tests is of no leg.
        let mut all = leg.split.iter().flatten();
        if !mine.contains(path) && all.any(|it| it == path) {
            wrong.push(format!("{path} is not of leg {name}"));
        }
        if package["verdict"] == "build-failed" || package["broken"].is_string() {
            unbuilt.insert(path);
        }
        for test in package["tests"].as_array().into_iter().flatten() {
            let test = test["name"].as_str().unwrap_or_default();
            let again = !told.insert((path, test));
            if again && !test.contains('/') && !leg.options.repeats() {
                wrong.push(format!("{path} {test} is there twice in leg {name}"));
            }
        }
    }
    if leg.options.selects() {
        return;
    }
    for (path, tests) in &leg.tests {
        for test in tests {
            if !told.contains(&(path, test)) && !unbuilt.contains(path.as_str()) {
                wrong.push(format!("{path} {test} is missing in leg {name}"));
            }
        }
    }
}

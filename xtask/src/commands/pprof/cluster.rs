//! Fetches from all nodes, saves and compares.

use std::collections::BTreeSet;
use std::fmt::Write;

use camino::{Utf8Path, Utf8PathBuf};

use super::args::FetchArgs;
use super::fetch::{self, Answer, Keeping};
use serde_json::{Value, json};

use super::groups::{Groups, shown};
use super::kept::{Kept, Memory};
use super::kind::Kind;
use super::present::{Form, Presentation};
use super::store::{self, Entry, Set};
use super::summary::Side;
use super::target::{Target, targets};
use super::{load, series, watch};
use crate::app::{App, PlanFormat};
use crate::typo::closest;
use foundation::failure::{Exit, Failure, Result};
use foundation::ui;

pub(super) fn run(app: &App<'_>, args: &FetchArgs, show: &Presentation) -> Result<u8> {
    let mut targets = targets(app, args)?;
    if app.is_dry() {
        match app.global.format {
            Some(PlanFormat::Json) => ui::print_report(json!({
                "requests": targets.iter().map(|it| request(it, args)).collect::<Vec<_>>()
            })),
            _ => ui::print(&describe(&targets, args)),
        }
        return Ok(0);
    }
    if args.all {
        targets = every(app, &targets, args)?;
    } else if let Some(profile) = &args.profile {
        let meant = meant(profile, &targets, args)?;
        for target in &mut targets {
            target.kind.clone_from(&meant);
        }
    }
    let _attention = app.signals.attend();
    let is_series = args.every.is_some() || args.length.is_some();
    if args.watch && !show.fail_if.is_empty() {
        return Err(Failure::usage("`--fail-if` cannot be used with `--watch`")
            .hint("use it with `--every TIME --for TIME`, which checks the last round"));
    }
    if args.watch {
        return watch::run(app, &targets, args, show);
    }
    if is_series || show.form == Form::Leak {
        return series::run(app, &targets, args, show);
    }
    let now = jiff::Timestamp::now();
    let (stamp, time) = (
        store::stamp(now),
        now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    );
    let root = store::root(&app.ctx.dirs.state);
    let id = store::new_id(&root, &stamp, &targets);
    let dir = args
        .dir
        .as_ref()
        .map_or_else(|| root.join(&id), |dir| app.ctx.cwd.join(dir));
    let keeping = Keeping::saved(&dir, &stamp);
    let answers = fetch::all(app, &targets, args, &time, keeping)?;
    let mut set = Set::new(&id, &time);
    store::append(&dir, &mut set, None, &answers)?;
    let missing = missing(app, &answers, args);
    if missing
        .as_ref()
        .is_some_and(|failure| failure.exit == Exit::Interrupted)
        || answers.iter().all(|(_, answer)| answer.is_err())
    {
        return missing.map_or(Ok(0), Err);
    }
    let groups = groups(&root, &set, answers)?;
    let judged = shown(app, groups, show);
    app.ui.progress(&format!("saved in {dir}"));
    if args.dir.is_none() {
        store::prune(&root)?;
    }
    match missing {
        Some(failure) if !args.allow_missing => Err(failure),
        _ => judged,
    }
}

/// A set that was fetched before.
pub(super) fn reopen(
    app: &App<'_>,
    found: Vec<(Entry, Utf8PathBuf)>,
    show: &Presentation,
) -> Result<u8> {
    let rounds: BTreeSet<_> = found.iter().map(|(entry, _)| &entry.time).collect();
    if rounds.len() > 1 {
        return series::tell(app, &found, show);
    }
    let root = store::root(&app.ctx.dirs.state);
    let sets = store::list(&root)?;
    let (mut groups, mut memory) = (Groups::new(), Memory::default());
    for (entry, file) in found {
        let id = file
            .parent()
            .and_then(Utf8Path::file_name)
            .unwrap_or_default();
        let before = store::before(&sets, &root, id, &entry);
        let side = Side {
            node: entry.node.clone(),
            profile: memory.keep(load::read(&file)?, file),
            before: before.map(before_of),
        };
        groups
            .entry((entry.service, entry.profile))
            .or_default()
            .push(side);
    }
    shown(app, groups, show)
}

/// Stable: fields are added, never changed.
fn request(target: &Target, args: &FetchArgs) -> Value {
    json!({
        "node": target.node, "service": target.service,
        "url": target.url(&path(target, args)),
    })
}

fn path(target: &Target, args: &FetchArgs) -> String {
    if args.all {
        format!("{}…", target.index())
    } else {
        target.path(args)
    }
}

fn describe(targets: &[Target], args: &FetchArgs) -> String {
    let mut out = String::new();
    for target in targets {
        let path = path(target, args);
        let _ = writeln!(
            out,
            "GET {}  # {} {}",
            target.url(&path),
            target.node,
            target.service
        );
    }
    out
}

/// The targets of `--all`: what each service lists. Profiles that take time to
/// record are left out, except CPU profiles, which all services record at once.
fn every(app: &App<'_>, targets: &[Target], args: &FetchArgs) -> Result<Vec<Target>> {
    let mut all = Vec::new();
    for (target, names) in targets.iter().zip(fetch::offers(targets, args)?) {
        // A service that lists nothing is asked for one profile, whose failure
        // gives the reason.
        let kinds = names.map_or_else(
            || vec![Kind::Heap],
            |names| {
                names
                    .iter()
                    .filter(|name| is_profile(name))
                    .map(|name| Kind::new(name))
                    .collect()
            },
        );
        for kind in kinds.into_iter().filter(|kind| *kind != Kind::Trace) {
            let target = Target {
                kind,
                ..target.clone()
            };
            if !all.contains(&target) {
                all.push(target);
            }
        }
    }
    app.ui.progress(&format!(
        "{} profiles of {} services",
        all.len(),
        targets.len()
    ));
    Ok(all)
}

/// Finds a kind by its name. For kinds that only the nodes know, a part of the
/// name is enough.
fn meant(profile: &str, targets: &[Target], args: &FetchArgs) -> Result<Kind> {
    let kind = Kind::new(profile);
    if kind.is_known() {
        return Ok(kind);
    }
    let Some(names) = first_list(targets, args)? else {
        return Ok(kind);
    };
    if names.iter().any(|name| name == profile) {
        return Ok(kind);
    }
    let part = profile.to_lowercase();
    let found: Vec<&String> = names
        .iter()
        .filter(|name| name.to_lowercase().contains(&part))
        .collect();
    if let [name] = found[..] {
        return Ok(Kind::new(name));
    }
    let failure = Failure::usage(format!("the service has no profile `{profile}`"));
    let mut offered: Vec<&str> = names.iter().map(String::as_str).collect();
    offered.retain(|name| is_profile(name));
    let failure = failure.cause(format!("it offers: {}", offered.join(", ")));
    Err(match closest(profile, offered.into_iter()) {
        Some(name) => failure.hint(format!("did you mean `{name}`?")),
        None => failure,
    })
}

/// Asks one target after the other: the first list is enough.
fn first_list(targets: &[Target], args: &FetchArgs) -> Result<Option<Vec<String>>> {
    for target in targets.chunks(1) {
        let names = fetch::offers(target, args)?.into_iter().flatten().next();
        if names.is_some() {
            return Ok(names);
        }
    }
    Ok(None)
}

/// Two names of the list are not profiles but facts about the process.
fn is_profile(name: &str) -> bool {
    !matches!(name, "cmdline" | "symbol")
}

/// Returns the missing profiles as one failure, with the reason of every node.
pub(super) fn missing(app: &App<'_>, answers: &[Answer], args: &FetchArgs) -> Option<Failure> {
    let failed: Vec<(&Target, &Failure)> = answers
        .iter()
        .filter_map(|(target, answer)| Some((target, answer.as_ref().err()?)))
        .collect();
    let (_, first) = failed.first()?;
    let exit = if failed
        .iter()
        .any(|(_, failure)| failure.exit == Exit::Interrupted)
    {
        Exit::Interrupted
    } else {
        first.exit
    };
    let what = format!("{} of {} profiles are missing", failed.len(), answers.len());
    if args.allow_missing && failed.len() < answers.len() {
        app.ui.note(&what);
    }
    let mut failure = Failure::new(exit, what);
    for (target, one) in &failed {
        let causes: Vec<&str> = one.causes.iter().map(String::as_str).collect();
        let causes = if causes.is_empty() {
            String::new()
        } else {
            format!(": {}", causes.join("; "))
        };
        failure = failure.cause(format!("{}: {}{causes}", target.describe(), one.what));
        failure.excerpt.extend(one.excerpt.iter().cloned());
    }
    failure.hint.clone_from(&first.hint);
    Some(failure)
}

/// A profile of an earlier fetch is read when it is compared.
fn before_of(file: Utf8PathBuf) -> Kept {
    Kept::File {
        types: Vec::new(),
        file,
    }
}

fn groups(root: &Utf8Path, set: &Set, answers: Vec<Answer>) -> Result<Groups> {
    let sets = store::list(root)?;
    let mut groups = Groups::new();
    for ((target, answer), entry) in answers.into_iter().zip(&set.entries) {
        let Ok(fetched) = answer else { continue };
        let Some(profile) = fetched.profile else {
            continue;
        };
        let before = store::before(&sets, root, &set.id, entry);
        groups
            .entry((target.service, target.kind.to_string()))
            .or_default()
            .push(Side {
                node: target.node,
                profile,
                before: before.map(before_of),
            });
    }
    Ok(groups)
}

pub(super) fn group_of(target: &Target) -> (String, String) {
    (target.service.clone(), target.kind.to_string())
}

//! Fetch from all nodes, save, compare.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use ::pprof::Source;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;

use super::args::{FetchArgs, ShowArgs};
use super::fetch::{self, Answer, Body};
use super::store::{self, Entry, Set};
use super::summary::{Shown, Side, summarize};
use super::target::{Target, targets};
use super::{budget, flame, load, series, show, watch, web};
use crate::commands::App;
use crate::failure::{Exit, Failure, Result};
use crate::ui;

/// A flame graph has room for so many sides.
const SIDES: usize = 60;

/// A service's profile over the nodes.
pub(super) type Groups = BTreeMap<(String, String), Vec<Side>>;

pub(super) fn run(app: &App<'_>, args: &FetchArgs, show: &ShowArgs) -> Result<u8> {
    let mut targets = targets(app, args)?;
    if app.is_dry() {
        ui::print(&describe(&targets, args));
        return Ok(0);
    }
    if args.all {
        targets = every(app, &targets);
    } else if let Some(profile) = &args.profile {
        let meant = meant(profile, &targets)?;
        for target in &mut targets {
            target.profile.clone_from(&meant);
        }
    }
    let _attention = app.signals.attend();
    if args.watch {
        return watch::run(app, &targets, args, show);
    }
    if args.every.is_some() || args.length.is_some() || show.leak {
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
    let answers = fetch::all(app, &targets, args, &time);
    let mut set = Set::new(&id, &time);
    store::append(&dir, &mut set, &stamp, None, &answers)?;
    let missing = missing(app, &answers, args);
    if missing
        .as_ref()
        .is_some_and(|failure| failure.exit == Exit::Interrupted)
        || answers.iter().all(|(_, answer)| answer.is_err())
    {
        return missing.map_or(Ok(0), Err);
    }
    let groups = groups(&root, &set, answers);
    let judged = shown(app, groups, show);
    app.ui.progress(&format!("saved in {dir}"));
    if args.dir.is_none() {
        store::prune(&root);
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
    show: &ShowArgs,
) -> Result<u8> {
    let rounds: BTreeSet<_> = found.iter().map(|(entry, _)| &entry.time).collect();
    if rounds.len() > 1 {
        return series::tell(app, &found, show);
    }
    let root = store::root(&app.ctx.dirs.state);
    let sets = store::list(&root);
    let mut groups = Groups::new();
    for (entry, file) in found {
        let id = file
            .parent()
            .and_then(Utf8Path::file_name)
            .unwrap_or_default();
        let side = Side {
            node: entry.node.clone(),
            profile: load::read(&file)?,
            before: store::before(&sets, &root, id, &entry).and_then(|file| load::read(&file).ok()),
        };
        groups
            .entry((entry.service, entry.profile))
            .or_default()
            .push(side);
    }
    shown(app, groups, show)
}

fn describe(targets: &[Target], args: &FetchArgs) -> String {
    let mut out = String::new();
    for target in targets {
        let path = if args.all {
            "/debug/pprof/…".into()
        } else {
            target.path(args)
        };
        let _ = writeln!(
            out,
            "GET http://{}{path}  # {} {}",
            target.address, target.node, target.service
        );
    }
    out
}

/// For `--all`: what each service says that it has. What takes its time is
/// left out but for the CPU, which all services do at once.
fn every(app: &App<'_>, targets: &[Target]) -> Vec<Target> {
    let found: Vec<(Target, Option<Vec<String>>)> = std::thread::scope(|scope| {
        let asked: Vec<_> = targets
            .iter()
            .map(|target| (target.clone(), scope.spawn(|| fetch::offers(target))))
            .collect();
        asked
            .into_iter()
            .map(|(target, worker)| (target, worker.join().unwrap_or(None)))
            .collect()
    });
    let mut all = Vec::new();
    for (target, names) in found {
        // A silent one is asked for one profile, whose failure says why.
        let mut names = names.unwrap_or_else(|| vec!["heap".into()]);
        names.retain(|name| !matches!(name.as_str(), "cmdline" | "symbol" | "trace"));
        for name in names {
            let profile = if name == "profile" {
                "cpu".into()
            } else {
                name
            };
            let target = Target {
                profile,
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
    all
}

const KNOWN: [&str; 9] = [
    "heap",
    "allocs",
    "cpu",
    "profile",
    "goroutine",
    "block",
    "mutex",
    "threadcreate",
    "trace",
];

/// A part of a name is enough for those that only the nodes know.
fn meant(profile: &str, targets: &[Target]) -> Result<String> {
    if KNOWN.contains(&profile) {
        return Ok(if profile == "profile" {
            "cpu".into()
        } else {
            profile.into()
        });
    }
    let Some(names) = targets.iter().find_map(fetch::offers) else {
        return Ok(profile.to_owned());
    };
    if names.iter().any(|name| name == profile) {
        return Ok(profile.to_owned());
    }
    let part = profile.to_lowercase();
    let found: Vec<&String> = names
        .iter()
        .filter(|name| name.to_lowercase().contains(&part))
        .collect();
    match found[..] {
        [name] => Ok(name.clone()),
        _ => Err(
            Failure::usage(format!("the service has no profile `{profile}`"))
                .cause(format!("it offers: {}", names.join(", "))),
        ),
    }
}

/// What did not come, as one failure; every node's own reason is told.
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

fn groups(root: &Utf8Path, set: &Set, answers: Vec<Answer>) -> Groups {
    let sets = store::list(root);
    let mut groups = Groups::new();
    for ((target, answer), entry) in answers.into_iter().zip(&set.entries) {
        let Ok(fetched) = answer else { continue };
        let Body::Profile(profile, _) = fetched.body else {
            continue;
        };
        let before = store::before(&sets, root, &set.id, entry);
        groups
            .entry((target.service, target.profile))
            .or_default()
            .push(Side {
                node: target.node,
                profile: *profile,
                before: before.and_then(|file| load::read(&file).ok()),
            });
    }
    groups
}

pub(super) fn group_of(target: &Target) -> (String, String) {
    (target.service.clone(), target.profile.clone())
}

/// Files of a fetch, or of any origin: side by side by the node's label.
pub(super) fn compare(app: &App<'_>, files: &[Utf8PathBuf], args: &ShowArgs) -> Result<u8> {
    let mut by_node: BTreeMap<String, Vec<Source>> = BTreeMap::new();
    for file in files {
        let moment = series::read(file, None)?;
        let sources = by_node.entry(moment.node).or_default();
        sources.push(Source::new(moment.profile));
    }
    let mut sides = Vec::new();
    for (node, sources) in by_node {
        sides.push(Side {
            node,
            profile: ::pprof::merge(sources).map_err(|error| load::engine(&error))?,
            before: None,
        });
    }
    let name = files[0].file_name().unwrap_or("profile").to_owned();
    shown(app, Groups::from([((name, String::new()), sides)]), args)
}

/// A series as a picture: each node at each time is a side.
pub(super) fn timeline(
    app: &App<'_>,
    found: &[(Entry, Utf8PathBuf)],
    args: &ShowArgs,
) -> Result<u8> {
    let mut groups: BTreeMap<(&str, &str), Vec<&(Entry, Utf8PathBuf)>> = BTreeMap::new();
    for one in found {
        let group = groups.entry((&one.0.service, &one.0.profile));
        group.or_default().push(one);
    }
    for ((service, profile), mut entries) in groups {
        let nodes: BTreeSet<&str> = entries
            .iter()
            .map(|(entry, _)| entry.node.as_str())
            .collect();
        let times: BTreeSet<_> = entries.iter().map(|(entry, _)| &entry.time).collect();
        let step = (nodes.len() * times.len()).div_ceil(SIDES).max(1);
        if step > 1 {
            app.ui
                .note(&format!("of {} rounds each {step}. is drawn", times.len()));
        }
        let drawn: BTreeSet<_> = times.into_iter().step_by(step).collect();
        entries.retain(|(entry, _)| drawn.contains(&entry.time));
        let mut moments = Vec::new();
        for (entry, file) in entries {
            moments.push(series::read(file, Some(entry))?);
        }
        let title = format!("{service} {profile}");
        if args.flame {
            flame::series(app, &moments, &title, args)?;
        } else {
            web::series(app, &moments, &title, args)?;
        }
    }
    Ok(0)
}

/// Nodes side by side, or all of them in the form that is asked for.
fn shown(app: &App<'_>, groups: Groups, args: &ShowArgs) -> Result<u8> {
    let sides = groups.iter().flat_map(|((service, _), sides)| {
        let sides = sides.iter();
        sides.map(move |side| {
            let whose = format!("{} {service}", side.node);
            (Some(service.as_str()), whose, &side.profile)
        })
    });
    // Told last, after what was asked for has been shown.
    let budgets = budget::check(&args.fail_if, &args.query(), &sides.collect::<Vec<_>>());
    if args.has_form() {
        for ((service, profile), sides) in groups {
            let sources = sides.into_iter().map(|side| Source::new(side.profile));
            let merged = ::pprof::merge(sources.collect()).map_err(|error| load::engine(&error))?;
            if args.flame {
                flame::show(app, &merged, &format!("{service} {profile}"), args)?;
            } else if args.web {
                web::write(app, &merged, &format!("{service} {profile}"), args)?;
            } else {
                show::show(app, &load::compared(merged, &args.compare)?, args)?;
            }
        }
        return budgets.map(|()| 0);
    }
    let query = args.query();
    let mut summaries = Vec::new();
    for ((service, profile), sides) in &groups {
        let summary = summarize(sides, &query)?;
        if args.json {
            summaries
                .push(json!({"service": service, "profile": profile, "summary": summary.json()}));
        } else {
            let title = format!("{service} {profile}");
            let shown = Shown {
                rows: args.value.nodecount,
                only_controllers: args.controllers,
            };
            ui::print(&summary.text(app, &title, shown));
        }
    }
    if args.json {
        ui::print_json(&json!({"schema": 1, "summaries": summaries}));
    }
    budgets.map(|()| 0)
}

//! What stands for an argument: names of clusters, nodes, targets, suites and others, as they
//! are at the moment. Only files are read, and a value that cannot be found is not offered.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use clap::{Arg, Command, ValueHint};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use regex::Regex;

use crate::commands::{build, pprof, test};
use foundation::ctx::Ctx;
use foundation::ctx::cluster::ClusterView;
use foundation::files;
use foundation::record::run_summary::RunSummary;
use foundation::record::runs;

/// Names with a few words about each.
type Values = Vec<(String, String)>;

/// What is known of the command line.
struct Given {
    ctx: Ctx,
    words: Vec<String>,
}

/// Adds the source of values to each argument that has one.
pub(super) fn with_values(root: Command, words: &[String]) -> Command {
    let talos_dir = option(words, &["-C", "--talos-dir"]);
    let Ok(ctx) = Ctx::new(talos_dir.map(Utf8PathBuf::from)) else {
        return root;
    };
    let given = Arc::new(Given {
        ctx,
        words: words.to_vec(),
    });
    below(root, "", &given)
}

fn below(command: Command, above: &str, given: &Arc<Given>) -> Command {
    let path = format!("{above}{}", command.get_name());
    let command = command.mut_args(|arg| with_source(arg, &path, given));
    let above = format!("{path} ");
    command.mut_subcommands(|sub| below(sub, &above, given))
}

fn with_source(arg: Arg, path: &str, given: &Arc<Given>) -> Arg {
    let name = arg.get_value_names().and_then(<[_]>::first);
    let name = name.map_or("", |name| name.as_str());
    let place = path.strip_prefix("xtask ").unwrap_or(path);
    let source: fn(&Given, &str) -> Values = match (place, arg.get_id().as_str(), name) {
        (_, "words", "TARGET|NAME=VALUE") => targets,
        (_, "name", "NAME") => clusters,
        (_, "suites", _) => suites,
        (_, "packages", "PKG") => packages,
        ("test unit", "run", _) => tests,
        ("runs" | "runs show" | "runs replay" | "runs export", "run", _) => recorded,
        ("pprof open", "profiles", _) => profiles,
        (_, _, "NODE" | "NODE|FILE") | (_, "nodes" | "node", _)
            if arg.get_id().as_str() != "lab" && place != "lab up" =>
        {
            nodes
        }
        (_, _, "DIR") => return arg.value_hint(ValueHint::DirPath),
        (_, _, "FILE" | "PATH" | "FILE:LINE") => return arg.value_hint(ValueHint::AnyPath),
        _ => return arg,
    };
    let given = Arc::clone(given);
    arg.add(ArgValueCompleter::new(move |current: &OsStr| {
        let current = current.to_string_lossy();
        let values = source(&given, &current).into_iter();
        values
            .filter(|(value, _)| value.starts_with(current.as_ref()))
            .map(|(value, help)| {
                CompletionCandidate::new(value).help((!help.is_empty()).then(|| help.into()))
            })
            .collect()
    }))
}

/// The value of an option on the command line.
fn option<'a>(words: &'a [String], names: &[&str]) -> Option<&'a str> {
    words.iter().enumerate().find_map(|(at, word)| {
        if names.contains(&word.as_str()) {
            return words.get(at + 1).map(String::as_str);
        }
        let (name, value) = word.split_once('=')?;
        names.contains(&name).then_some(value)
    })
}

fn plain(names: impl IntoIterator<Item = String>) -> Values {
    names
        .into_iter()
        .map(|name| (name, String::new()))
        .collect()
}

fn targets(given: &Given, current: &str) -> Values {
    build::completions(&given.ctx, current)
}

fn clusters(given: &Given, _current: &str) -> Values {
    plain(ClusterView::names(&given.ctx))
}

/// Names of nodes without that of the cluster, as commands accept them.
fn nodes(given: &Given, _current: &str) -> Values {
    let asked = option(&given.words, &["--name"]).map(str::to_owned);
    let set = || given.ctx.config.cluster.name.clone();
    let name = asked
        .or_else(set)
        .unwrap_or_else(|| "talos-default".to_owned());
    let view = ClusterView::probe(&given.ctx, &name);
    let nodes = view.nodes.iter().map(|node| {
        let short = node
            .name
            .strip_prefix(&format!("{name}-"))
            .unwrap_or(&node.name);
        let ip = node.ip.map(|ip| ip.to_string()).unwrap_or_default();
        (short.to_owned(), ip)
    });
    nodes.collect()
}

fn suites(given: &Given, current: &str) -> Values {
    let is_upgrade = given.words.iter().any(|word| word == "upgrade");
    test::suite_names(&given.ctx, is_upgrade, current.contains('/'))
}

/// Folders of packages, and patterns for all below them.
fn packages(given: &Given, current: &str) -> Values {
    let Ok(checkout) = given.ctx.checkout() else {
        return Vec::new();
    };
    let inner = current.strip_prefix("./").unwrap_or_default();
    let parent = inner.rsplit_once('/').map_or("", |(parent, _)| parent);
    // As patterns of go are: from the folder where the command is typed, if that is in the checkout.
    let from = if given.ctx.cwd.starts_with(&checkout.dir) {
        &given.ctx.cwd
    } else {
        &checkout.dir
    };
    let before = if parent.is_empty() {
        "./".to_owned()
    } else {
        format!("./{parent}/")
    };
    let mut found = vec![format!("{before}...")];
    for entry in from
        .join(parent)
        .read_dir_utf8()
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = entry.file_name();
        let is_package = !name.starts_with(['.', '_']) && name != "testdata";
        if is_package && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.push(format!("{before}{name}/"));
        }
    }
    found.sort();
    plain(found)
}

/// Test functions of the folders that are named, else of this one.
fn tests(given: &Given, _current: &str) -> Values {
    let named = given.words.iter().filter(|word| word.starts_with("./"));
    let mut folders: Vec<Utf8PathBuf> = named
        .filter(|word| !word.contains("..."))
        .map(|word| given.ctx.cwd.join(word))
        .collect();
    if folders.is_empty() {
        folders.push(given.ctx.cwd.clone());
    }
    let Ok(function) = Regex::new(r"(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(") else {
        return Vec::new();
    };
    let mut found = BTreeSet::new();
    for file in folders.iter().flat_map(|folder| test_files(folder)) {
        let text = files::read_text(&file, files::MEDIUM).ok().flatten();
        let text = text.unwrap_or_default();
        let functions = function.captures_iter(&text);
        found.extend(functions.map(|name| name[1].to_owned()));
    }
    plain(found)
}

fn test_files(folder: &Utf8Path) -> Vec<Utf8PathBuf> {
    let entries = folder.read_dir_utf8().into_iter().flatten().flatten();
    let files = entries.map(camino::Utf8DirEntry::into_path);
    files
        .filter(|path| path.as_str().ends_with("_test.go"))
        .collect()
}

fn recorded(given: &Given, _current: &str) -> Values {
    /// As many as a screen has lines.
    const MOST: usize = 40;
    let state = &given.ctx.dirs.state;
    let mut found = vec![("latest".to_owned(), "The newest".to_owned())];
    for id in runs::list(state).into_iter().take(MOST) {
        let summary = RunSummary::read(&state.join("runs").join(&id)).ok();
        found.push((id, summary.map(|it| it.command).unwrap_or_default()));
    }
    found
}

/// Fetched profiles and files.
fn profiles(given: &Given, current: &str) -> Values {
    let mut found = pprof::set_names(&given.ctx.dirs.state);
    let parent = current.rsplit_once('/').map_or("", |(parent, _)| parent);
    let before = current
        .rsplit_once('/')
        .map_or(String::new(), |(parent, _)| format!("{parent}/"));
    let entries = given.ctx.cwd.join(parent).read_dir_utf8();
    for entry in entries.into_iter().flatten().flatten() {
        let end = if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            "/"
        } else {
            ""
        };
        found.push((format!("{before}{}{end}", entry.file_name()), String::new()));
    }
    found
}

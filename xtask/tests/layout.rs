//! The import graph: commands know each other only where it is listed here, and
//! what is lower does not know what is higher.
#![allow(clippy::unwrap_used, reason = "tests read the sources")]

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use regex::Regex;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Which command may import which, and for what.
const SHARED: &[(&str, &str, &str)] = &[
    ("airgap", "cluster", "the bridge and the nodes of a cluster"),
    ("dev", "build", "targets of the Makefile"),
    ("dev", "cluster", "the reboot of nodes"),
    (
        "doctor",
        "cluster",
        "checks are about the cluster that `up` would make",
    ),
    ("editor", "tasks", "one list of tasks for all editors"),
    ("kmod", "cluster", "nodes by name"),
    ("podtrace", "cluster", "nodes by name"),
    ("pprof", "cluster", "nodes by name"),
    ("proxies", "cluster", "the gateway that nodes use"),
    (
        "proxies",
        "registry",
        "a proxy is a registry with an upstream",
    ),
    ("completions", "build", "targets and variables"),
    ("completions", "pprof", "fetched profiles"),
    ("completions", "test", "suites and their tests"),
    ("kmod", "build", "targets of pkgs and extensions"),
    ("kmod", "installer", "an installer with an extension"),
    ("selinux", "build", "the policy is a target of the Makefile"),
    ("selinux", "cluster", "logs of nodes by name"),
    ("setup", "builder", "one of its parts"),
    ("setup", "proxies", "one of its parts"),
    ("setup", "registry", "one of its parts"),
    ("status", "pprof", "flame graphs of fetched profiles"),
    ("status", "runs", "durations and results of runs"),
    ("installer", "build", "targets of the Makefile"),
    ("test", "build", "test binaries are targets of the Makefile"),
    ("test", "cluster", "a cluster for integration tests"),
    ("test", "installer", "what upgrades install"),
    ("test", "selinux", "denials that the tests caused"),
];

/// Lower first: a module imports only what stands before it.
const FOUNDATION: [&str; 13] = [
    "units", "shell", "failure", "random", "signals", "wait", "typed", "files", "plan", "ctx",
    "record", "ui", "run",
];

/// Names of modules that the sources below `folder` import by `path`, such as
/// `crate::commands`, by the module that imports them.
fn imports(folder: &Utf8Path, path: &str) -> BTreeSet<(String, String)> {
    let single = Regex::new(&format!(r"\b{path}::([a-z_]+)")).unwrap();
    let several = Regex::new(&format!(r"\b{path}::\{{([^;]*?)\}};")).unwrap();
    let name = Regex::new(r"^[a-z_]+").unwrap();
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(dir) = folders.pop() {
        for entry in dir.read_dir_utf8().unwrap() {
            let file = entry.unwrap().into_path();
            if file.is_dir() {
                folders.push(file);
                continue;
            }
            if file.file_name() == Some("tests.rs") {
                continue;
            }
            let within = file.strip_prefix(folder).unwrap();
            let from = within.components().next().unwrap().as_str();
            let from = from.trim_end_matches(".rs").to_owned();
            let text = std::fs::read_to_string(&file).unwrap();
            // Unit tests may look anywhere, and text is escaped everywhere.
            let text = text.split("#[cfg(test)]").next().unwrap();
            let text = text.replace("crate::ui::text", "");
            let code: Vec<&str> = text
                .lines()
                .map(|line| line.split("//").next().unwrap())
                .collect();
            let code = code.join("\n");
            let mut add = |to: &str| {
                if to != from && from != "mod" && from != "lib" {
                    found.insert((from.clone(), to.to_owned()));
                }
            };
            for import in single.captures_iter(&code) {
                add(import.get(1).unwrap().as_str());
            }
            for import in several.captures_iter(&code) {
                for word in top_level(import.get(1).unwrap().as_str()) {
                    if let Some(word) = name.find(word.trim()) {
                        add(word.as_str());
                    }
                }
            }
        }
    }
    found
}

/// The parts of a list, not those of lists within.
fn top_level(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    parts
}

/// Commands that import each other by `super` from their top file, too.
fn commands() -> BTreeSet<(String, String)> {
    let folder = Utf8Path::new(ROOT).join("src/commands");
    let names: BTreeSet<String> = folder
        .read_dir_utf8()
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .file_name()
                .trim_end_matches(".rs")
                .to_owned()
        })
        .collect();
    let mut found = imports(&folder, "crate::commands");
    for name in &names {
        for file in [format!("{name}.rs"), format!("{name}/mod.rs")] {
            let Ok(text) = std::fs::read_to_string(folder.join(file)) else {
                continue;
            };
            let path = Regex::new(r"\bsuper::(?:\{([^;]*?)\};|([a-z_]+))").unwrap();
            let found_here = path.captures_iter(&text).flat_map(|import| {
                let list = import.get(1).or(import.get(2)).unwrap().as_str().to_owned();
                top_level(&list)
                    .into_iter()
                    .map(|part| part.trim().to_owned())
                    .collect::<Vec<_>>()
            });
            for to in found_here {
                let to = to.split(':').next().unwrap();
                if names.contains(to) && to != name {
                    found.insert((name.clone(), to.to_owned()));
                }
            }
        }
    }
    found.retain(|(_, to)| names.contains(to));
    found
}

#[test]
fn a_command_imports_only_what_the_list_allows() {
    let allowed: BTreeSet<(String, String)> = SHARED
        .iter()
        .map(|(from, to, _)| ((*from).to_owned(), (*to).to_owned()))
        .collect();
    assert_eq!(commands(), allowed, "SHARED in {}", file!());
}

#[test]
fn commands_do_not_import_each_other_in_a_circle() {
    let mut below: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, to) in commands() {
        below.entry(from).or_default().insert(to);
    }
    // Take away what imports nothing that is left, until nothing goes.
    loop {
        let left: BTreeSet<String> = below.keys().cloned().collect();
        below.retain(|_, to| to.iter().any(|to| left.contains(to)));
        if below.len() == left.len() {
            break;
        }
    }
    assert!(below.is_empty(), "{below:?}");
}

#[test]
fn commands_do_not_import_the_command_line_that_lists_them() {
    let src = Utf8Path::new(ROOT).join("src");
    let found = imports(&src, "crate");
    assert!(
        !found.contains(&("commands".into(), "cli".into())),
        "{found:?}"
    );
    assert!(
        !found.contains(&("commands".into(), "undo".into())),
        "{found:?}"
    );
    assert!(
        !found.contains(&("app".into(), "commands".into())),
        "{found:?}"
    );
    assert!(!found.contains(&("app".into(), "cli".into())), "{found:?}");
}

#[test]
fn the_foundation_imports_downwards() {
    let src = Utf8Path::new(ROOT).join("crates/foundation/src");
    let rank = |name: &str| FOUNDATION.iter().position(|it| *it == name);
    let upwards: BTreeSet<(String, String)> = imports(&src, "crate")
        .into_iter()
        .filter(|(from, to)| rank(to).is_some() && rank(from) < rank(to))
        .collect();
    assert!(upwards.is_empty(), "{upwards:?}");
}

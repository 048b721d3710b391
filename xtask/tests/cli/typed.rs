//! Commands that are printed to be typed: each exists, and typed as printed it
//! means what was meant.
#![allow(
    clippy::disallowed_methods,
    reason = "tests make their own small worlds"
)]

use std::collections::BTreeSet;
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};
use clap::Parser;
use regex::Regex;
use xtask::cli::{Cli, Global};

use crate::common::{Home, run};

/// A folder that a shell must not read.
const DIR: &str = "dir with space; touch PWN #";

/// All sources whose texts are printed.
fn sources() -> Vec<(Utf8PathBuf, String)> {
    let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src"), root.join("crates")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir_utf8().unwrap() {
            let path = entry.unwrap().into_path();
            if path.is_dir() && path.file_name() != Some("tests") {
                folders.push(path);
            } else if path.extension() == Some("rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                // Unit tests are not printed.
                let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
                files.push((path, text.to_owned()));
            }
        }
    }
    assert!(files.len() > 100, "{}", files.len());
    files
}

/// Words as clap gets them; placeholders and values by what they stand for.
fn words(pattern: &str, value: &str) -> Vec<String> {
    let filled = pattern.replace("{}", value);
    let word = |word: &str| match word {
        "I/N" => "1/2".to_owned(),
        "N" => "1".to_owned(),
        other => other.to_owned(),
    };
    let words = filled.split_whitespace().map(word);
    std::iter::once("xtask".to_owned()).chain(words).collect()
}

#[test]
fn each_printed_command_is_one_that_exists() {
    let literal = Regex::new(r#"\btyped!\(\s*"([^"]*)""#).unwrap();
    let call = Regex::new(r"\btyped!\(").unwrap();
    let mut patterns = BTreeSet::new();
    for (path, text) in sources() {
        if path.ends_with("foundation/src/typed.rs") {
            continue;
        }
        let found: Vec<&str> = literal
            .captures_iter(&text)
            .map(|found| found.get(1).unwrap().as_str())
            .collect();
        assert_eq!(found.len(), call.find_iter(&text).count(), "{path}");
        patterns.extend(found.into_iter().map(str::to_owned));
    }
    assert!(patterns.len() > 40, "{patterns:?}");
    for pattern in &patterns {
        // Numbers, networks, names and files; what none of them can be is an
        // option or a subcommand that does not exist.
        let refused = ["1", "172.20.0.0/24"].map(|value| {
            Cli::try_parse_from(words(pattern, value))
                .err()
                .filter(clap::Error::use_stderr)
        });
        if let [Some(error), Some(_)] = refused {
            panic!("`{pattern}`: {error}");
        }
    }
}

#[test]
fn no_command_is_printed_in_another_way() {
    let by_hand = Regex::new(r#""[^"\n]*cargo xtask"#).unwrap();
    // Help is static.
    let help = Regex::new(r#"(?s)(after_help|bin_name) = "(?:[^"\\]|\\.)*""#).unwrap();
    // Files name what wrote them; a leg, a job of CI and a cluster of another machine run
    // elsewhere.
    let others = [
        ("foundation/src/typed.rs", 1),
        ("commands/lab/start.rs", 2),
        ("commands/builder/mod.rs", 1),
        ("commands/embed/mod.rs", 2),
        ("commands/test/shards.rs", 1),
        ("commands/ci/builder.rs", 1),
        ("commands/ci/github.rs", 1),
        ("commands/ci/mod.rs", 6),
        ("commands/cluster/settings.rs", 1),
        // Help too, which `as_started` changes.
        ("xtask/src/help.rs", 2),
    ];
    for (path, text) in sources() {
        let code: String = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .flat_map(|line| [line, "\n"])
            .collect();
        let known = others.iter().find(|(other, _)| path.ends_with(other));
        let count = by_hand.find_iter(&help.replace_all(&code, "")).count();
        assert_eq!(count, known.map_or(0, |(_, count)| *count), "{path}");
    }
}

/// A cluster's folder as a killed `create` leaves it.
fn half_made(home: &Home, name: &str) {
    home.write(&format!(".talos/clusters/{name}/state.yaml"), "");
}

fn started_by_cargo(mut command: Command) -> Command {
    command.env("CARGO_PKG_NAME", "xtask");
    command
}

/// Command lines of ours in what was printed.
fn printed(text: &str) -> Vec<String> {
    let ours = Regex::new(r"cargo xtask [^`\n]*").unwrap();
    ours.find_iter(text)
        .map(|found| found.as_str().to_owned())
        .collect()
}

/// What goes wrong or is shown in a HOME with nothing but a half-made cluster.
const TELLING: &[&[&str]] = &[
    &["cluster", "logs"],
    &["cluster", "status"],
    &["cluster", "up", "--workers", "0"],
    &["cluster", "reboot", "--all"],
    &["cluster", "list"],
    &["doctor"],
    &["runs", "nothing"],
    &["pprof", "list"],
    &["pprof", "machined", "heap"],
    &["pprof", "open", "--diff", "one"],
    &["test", "shards", "--n", "0"],
    &["images"],
    &["builder", "prune", "--keep", "much"],
    &["registry", "ls"],
    &["build", "--list"],
];

#[test]
fn inside_the_lab_every_command_says_so() {
    let home = Home::new();
    half_made(&home, "talos-default");
    let mut seen = BTreeSet::new();
    for words in TELLING {
        let mut command = started_by_cargo(home.xtask(words));
        command.env("XTASK_INSIDE_LAB", "1");
        command.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
        let said = run(&mut command);
        for line in printed(&(said.stdout + &said.stderr)) {
            let rest = line.strip_prefix("cargo xtask ").unwrap();
            assert!(
                rest.starts_with("--lab ") || rest.starts_with("lab "),
                "{words:?}: {line}"
            );
            seen.insert(line);
        }
    }
    for wanted in [
        "cargo xtask --lab cluster destroy",
        "cargo xtask --lab runs",
        "cargo xtask --lab pprof machined heap",
        "cargo xtask --lab test shards --n 4",
        "cargo xtask --lab builder prune --keep 20GB",
    ] {
        let is_there = seen.iter().any(|line| line.starts_with(wanted));
        assert!(is_there, "{wanted}: {seen:#?}");
    }
}

/// Typed as printed, the hint of a command in the lab was a destroy of the
/// cluster of that name outside of it.
#[test]
fn a_hint_of_the_lab_destroys_nothing_outside() {
    let home = Home::new();
    half_made(&home, "mine");
    let words = ["cluster", "up", "--name", "mine", "--format", "human"];
    let mut command = started_by_cargo(home.xtask(&words));
    let said = run(command.env("XTASK_INSIDE_LAB", "1"));
    let hint = "hint: cargo xtask --lab cluster destroy --name mine\n";
    assert!(said.stderr.ends_with(hint), "{}", said.stderr);
    let mut command = started_by_cargo(home.xtask(&["cluster", "status", "--name", "mine"]));
    let said = run(command.env("XTASK_INSIDE_LAB", "shell"));
    let line = &printed(&said.stdout)[0];
    assert_eq!(line, "cargo xtask cluster destroy --name mine");
}

#[test]
fn what_was_given_is_given_again() {
    let home = Home::new();
    std::fs::create_dir(home.path(DIR)).unwrap();
    for (words, name) in [
        (&["cluster", "logs", "--name", "mine"][..], Some("mine")),
        (&["cluster", "status", "--name", "mine"], Some("mine")),
        (&["cluster", "up", "--name", "a'b"], None),
        (&["runs", "nothing"], None),
        (
            &["pprof", "machined", "heap", "--name", "mine"],
            Some("mine"),
        ),
        (&["test", "shards", "--n", "0"], None),
    ] {
        // Inside, `--lab` has been taken off already.
        let inside = [&["-C", DIR], words].concat();
        let mut command = started_by_cargo(home.xtask(&inside));
        let said = run(command.env("XTASK_INSIDE_LAB", "1"));
        let lines = printed(&(said.stdout + &said.stderr));
        assert!(name.is_none() || !lines.is_empty(), "{words:?}");
        for line in lines {
            let typed = shlex::split(line.split("; or").next().unwrap()).unwrap();
            let cli = Cli::try_parse_from(typed.into_iter().skip(1));
            let cli = cli.unwrap_or_else(|error| panic!("{line}: {error}"));
            let Global { talos_dir, lab, .. } = &cli.global;
            assert!(lab.is_some(), "{line}");
            assert_eq!(talos_dir.as_deref(), Some(Utf8Path::new(DIR)), "{line}");
            if name.is_some() && !line.contains("build ") {
                assert_eq!(cli.cluster_name(), name, "{line}");
            }
        }
    }
    assert!(!home.path("PWN").exists());
}

#[test]
fn the_tool_is_named_as_it_was_started() {
    let home = Home::new();
    let hint = |command: &mut Command| {
        let said = run(command.args(["runs", "nothing"]));
        let hint = said.stderr.lines().last().unwrap_or_default().to_owned();
        hint.strip_prefix("hint: ").unwrap().to_owned()
    };
    let plain = || {
        let mut command = home.xtask(&[]);
        command.env_remove("CARGO_PKG_NAME");
        command
    };
    let path = shlex::split(&hint(&mut plain())).unwrap();
    assert_eq!(path, [env!("CARGO_BIN_EXE_xtask"), "runs"]);
    assert_eq!(hint(&mut started_by_cargo(plain())), "cargo xtask runs");
    for words in [&["--help"][..], &["cluster", "up", "--help"], &["reboot"]] {
        let said = run(plain().args(words));
        let text = said.stdout + &said.stderr;
        assert!(!text.contains("cargo xtask"), "{words:?}: {text}");
        assert!(
            text.contains(env!("CARGO_BIN_EXE_xtask")),
            "{words:?}: {text}"
        );
    }
    // As the lab hands it on.
    let handed = hint(
        plain()
            .env("XTASK_INSIDE_LAB", "1")
            .env("XTASK_TYPED_AS", "x"),
    );
    assert_eq!(handed, "x --lab runs");
    // The shell can run what is printed, whatever the program is called.
    let odd = home.path("it's; touch PWN");
    std::fs::hard_link(env!("CARGO_BIN_EXE_xtask"), &odd)
        .or_else(|_| std::fs::copy(env!("CARGO_BIN_EXE_xtask"), &odd).map(drop))
        .unwrap();
    let mut command = Command::new(&odd);
    let line = hint(command.env_remove("CARGO_PKG_NAME").env("HOME", &home.root));
    let said = run(Command::new("sh")
        .args(["-c", &line])
        .env("HOME", &home.root)
        .current_dir(&home.root));
    assert_eq!(said.code, Some(0), "{line}: {}", said.stderr);
    assert!(!home.path("PWN").exists());
}

//! What `--help` says, command by command.

use std::process::{Command, Stdio};

use clap::CommandFactory;

use crate::common::{Home, assert_golden, run, said, skip, xtask};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/cli");

/// The words of every command that can be typed.
fn paths(command: &clap::Command, above: &[String], found: &mut Vec<Vec<String>>) {
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let path = [above, &[sub.get_name().to_owned()]].concat();
        found.push(path.clone());
        paths(sub, &path, found);
    }
}

#[test]
fn help_is_as_it_was_read_last() {
    let mut all = vec![Vec::new()];
    paths(&xtask::cli::Cli::command(), &[], &mut all);
    let mut expected = vec!["README.md".to_owned()];
    for path in all {
        let name = if path.is_empty() {
            "xtask".to_owned()
        } else {
            path.join("-")
        };
        let said = run(xtask().args(&path).arg("--help"));
        assert_eq!(said.code, Some(0), "{path:?}: {}", said.stderr);
        assert!(
            said.stdout.lines().all(|line| width(line) <= 100),
            "{path:?} is too wide:\n{}",
            said.stdout
        );
        assert_golden(&format!("{GOLDEN}/{name}.txt"), &said.stdout);
        expected.push(format!("{name}.txt"));
    }
    for entry in std::fs::read_dir(GOLDEN).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            expected.contains(&name),
            "{GOLDEN}/{name} is of no command: remove it"
        );
    }
}

/// In columns, as a terminal shows them.
fn width(line: &str) -> usize {
    line.chars().count()
}

#[test]
fn help_is_wrapped_at_the_terminals_width() {
    let mut all = vec![Vec::new()];
    paths(&xtask::cli::Cli::command(), &[], &mut all);
    for columns in [60, 80, 120] {
        for path in &all {
            let mut command = xtask();
            let command = command.args(path).arg("--help");
            let said = run(command.env("COLUMNS", columns.to_string())).stdout;
            // clap does not wrap the usage line.
            let mut lines = said.lines().filter(|line| !line.starts_with("Usage: "));
            let wide = lines.find(|line| width(line) > columns);
            assert_eq!(wide, None, "{path:?} at {columns} columns:\n{said}");
        }
    }
}

#[test]
fn only_the_roots_help_lists_the_options_of_every_command() {
    let root = run(xtask().arg("help")).stdout;
    assert!(
        root.contains("Options of every command:") && root.contains("--dry-run"),
        "{root}"
    );
    for words in [&["cluster"][..], &["cluster", "up"], &["pprof", "open"]] {
        let said = run(xtask().args(words).arg("--help")).stdout;
        assert!(!said.contains("--talos-dir"), "{said}");
        assert!(
            said.ends_with("\nOptions of every command: `cargo xtask help`\n"),
            "{said}"
        );
        // Hidden, but accepted.
        let said = run(xtask().args(words).args(["--dry-run", "--quiet", "--help"]));
        assert_eq!(said.code, Some(0), "{}", said.stderr);
    }
}

#[test]
fn the_service_stands_before_its_profile() {
    let said = run(xtask().args(["pprof", "--help"])).stdout;
    let at = |word: &str| said.find(&format!("\n  {word} ")).unwrap();
    assert!(at("[SERVICE]") < at("[PROFILE]"), "{said}");
}

#[test]
fn every_argument_says_what_it_is_for() {
    fn look(command: &clap::Command) {
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            assert!(
                arg.get_help().is_some(),
                "`{}` of `{}`",
                arg.get_id(),
                command.get_name()
            );
        }
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            assert!(sub.get_about().is_some(), "`{}`", sub.get_name());
            look(sub);
        }
    }
    look(&xtask::cli::Cli::command());
}

#[test]
fn help_is_the_same_however_it_is_asked_for() {
    let long = run(xtask().args(["cluster", "up", "--help"])).stdout;
    assert_eq!(run(xtask().args(["cluster", "help", "up"])).stdout, long);
    assert!(
        run(xtask().args(["help"]))
            .stdout
            .contains("cargo xtask --lab cluster")
    );
    assert!(long.contains("Usage: cargo xtask cluster up"), "{long}");
}

/// Without a checkout, a home, or anything on PATH.
#[test]
fn the_version_needs_nothing() {
    let said = run(xtask().arg("--version").env_clear().current_dir("/"));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(
        said.stdout,
        format!("xtask {}\n", env!("CARGO_PKG_VERSION"))
    );
}

/// Lines of `doctor` are broken between words too, but not the commands that it prints.
#[test]
fn findings_are_wrapped_on_a_narrow_terminal() {
    let home = Home::new();
    let line = format!(
        "stty cols 60; {} doctor",
        xtask().get_program().to_str().unwrap()
    );
    let mut command = Command::new("script");
    let command = command
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env("HOME", &home.root)
        .env("SHELL", "/bin/sh")
        .env("TERM", "dumb")
        .current_dir(&home.root)
        .stdin(Stdio::null());
    let Ok(output) = command.output() else {
        return skip("findings_are_wrapped", "no `script` of util-linux");
    };
    let shown = said(&output).stdout.replace("\r\n", "\n");
    assert!(shown.contains("\n           "), "{shown}");
    let findings = shown.split("\n\n").next().unwrap();
    for line in findings.lines().filter(|line| width(line) > 60) {
        let text: String = line.chars().skip(11).collect();
        let is_whole = text.starts_with("fix: ") || !text.trim().contains(' ');
        assert!(is_whole, "{line}:\n{shown}");
    }
}

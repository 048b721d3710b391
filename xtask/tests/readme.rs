//! The README says what is: its command table is the command line's, and its
//! console blocks run.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests make their own small worlds"
)]

mod common;
mod in_lab;

use std::fmt::Write;

use clap::{Command, CommandFactory};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const BEGIN: &str = "<!-- commands: generated, see \"Contributing\" -->\n";
const END: &str = "<!-- end of commands -->";

/// `embed` carries the README along, because a Talos checkout has its own.
fn readme() -> String {
    let carried = format!("{ROOT}/README.md");
    if std::fs::exists(&carried).unwrap() {
        carried
    } else {
        format!("{ROOT}/../README.md")
    }
}

/// One row per command that can be typed, in the order of `--help`.
fn rows(command: &Command, path: &str, out: &mut String) {
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let name = format!("{path}{}", sub.get_name());
        let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(out, "| `{name}` | {} |", about.replace('|', "\\|"));
        rows(sub, &format!("{name} "), out);
    }
}

#[test]
fn the_command_table_is_the_command_lines() {
    let text = std::fs::read_to_string(readme()).unwrap();
    let (head, rest) = text.split_once(BEGIN).unwrap();
    let (table, tail) = rest.split_once(END).unwrap();
    let mut wanted = String::from("| `cargo xtask …` | |\n|---|---|\n");
    rows(&xtask::cli::Cli::command(), "", &mut wanted);
    if std::env::var_os("XTASK_UPDATE").is_some() {
        std::fs::write(readme(), format!("{head}{BEGIN}{wanted}{END}{tail}")).unwrap();
    } else {
        assert_eq!(
            table, wanted,
            "XTASK_UPDATE=1 cargo test --test readme rewrites it"
        );
    }
}

/// A command of a console block and the lines that it is to print; `…` stands
/// for anything, alone on a line for any lines.
struct Example {
    command: String,
    output: Vec<String>,
}

fn examples(text: &str) -> Vec<Example> {
    let mut found: Vec<Example> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            _ if !inside => {}
            _ => match line.strip_prefix("$ ") {
                Some(command) => found.push(Example {
                    command: command.into(),
                    output: Vec::new(),
                }),
                None => found.last_mut().unwrap().output.push(line.to_owned()),
            },
        }
    }
    found
}

fn matches(wanted: &[String], got: &[&str]) -> bool {
    match wanted.split_first() {
        None => got.is_empty(),
        Some((any, rest)) if any == "…" => {
            (0..=got.len()).any(|skip| matches(rest, &got[skip..]))
        }
        Some((line, rest)) => {
            got.first().is_some_and(|first| line_matches(line, first)) && matches(rest, &got[1..])
        }
    }
}

fn line_matches(wanted: &str, got: &str) -> bool {
    match wanted.split_once('…') {
        None => wanted.trim_end() == got.trim_end(),
        Some((head, tail)) => got.starts_with(head) && got.ends_with(tail),
    }
}

#[test]
fn the_matcher_can_fail() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(matches(&lines("a …\n…\nz"), &["a 1", "b", "z"]));
    assert!(!matches(&lines("a …\nz"), &["a 1", "b", "z"]));
    assert!(!matches(&lines("a"), &["b"]));
}

#[test]
fn the_console_blocks_run() {
    let Some(lab) = in_lab::Lab::own("the_console_blocks_run") else {
        return;
    };
    let text = std::fs::read_to_string(readme()).unwrap();
    let all = examples(&text);
    assert!(all.len() >= 4, "the quick start has gone from the README");
    for example in all {
        let words: Vec<&str> = example.command.split(' ').collect();
        assert_eq!(words[..2], ["cargo", "xtask"], "{}", example.command);
        let output = lab.xtask(&words[2..]);
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "`{}`:\n{err}", example.command);
        let got: Vec<&str> = out.lines().collect();
        assert!(
            matches(&example.output, &got),
            "`{}` printed:\n{out}",
            example.command
        );
    }
}

//! Colour only where it is wanted.
#![allow(
    clippy::disallowed_methods,
    reason = "tests make their own small worlds"
)]

use std::process::{Command, Stdio};

use crate::common::{Home, run, said, skip};

const ESCAPE: char = '\u{1b}';

#[test]
fn a_pipe_has_no_colour_unless_it_is_asked_for() {
    let home = Home::new();
    let status =
        |words: &[&str]| run(&mut home.xtask(&[words, &["cluster", "status"]].concat())).stdout;
    assert!(!status(&[]).contains(ESCAPE));
    assert!(!status(&["--color", "never"]).contains(ESCAPE));
    assert!(status(&["--color", "always"]).contains(ESCAPE));
    let error = run(&mut home.xtask(&["--color=always", "cluster", "logs"])).stderr;
    assert!(error.contains(ESCAPE), "{error}");
    let asked = run(home
        .xtask(&["--color=always", "cluster", "status"])
        .env("NO_COLOR", "1"))
    .stdout;
    assert!(asked.contains(ESCAPE), "the nearer wish counts");
    let json = run(&mut home.xtask(&["--color=always", "cluster", "status", "--json"])).stdout;
    assert!(!json.contains(ESCAPE), "data is data");
}

#[test]
fn help_and_usage_errors_are_coloured_as_wanted() {
    let text = |words: &[&str], env: &[(&str, &str)]| {
        let said = run(Home::new().xtask(words).envs(env.iter().copied()));
        said.stdout + &said.stderr
    };
    let force = ("CLICOLOR_FORCE", "1");
    for words in [&["help"][..], &["cluster", "up", "--help"], &["clutser"]] {
        assert!(!text(words, &[]).contains(ESCAPE), "{words:?}");
        assert!(text(words, &[force]).contains(ESCAPE), "{words:?}");
        assert!(!text(words, &[("CLICOLOR_FORCE", "0")]).contains(ESCAPE));
        assert!(!text(words, &[force, ("NO_COLOR", "1")]).contains(ESCAPE));
        let always = [&["--color=always"][..], words].concat();
        assert!(
            text(&always, &[("NO_COLOR", "1")]).contains(ESCAPE),
            "{words:?}"
        );
        let never = [&["--color", "never"][..], words].concat();
        assert!(!text(&never, &[force]).contains(ESCAPE), "{words:?}");
    }
    // What was typed has no style of its own.
    let said = text(&["--color=always", "\x1b[32mcluster"], &[]);
    assert!(!said.contains("\x1b[32m"), "{said:?}");
}

#[test]
fn a_terminal_has_colour_unless_it_is_not_wanted() {
    let home = Home::new();
    let on_a_terminal = |words: &str, env: &[(&str, &str)]| {
        let xtask = home.xtask(&[]);
        let line = format!(
            "{} {words} cluster status",
            xtask.get_program().to_str().unwrap()
        );
        let output = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .env_remove("NO_COLOR")
            .envs([
                ("HOME", home.root.as_str()),
                ("SHELL", "/bin/sh"),
                ("TERM", "xterm"),
            ])
            .envs(env.iter().copied())
            .current_dir(&home.root)
            .stdin(Stdio::null())
            .output();
        output
            .ok()
            .map(|output| said(&output).stdout.contains(ESCAPE))
    };
    let Some(plain) = on_a_terminal("", &[]) else {
        return skip("a_terminal_has_colour", "no `script` of util-linux");
    };
    assert!(plain);
    assert_eq!(on_a_terminal("", &[("NO_COLOR", "1")]), Some(false));
    assert_eq!(
        on_a_terminal("", &[("NO_COLOR", "")]),
        Some(true),
        "empty is not set"
    );
    assert_eq!(on_a_terminal("", &[("TERM", "dumb")]), Some(false));
    assert_eq!(on_a_terminal("", &[("CLICOLOR", "0")]), Some(false));
    assert_eq!(on_a_terminal("--color=never", &[]), Some(false));
}

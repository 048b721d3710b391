//! What cannot be written is an error, unless the reader has gone.
#![allow(clippy::disallowed_methods, reason = "tests open what is theirs")]

use std::process::Stdio;

use crate::common::{Home, run};

#[test]
fn a_full_disk_ends_with_4() {
    let home = Home::new();
    for words in [
        &["--help"][..],
        &["--version"],
        &["help", "cluster"],
        &["completions", "bash"],
        &["runs"],
        &["runs", "--json"],
        &["cluster", "list"],
        &["cluster", "status", "--json"],
        &["cluster", "up", "--help"],
        &["kmod", "lint", "--explain"],
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let mut command = home.xtask(words);
        let said = run(command.stdout(Stdio::from(full.unwrap())));
        assert_eq!(said.code, Some(4), "{words:?}: {}", said.stderr);
        let wanted = "error: cannot write to standard output\n  cause: No space left on device";
        assert!(said.stderr.contains(wanted), "{words:?}: {}", said.stderr);
    }
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let home = Home::new();
    for words in [&["--help"][..], &["completions", "zsh"], &["runs"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let said = run(home.xtask(words).stdout(writer));
        assert_eq!(
            (said.code, said.stderr.as_str()),
            (Some(0), ""),
            "{words:?}"
        );
    }
}

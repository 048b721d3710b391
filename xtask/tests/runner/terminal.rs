//! On a terminal: Ctrl-C as typed, and steps that want to ask something.
#![allow(
    clippy::disallowed_methods,
    reason = "tests start and signal their own processes"
)]

use std::io::Write;
use std::process::{Child, Command, Stdio};

use foundation::plan::Plan;

use crate::common::{Home, Said, is_alive, said, skip, within};
use crate::harness::{SOON, bash, json, pid_in, plan};

/// The harness with a terminal of its own, whose keyboard is our pipe. None
/// where util-linux' `script` is missing.
fn on_a_terminal(test: &str, home: &Home, plan: &Plan) -> Option<Child> {
    let file = home.path("plan.json");
    std::fs::write(&file, json(plan)).unwrap();
    let xtask = home.xtask(&[]);
    let line = format!(
        "{} internal run-plan <{file}",
        xtask.get_program().to_str().unwrap()
    );
    let child = Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env("HOME", &home.root)
        .env("SHELL", "/bin/sh")
        .current_dir(&home.root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    if child.is_err() {
        skip(test, "no `script` of util-linux");
    }
    child.ok()
}

fn end(mut child: Child) -> Said {
    assert!(
        within(SOON, || child.try_wait().unwrap().is_some()),
        "it hangs"
    );
    said(&child.wait_with_output().unwrap())
}

#[test]
fn a_ctrl_c_that_is_typed_reaches_us_and_through_us_the_step() {
    let home = Home::new();
    let step = bash(
        "trap 'echo asked >>~/asked; exit 1' INT; echo $$ >~/child; while :; do sleep 0.05; done",
    );
    let Some(mut child) = on_a_terminal("a_ctrl_c_that_is_typed", &home, &plan([step])) else {
        return;
    };
    let step = pid_in(&home, "child");
    let mut keyboard = child.stdin.take().unwrap();
    keyboard.write_all(b"\x03").unwrap();
    let said = end(child);
    assert_eq!(said.code, Some(130), "{}", said.stdout);
    assert_eq!(home.read("asked"), "asked\n", "asked once, by us alone");
    assert!(!is_alive(step));
}

#[test]
fn a_step_that_asks_on_the_terminal_fails_instead_of_waiting_for_ever() {
    let home = Home::new();
    let step = bash("read -r answer </dev/tty; echo \"got $answer\"");
    let Some(mut child) = on_a_terminal("a_step_that_asks", &home, &plan([step])) else {
        return;
    };
    let keyboard = child.stdin.take();
    let said = end(child);
    drop(keyboard);
    assert_eq!(said.code, Some(4), "{}", said.stdout);
    assert!(
        said.stdout.contains("asks something on the terminal"),
        "{}",
        said.stdout
    );
}

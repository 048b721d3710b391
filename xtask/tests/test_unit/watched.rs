//! A run that a user watches: at a terminal, and with an interrupt.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::common::go::Workspace;
use crate::common::{run, skip, within};
use crate::{SOON, Unit, package, state};
use serde_json::Value;

#[test]
fn an_interrupt_ends_the_tests_and_says_what_came_of_them() {
    let Some(workspace) = Workspace::new("an_interrupt_ends_the_tests") else {
        return;
    };
    let report = workspace.home.path("report.json");
    let began = workspace.home.path("began");
    let mut child = workspace
        .command(&["./ok", "./slow", "--report", report.as_str()])
        .env("SLOW", "54321s")
        .env("SLOW_BEGAN", &began)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert!(line.starts_with("ok   ok "), "{line}");
    let hangs = || {
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let here = workspace.home.root.as_str();
        let mut lines =
            entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok());
        lines.any(|line| line.starts_with(here) && line.contains("slow.test\0"))
    };
    assert!(within(SOON, || began.exists() && hangs()));
    run(Command::new("kill").args(["-INT", &child.id().to_string()]));
    assert!(within(SOON, || child.try_wait().unwrap().is_some()));
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(within(SOON, || !hangs()));
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("(interrupted)"), "{rest}");
    let report: Value = serde_json::from_str(&std::fs::read_to_string(report).unwrap()).unwrap();
    assert_eq!(state(package(&report, "slow"), "TestSleeps"), "aborted");
    assert_eq!(package(&report, "ok")["verdict"], "passed");
    assert_eq!(package(&report, "slow")["verdict"], "stopped");
}

/// The lines that a terminal shows in the end, however wide.
fn screen(bytes: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut rest = bytes;
    while let Some(character) = rest.chars().next() {
        if let Some(sequence) = rest.strip_prefix("\x1b[") {
            // What has come so far may end in the middle.
            let Some(end) = sequence.find(|c: char| c.is_ascii_alphabetic()) else {
                break;
            };
            match &sequence[end..=end] {
                "A" => {
                    let up: usize = sequence[..end].parse().unwrap();
                    assert!(up < lines.len(), "it goes beyond what it has drawn");
                    lines.truncate(lines.len() - up);
                    lines.last_mut().unwrap().clear();
                }
                "J" | "m" => {}
                other => panic!("{other} is not drawn with"),
            }
            rest = &sequence[end + 1..];
            continue;
        }
        match character {
            '\n' => lines.push(String::new()),
            '\r' => {}
            _ => lines.last_mut().unwrap().push(character),
        }
        rest = &rest[character.len_utf8()..];
    }
    lines
}

#[test]
fn a_terminal_shows_what_runs_and_keeps_what_came_of_it() {
    let Some(workspace) = Workspace::new("a_terminal_shows_what_runs") else {
        return;
    };
    // Nothing but the picture is as narrow as this.
    let (width, height) = (36, 5);
    let words = ["--sudo", "never", "--jobs", "2", "./ok", "./slow"];
    let unit = workspace.command(&words);
    let arguments: Vec<&str> = unit.get_args().map(|it| it.to_str().unwrap()).collect();
    let line = format!(
        "stty cols {width} rows {height}; exec {} {}",
        unit.get_program().to_str().unwrap(),
        arguments.join(" ")
    );
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    for (name, value) in unit.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    let child = script
        .env("SHELL", "/bin/sh")
        .env("TERM", "xterm")
        .env("SLOW", "54321s")
        .current_dir(&workspace.dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        skip("a_terminal_shows_what_runs", "no `script` of util-linux");
        return;
    };
    let mut keyboard = child.stdin.take().unwrap();
    let mut out = child.stdout.take().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let bytes = Arc::clone(&seen);
    let reader = std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = out.read(&mut buffer) {
            bytes.lock().unwrap().extend_from_slice(&buffer[..count]);
        }
    });
    let text = || String::from_utf8_lossy(&seen.lock().unwrap()).into_owned();
    let is_ok = |line: &String| line.starts_with("ok   ok  ");
    let shown = within(SOON, || {
        let text = text();
        text.contains("slow  TestSleeps") && screen(&text).iter().any(is_ok)
    });
    keyboard.write_all(b"\x03").unwrap();
    assert!(within(SOON, || child.try_wait().unwrap().is_some()));
    assert_eq!(child.wait().unwrap().code(), Some(130));
    reader.join().unwrap();
    let text = text();
    assert!(shown, "{text}");
    let lines = screen(&text);
    let drawn = text
        .lines()
        .map(|line| screen(line.rsplit("[J").next().unwrap()).concat());
    let wide = drawn.filter(|it| it.contains("slow  TestSleeps") || it.contains(" FAIL, 0 skip"));
    let widest = wide.map(|it| it.chars().count()).max().unwrap();
    assert!((20..=width).contains(&widest), "{widest}: {text}");
    let of_ok = lines.iter().filter(|line| is_ok(line));
    assert_eq!(of_ok.count(), 1, "{lines:#?}");
    let pictures = lines.iter().filter(|it| it.contains(" FAIL, 0 skip"));
    assert_eq!(pictures.count(), 0, "{lines:#?}");
    assert!(
        lines.iter().any(|it| it.contains("(interrupted)")),
        "{lines:#?}"
    );
}

#[test]
fn a_change_runs_the_tests_of_what_imports_it() {
    let lib = "package a\n\nfunc One() int { return 1 }\n";
    let test = "package b\n\nimport (\n\t\"testing\"\n\n\t\"github.com/siderolabs/talos/a\"\n)\n\n\
                func TestOne(t *testing.T) {\n\tif a.One() != 1 {\n\t\tt.Error(\"not one\")\n\t}\n}\n";
    let other = "package c\n\nimport \"testing\"\n\nfunc TestOther(t *testing.T) {}\n";
    let files = [
        ("a/a.go", lib),
        ("b/b_test.go", test),
        ("c/c_test.go", other),
    ];
    let Some(workspace) = Workspace::with("a_change_runs_the_tests", &files) else {
        return;
    };
    let mut child = workspace
        .command(&["./a", "./b", "./c", "--watch"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    // What it said up to the moment in which it waits.
    let mut round = || {
        let mut said = String::new();
        while !said.contains("waiting for changes") {
            assert_ne!(errors.read_line(&mut said).unwrap(), 0, "{said}");
        }
        said
    };
    let mut results = || {
        let mut said = String::new();
        while !said.contains(" passed, ") {
            assert_ne!(out.read_line(&mut said).unwrap(), 0, "{said}");
        }
        said
    };
    let write = |path: &str, text: &str| std::fs::write(workspace.dir.join(path), text).unwrap();
    round();
    assert!(results().contains("2 passed, 0 failed"));

    // Equal bytes, and what no package has, start nothing: the next round is of the edit.
    write("a/a.go", lib);
    write("notes.txt", "no package");
    let said = round();
    assert!(
        said.contains("changed: notes.txt; affected: no chosen package"),
        "{said}"
    );
    write("a/a.go", &lib.replace("return 1", "return 2"));
    let said = round();
    assert!(said.contains("changed: a/a.go; affected: a, b\n"), "{said}");
    let said = results();
    assert!(
        said.contains("b/b_test.go:11: not one") && !said.contains(" c "),
        "{said}"
    );

    write("a/a.go", &lib.replace("return 1", "return"));
    round();
    let said = results();
    assert!(
        said.contains("a/a.go:3:"),
        "the compiler's error is shown: {said}"
    );
    write("a/a.go", lib);
    round();
    assert!(results().contains("1 passed, 0 failed"));

    run(Command::new("kill").args(["-INT", &child.id().to_string()]));
    assert!(within(SOON, || child.try_wait().unwrap().is_some()));
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

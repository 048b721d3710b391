//! `tasks`: what editors offer to run, as data. All that `editor` writes comes
//! from this list.

use std::fmt::Write;

use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use serde_json::{Value, json};

use crate::app::App;
use foundation::ctx::own_executable::own_executable;
use foundation::failure::Result;
use foundation::typed;
use foundation::ui;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cargo xtask tasks\n  cargo xtask tasks --json    for a task runner that `editor` does not know"
)]
pub struct TasksArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What a task is for, as editors group them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Build,
    Test,
    Other,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Task {
    /// Its name in the editor: by it the task is known as this program's.
    pub(super) label: &'static str,
    pub(super) args: &'static [&'static str],
    pub(super) kind: Kind,
    /// Whether it prints places in Go files.
    pub(super) has_places: bool,
    /// Whether it runs until it is stopped.
    pub(super) is_background: bool,
    /// A letter for editors with key files.
    pub(super) key: char,
    pub(super) about: &'static str,
}

/// Stands for the line under the cursor, in one word.
pub(super) const PLACE: &str = "FILE:LINE";

pub(super) const TASKS: [Task; 7] = [
    Task {
        label: "xtask: test at cursor",
        args: &["test", "at", PLACE],
        kind: Kind::Test,
        has_places: true,
        is_background: false,
        key: 't',
        about: "Run the test at the cursor, of whatever kind it is",
    },
    Task {
        label: "xtask: cluster",
        args: &["cluster"],
        kind: Kind::Other,
        has_places: false,
        is_background: false,
        key: 'c',
        about: "Create the cluster, or show its state",
    },
    Task {
        label: "xtask: build initramfs",
        args: &["build", "initramfs"],
        kind: Kind::Build,
        has_places: true,
        is_background: false,
        key: 'i',
        about: "Build what a node boots",
    },
    Task {
        label: "xtask: cluster reboot",
        args: &["cluster", "reboot", "--all"],
        kind: Kind::Other,
        has_places: false,
        is_background: false,
        key: 'r',
        about: "Power-cycle all nodes: they boot what was built",
    },
    Task {
        label: "xtask: dev",
        args: &["dev"],
        kind: Kind::Other,
        has_places: true,
        is_background: true,
        key: 'd',
        about: "Build, reboot and check after each change",
    },
    Task {
        label: "xtask: cluster logs",
        args: &["cluster", "logs", "--follow"],
        kind: Kind::Other,
        has_places: false,
        is_background: true,
        key: 'l',
        about: "Follow the consoles of all nodes",
    },
    Task {
        label: "xtask: pprof heap of machined",
        args: &["pprof", "machined", "heap"],
        kind: Kind::Other,
        has_places: false,
        is_background: false,
        key: 'p',
        about: "Show what machined's memory is used for, on all nodes",
    },
];

/// A place in a Go file as go, `go vet`, tests and buildx print it, for the
/// regular expressions of JavaScript and Rust. Groups: file, line, column,
/// message. buildx puts the step and the time before it, and Talos is in `/src`
/// there.
pub(super) const PATTERN: &str =
    r"^(?:#\d+ [\d.]+ )?\s*(?:vet: )?(?:/src/|\./)?([\w./@+-]+\.go):(\d+)(?::(\d+))?: (.*)$";

/// How an editor starts this program.
#[derive(Debug, Clone)]
pub(super) struct Start {
    pub(super) words: Vec<String>,
    /// The working folder, unless it is the checkout.
    pub(super) cwd: Option<Utf8PathBuf>,
}

impl Start {
    /// As this run was started; the alias `cargo xtask` only works where its
    /// `.cargo/config.toml` is.
    pub(super) fn of(checkout: &Utf8Path) -> Result<Self> {
        let tool = shlex::split(typed::tool()).unwrap_or_default();
        let by_alias = tool == ["cargo", "xtask"];
        if by_alias && has_alias(checkout) {
            return Ok(Self {
                words: tool,
                cwd: None,
            });
        }
        if by_alias {
            let manifest = std::env::var("CARGO_MANIFEST_DIR");
            let manifest = manifest.unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
            let clone = Utf8Path::new(&manifest).parent();
            let words = ["cargo", "xtask", "-C", checkout.as_str()];
            return Ok(Self {
                words: words.map(str::to_owned).to_vec(),
                cwd: clone.map(Utf8Path::to_owned),
            });
        }
        let is_on_path = tool.len() == 1 && !tool[0].contains('/');
        let words = if is_on_path {
            tool
        } else {
            vec![own_executable()?.into_string()]
        };
        Ok(Self { words, cwd: None })
    }

    /// The whole command line, with `place` for the line under the cursor.
    pub(super) fn command(&self, task: &Task, place: &str) -> Vec<String> {
        let args = task.args.iter().map(|arg| match *arg {
            PLACE => place.to_owned(),
            arg => arg.to_owned(),
        });
        self.words.iter().cloned().chain(args).collect()
    }
}

fn has_alias(checkout: &Utf8Path) -> bool {
    let config = checkout.join(".cargo/config.toml");
    let text = foundation::files::read_text(&config, foundation::files::SMALL);
    text.ok()
        .flatten()
        .is_some_and(|text| text.contains("--package xtask"))
}

pub(crate) fn run(app: &App<'_>, args: &TasksArgs) -> Result<u8> {
    let checkout = &app.ctx.checkout()?.dir;
    let start = Start::of(checkout)?;
    if args.json {
        ui::print_report(to_json(checkout, &start));
        return Ok(0);
    }
    let mut text = String::new();
    for task in &TASKS {
        let words = start.command(task, PLACE);
        let line = shlex::try_join(words.iter().map(String::as_str)).unwrap_or_default();
        let _ = writeln!(
            text,
            "{:<30} {}\n{:<30}   {line}",
            task.label, task.about, ""
        );
    }
    ui::print(&text);
    Ok(0)
}

fn to_json(checkout: &Utf8Path, start: &Start) -> Value {
    let tasks = TASKS.map(|task| {
        let kind = match task.kind {
            Kind::Build => "build",
            Kind::Test => "test",
            Kind::Other => "other",
        };
        json!({
            "label": task.label, "about": task.about, "kind": kind, "background": task.is_background,
            "command": start.command(&task, PLACE), "cwd": start.cwd.as_deref().unwrap_or(checkout),
            "problems": task.has_places,
        })
    });
    json!({
        "checkout": checkout,
        "place": PLACE,
        "tasks": tasks,
        "problem_pattern": {"regexp": PATTERN, "file": 1, "line": 2, "column": 3, "message": 4, "files_below": checkout},
    })
}

//! VS Code's files in `.vscode`. overseer.nvim reads the same tasks.

use jsonc_parser::cst::CstInputValue;
use jsonc_parser::json;

use super::jsonc::{Entries, List, Setting};
use super::{Content, File, Setup};
use crate::commands::tasks::{Kind, PATTERN, TASKS, Task};

/// The first and the last line of a round of `dev`.
const ROUND_BEGINS: &str = r"^round \d+: ";
const ROUND_ENDS: &str = r"^round \d+ (ok|failed): ";

pub(super) fn files(setup: &Setup) -> Vec<File> {
    let mut files = vec![
        File::new(
            ".vscode/tasks.json",
            Content::Entries(Entries {
                list: List::Key {
                    key: "tasks",
                    version: "2.0.0",
                },
                label: "label",
                wanted: TASKS.iter().map(|it| task(setup, it)).collect(),
            }),
        ),
        File::new(
            ".vscode/launch.json",
            Content::Entries(Entries {
                list: List::Key {
                    key: "configurations",
                    version: "0.2.0",
                },
                label: "name",
                wanted: launches(setup),
            }),
        ),
    ];
    if let Some(tags) = &setup.tags {
        let setting = Setting {
            path: &["go.buildTags"],
            value: tags.join(",").into(),
        };
        files.push(File::new(
            ".vscode/settings.json",
            Content::Setting(setting),
        ));
    }
    files
}

fn task(setup: &Setup, task: &Task) -> CstInputValue {
    // An editor's folder need not be the tool's.
    let place = match setup.start.cwd {
        None => "${relativeFile}:${lineNumber}",
        Some(_) => "${file}:${lineNumber}",
    };
    let mut words = setup.start.command(task, place);
    let command = words.remove(0);
    let cwd = match &setup.start.cwd {
        None => "${workspaceFolder}".to_owned(),
        Some(cwd) => cwd.to_string(),
    };
    let mut fields = vec![
        ("label".to_owned(), task.label.into()),
        ("detail".to_owned(), task.about.into()),
        ("type".to_owned(), "process".into()),
        ("command".to_owned(), command.into()),
        ("args".to_owned(), words.into()),
        ("options".to_owned(), json!({ "cwd": cwd })),
    ];
    let group = match task.kind {
        Kind::Build => Some("build"),
        Kind::Test => Some("test"),
        Kind::Other => None,
    };
    fields.extend(group.map(|group| ("group".to_owned(), group.into())));
    if task.is_background {
        fields.push(("isBackground".to_owned(), true.into()));
    }
    let matcher = match (task.has_places, task.is_background) {
        (false, _) => json!([]),
        (true, false) => CstInputValue::Array(vec![CstInputValue::Object(matcher())]),
        // Problems are those of the last round.
        (true, true) => {
            let mut fields = matcher();
            let background = json!({
                "activeOnStart": false,
                "beginsPattern": ROUND_BEGINS,
                "endsPattern": ROUND_ENDS,
            });
            fields.push(("background".to_owned(), background));
            CstInputValue::Array(vec![CstInputValue::Object(fields)])
        }
    };
    fields.push(("problemMatcher".to_owned(), matcher));
    CstInputValue::Object(fields)
}

/// Finds places in Go files.
fn matcher() -> Vec<(String, CstInputValue)> {
    let pattern = json!({ "regexp": PATTERN, "file": 1, "line": 2, "column": 3, "message": 4 });
    vec![
        ("owner".to_owned(), "xtask".into()),
        ("source".to_owned(), "xtask".into()),
        (
            "fileLocation".to_owned(),
            json!(["relative", "${workspaceFolder}"]),
        ),
        ("pattern".to_owned(), pattern),
    ]
}

/// The Go extension's `asRoot` is for debugging only.
fn launches(setup: &Setup) -> Vec<CstInputValue> {
    let launch = |name: &str, as_root: bool| {
        let mut fields: Vec<(String, CstInputValue)> = vec![
            ("name".to_owned(), name.into()),
            ("type".to_owned(), "go".into()),
            ("request".to_owned(), "launch".into()),
            ("mode".to_owned(), "test".into()),
            ("program".to_owned(), "${fileDirname}".into()),
        ];
        if let Some(tags) = &setup.tags {
            let flags = format!("-tags={}", tags.join(","));
            fields.push(("buildFlags".to_owned(), flags.into()));
        }
        if as_root {
            fields.push(("asRoot".to_owned(), true.into()));
            // sudo asks there.
            fields.push(("console".to_owned(), "integratedTerminal".into()));
        }
        CstInputValue::Object(fields)
    };
    vec![
        launch("xtask: debug the tests of this folder", false),
        launch("xtask: debug the tests of this folder as root", true),
    ]
}

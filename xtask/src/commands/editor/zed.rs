//! Zed's files in `.zed`. The test's task takes the place of the gutter's run
//! button.

use jsonc_parser::cst::CstInputValue;
use jsonc_parser::json;

use super::jsonc::{Entries, List, Setting};
use super::{Content, File, Setup};
use crate::commands::tasks::{Kind, TASKS, Task};

pub(super) fn files(setup: &Setup) -> Vec<File> {
    let entries = |entries| {
        Content::Entries(Entries {
            list: List::Root,
            label: "label",
            wanted: entries,
        })
    };
    let tasks = TASKS.iter().map(|it| task(setup, it)).collect();
    let mut files = vec![
        File::new(".zed/tasks.json", entries(tasks)),
        File::new(".zed/debug.json", entries(vec![debug(setup)])),
    ];
    if let Some(tags) = &setup.tags {
        let setting = Setting {
            path: &["lsp", "gopls", "initialization_options", "buildFlags"],
            value: vec![format!("-tags={}", tags.join(","))].into(),
        };
        files.push(File::new(".zed/settings.json", Content::Setting(setting)));
    }
    files
}

fn task(setup: &Setup, task: &Task) -> CstInputValue {
    let (place, cwd) = match &setup.start.cwd {
        None => (
            "${ZED_RELATIVE_FILE}:${ZED_ROW}",
            "$ZED_WORKTREE_ROOT".to_owned(),
        ),
        Some(cwd) => ("${ZED_FILE}:${ZED_ROW}", cwd.to_string()),
    };
    let mut words = setup.start.command(task, place);
    let command = words.remove(0);
    let mut fields = vec![
        ("label".to_owned(), task.label.into()),
        ("command".to_owned(), command.into()),
        ("args".to_owned(), words.into()),
        ("cwd".to_owned(), cwd.into()),
    ];
    if task.kind == Kind::Test {
        let tags = json!(["go-test", "go-subtest", "go-testify-suite"]);
        fields.push(("tags".to_owned(), tags));
    }
    CstInputValue::Object(fields)
}

fn debug(setup: &Setup) -> CstInputValue {
    let mut fields: Vec<(String, CstInputValue)> = vec![
        (
            "label".to_owned(),
            "xtask: debug the tests of this folder".into(),
        ),
        ("adapter".to_owned(), "Delve".into()),
        ("request".to_owned(), "launch".into()),
        ("mode".to_owned(), "test".into()),
        ("program".to_owned(), "$ZED_DIRNAME".into()),
    ];
    if let Some(tags) = &setup.tags {
        let flags = format!("-tags={}", tags.join(","));
        fields.push(("buildFlags".to_owned(), flags.into()));
    }
    CstInputValue::Object(fields)
}

//! Helix' files in `.helix`: keys below `space x`, and gopls.

use foundation::shell::quote;

use super::{Content, File, Setup};
use crate::commands::tasks::{TASKS, Task};

pub(super) fn files(setup: &Setup) -> Vec<File> {
    let mut keys = vec!["[keys.normal.space.x]".to_owned()];
    keys.extend(TASKS.iter().map(|task| {
        let line = toml_text(&line(setup, task));
        format!("{} = {line} # {}", task.key, task.label)
    }));
    let mut files = vec![File::new(".helix/config.toml", Content::Block(keys))];
    if let Some(tags) = &setup.tags {
        let flags = toml_text(&format!("-tags={}", tags.join(",")));
        let lines = vec![
            "[language-server.gopls.config]".to_owned(),
            format!("\"build.buildFlags\" = [{flags}]"),
        ];
        files.push(File::new(".helix/languages.toml", Content::Block(lines)));
    }
    files
}

/// A command of Helix, which a shell runs in Helix' working folder.
fn line(setup: &Setup, task: &Task) -> String {
    const CURSOR: &str = "CURSOR";
    let words = setup.start.command(task, CURSOR);
    let words: Vec<String> = words.iter().map(|word| quote(word).into_owned()).collect();
    let words = words.join(" ");
    match &setup.start.cwd {
        None => {
            let words = words.replace(CURSOR, "\"%{buffer_name}\":%{cursor_line}");
            format!(":sh {words}")
        }
        Some(cwd) => {
            let words = words.replace(CURSOR, "\"$file\":%{cursor_line}");
            let cwd = quote(cwd.as_str());
            format!(":sh file=\"$PWD/%{{buffer_name}}\"; cd {cwd} && {words}")
        }
    }
}

/// A string of JSON is one of TOML.
fn toml_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

//! Collects what is written into a checkout. A file that has the text already is
//! left alone; one with another text is only replaced when that was asked for.

use camino::{Utf8Path, Utf8PathBuf};

use foundation::failure::{Failure, Result};
use foundation::files;
use foundation::hash::Sha256;
use foundation::plan::{Action, Effect, Plan, Step};

/// Lines of a difference that are shown of each file.
const SHOWN: usize = 12;

#[derive(Debug, Default)]
pub(in super::super) struct Writes {
    /// Looks before the first write.
    unchanged: Vec<Step>,
    steps: Vec<Step>,
    /// Files with another text, and how it differs.
    conflicts: Vec<(Utf8PathBuf, Vec<String>)>,
    replaces: bool,
}

impl Writes {
    pub(in super::super) fn new(replaces: bool) -> Self {
        Self {
            replaces,
            ..Self::default()
        }
    }

    pub(in super::super) fn replaces(&self) -> bool {
        self.replaces
    }

    /// A whole file. `existing` is its text when the step runs.
    pub(in super::super) fn file(
        &mut self,
        path: Utf8PathBuf,
        text: String,
        existing: Option<&str>,
    ) {
        match existing {
            Some(existing) if existing == text => return,
            Some(existing) if !self.replaces => {
                self.conflicts.push((path, difference(existing, &text)));
                return;
            }
            _ => {}
        }
        let name = path.file_name().unwrap_or_default();
        let step = match existing {
            Some(_) => Step::new(format!("Replace {name}"), write(path, text)),
            None => Step::new(format!("Create {name}"), write(path, text)).effect(Effect::Creates),
        };
        self.steps.push(step);
    }

    /// Changed lines of an existing file, which must still have the text that the
    /// change was made for.
    pub(in super::super) fn edit(&mut self, path: Utf8PathBuf, text: String, existing: &str) {
        if existing == text {
            return;
        }
        let changes = difference(existing, &text);
        let changes: Vec<&str> = changes.iter().map(|line| line.trim_end()).collect();
        let mut hash = Sha256::default();
        hash.update(existing.as_bytes());
        let name = path.file_name().unwrap_or_default();
        let unchanged = Action::RequireFile {
            path: path.clone(),
            sha256: hash.finish(),
        };
        let why = format!("Edit {name} only as it was read");
        self.unchanged
            .push(Step::new(why, unchanged).effect(Effect::Reads));
        let why = format!("Edit {name}:\n{}", changes.join("\n"));
        self.steps.push(Step::new(why, write(path, text)));
    }

    /// # Errors
    /// The files that exist with another text.
    pub(in super::super) fn into_plan(self, plan: &mut Plan, build: &str) -> Result<()> {
        let Some((path, _)) = self.conflicts.first() else {
            plan.steps.extend(self.unchanged);
            plan.steps.extend(self.steps);
            return Ok(());
        };
        let what = match self.conflicts.len() {
            1 => format!("`{path}` exists and differs"),
            n => format!("`{path}` and {} more files exist and differ", n - 1),
        };
        let lines = self.conflicts.iter().flat_map(|(path, lines)| {
            std::iter::once(path.to_string()).chain(lines.iter().cloned())
        });
        Err(Failure::usage(what).excerpt(lines).hint(format!(
            "add `--replace` to overwrite them, or build what is there: {build}"
        )))
    }
}

fn write(path: Utf8PathBuf, contents: String) -> Action {
    Action::WriteFile {
        path,
        contents,
        mode: 0o644,
    }
}

/// The text of a file in the work tree.
///
/// # Errors
/// If it exists and cannot be read.
pub(in super::super) fn existing(path: &Utf8Path) -> Result<Option<String>> {
    files::text(path, files::MEDIUM)
}

/// The lines between the common beginning and the common end.
fn difference(old: &str, new: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - start;
    let pairs = old.iter().rev().zip(new.iter().rev());
    let end = pairs.take(rest).take_while(|(a, b)| a == b).count();
    let removed = old[start..old.len() - end]
        .iter()
        .map(|line| format!("- {line}"));
    let added = new[start..new.len() - end]
        .iter()
        .map(|line| format!("+ {line}"));
    let mut lines: Vec<String> = removed.chain(added).collect();
    if lines.len() > SHOWN {
        let more = lines.len() - SHOWN;
        lines.truncate(SHOWN);
        lines.push(format!("… {more} more lines"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_the_lines_that_changed() {
        assert_eq!(difference("a\nb\nc\n", "a\nx\nb\nc\n"), ["+ x"]);
        assert_eq!(difference("a\nb\nc\n", "a\nB\nc\n"), ["- b", "+ B"]);
        assert_eq!(difference("a\na\n", "a\n"), ["- a"]);
        assert_eq!(difference("a", "a").len(), 0);
    }

    #[test]
    fn the_same_text_is_no_step_and_another_is_refused() {
        let mut writes = Writes::new(false);
        writes.file("/x/same".into(), "a\n".into(), Some("a\n"));
        let mut plan = Plan::new("t");
        writes.into_plan(&mut plan, "b").unwrap();
        assert!(plan.steps.is_empty());
        let mut writes = Writes::new(false);
        writes.file("/x/other".into(), "a\n".into(), Some("b\n"));
        let failure = writes.into_plan(&mut plan, "b").unwrap_err();
        assert!(failure.hint.unwrap().contains("--replace"));
        assert_eq!(failure.excerpt, ["/x/other", "- b", "+ a"]);
        let mut writes = Writes::new(true);
        writes.file("/x/other".into(), "a\n".into(), Some("b\n"));
        writes.into_plan(&mut plan, "b").unwrap();
        assert_eq!(plan.steps.len(), 1);
    }
}

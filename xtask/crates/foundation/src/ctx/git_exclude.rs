//! A repository's private ignore rules: `info/exclude` in the folder that all
//! its worktrees share. What this program puts into a checkout is hidden there
//! in blocks with a begin and an end line; the rest is the user's.

use camino::{Utf8Path, Utf8PathBuf};

use super::marked_block::{lines_of, with_block};
use super::probe::Probe;
use crate::failure::{Failure, Result};
use crate::files;
use crate::plan::{Action, Effect, Step};
use crate::program;

/// Returns a step that makes `lines` the block `name`, or removes it if there
/// are none; `None` if nothing has to change, or `checkout` is not in git.
///
/// # Errors
/// When the file, or where it is, cannot be read.
pub fn step(checkout: &Utf8Path, name: &str, lines: &[String]) -> Result<Option<Step>> {
    let Some(path) = file(checkout)? else {
        return Ok(None);
    };
    let before = files::text(&path, files::SMALL)?.unwrap_or_default();
    let contents = with_block(&before, name, lines);
    if contents == before {
        return Ok(None);
    }
    let why = if lines.is_empty() {
        "let git see such files again"
    } else {
        "hide the files from git, in this clone only"
    };
    let action = Action::WriteFile {
        path,
        contents,
        mode: 0o644,
    };
    Ok(Some(Step::new(why, action).effect(Effect::Changes)))
}

/// Returns the other worktrees of the checkout's repository: they have the same
/// rules.
///
/// # Errors
/// When git does not list them.
pub fn other_worktrees(checkout: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    if !is_git(checkout) {
        return Ok(Vec::new());
    }
    let listed = Probe::new(["git", "worktree", "list", "--porcelain"])
        .current_dir(checkout)
        .stdout();
    let listed = listed.map_err(|error| {
        Failure::host(format!("cannot list the worktrees of `{checkout}`"))
            .cause(error)
            .hint(program!("git -C {} worktree list", checkout))
    })?;
    let paths = listed
        .lines()
        .filter_map(|line| line.strip_prefix("worktree "));
    let paths = paths.map(Utf8PathBuf::from);
    Ok(paths.filter(|path| path != checkout).collect())
}

fn is_git(checkout: &Utf8Path) -> bool {
    let mut above = checkout.ancestors();
    above.any(|dir| std::fs::symlink_metadata(dir.join(".git")).is_ok())
}

/// Returns the lines of the block `name`; empty without one.
///
/// # Errors
/// Those of [`step`].
pub fn lines(checkout: &Utf8Path, name: &str) -> Result<Vec<String>> {
    let Some(path) = file(checkout)? else {
        return Ok(Vec::new());
    };
    let text = files::text(&path, files::SMALL)?.unwrap_or_default();
    Ok(lines_of(&text, name))
}

/// Returns the file's path, links resolved; `None` outside git.
fn file(checkout: &Utf8Path) -> Result<Option<Utf8PathBuf>> {
    if !is_git(checkout) {
        return Ok(None);
    }
    let folder = Probe::new(["git", "rev-parse", "--git-common-dir"])
        .current_dir(checkout)
        .stdout();
    let folder = folder.map_err(|error| {
        Failure::host(format!("cannot find the repository of `{checkout}`"))
            .cause(error)
            .hint(program!("git -C {} status", checkout))
    })?;
    let path = checkout
        .join(folder.trim_end_matches('\n'))
        .join("info/exclude");
    Ok(Some(path.canonicalize_utf8().unwrap_or(path)))
}

//! A repository's private ignore rules: `info/exclude` in the folder that all
//! its worktrees share. What this program puts into a checkout is hidden there
//! in blocks with a begin and an end line; the rest is the user's.

use std::fmt::Write;

use camino::{Utf8Path, Utf8PathBuf};

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

/// Whether the checkout's rules have the block `name`.
///
/// # Errors
/// Those of [`step`].
pub fn has(checkout: &Utf8Path, name: &str) -> Result<bool> {
    let Some(path) = file(checkout)? else {
        return Ok(false);
    };
    let text = files::text(&path, files::SMALL)?.unwrap_or_default();
    Ok(text.lines().any(|line| line == begin(name)))
}

/// Returns the file's path, links resolved; `None` outside git.
fn file(checkout: &Utf8Path) -> Result<Option<Utf8PathBuf>> {
    let is_git = checkout
        .ancestors()
        .any(|dir| std::fs::symlink_metadata(dir.join(".git")).is_ok());
    if !is_git {
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

fn begin(name: &str) -> String {
    format!("# {name}: begin, written by xtask")
}

fn end(name: &str) -> String {
    format!("# {name}: end")
}

/// Returns `text` with `lines` as the block `name`, at its place if there is
/// one. A block whose end was deleted ends before the next empty line.
fn with_block(text: &str, name: &str, lines: &[String]) -> String {
    let (begin, end) = (begin(name), end(name));
    let mut block = String::new();
    if !lines.is_empty() {
        let _ = writeln!(block, "{begin}\n{}\n{end}", lines.join("\n"));
    }
    let all: Vec<&str> = text.split_inclusive('\n').collect();
    let is = |line: &str, wanted: &str| line.trim_end_matches(['\n', '\r']) == wanted;
    let Some(first) = all.iter().position(|line| is(line, &begin)) else {
        let gap = if text.is_empty() || text.ends_with('\n') || block.is_empty() {
            ""
        } else {
            "\n"
        };
        return format!("{text}{gap}{block}");
    };
    let rest = &all[first..];
    let closed = rest.iter().position(|line| is(line, &end)).map(|at| at + 1);
    let open = rest.iter().position(|line| line.trim().is_empty());
    let length = closed.or(open).unwrap_or(rest.len());
    format!(
        "{}{block}{}",
        all[..first].concat(),
        rest[length..].concat()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_block_is_added_replaced_and_removed_and_the_rest_stays() {
        for before in ["", "mine\n", "# a comment\n*.swp\n", "without an end"] {
            let one = with_block(before, "embed", &lines("/a /b"));
            assert_eq!(with_block(&one, "embed", &lines("/a /b")), one);
            let two = with_block(&one, "editor", &lines("/c"));
            let changed = with_block(&two, "embed", &lines("/d"));
            assert!(!changed.contains("/a") && changed.contains("/c") && changed.contains("/d"));
            let gone = with_block(&with_block(&changed, "embed", &[]), "editor", &[]);
            assert_eq!(gone.trim_end_matches('\n'), before.trim_end_matches('\n'));
        }
    }

    #[test]
    fn a_block_without_its_end_takes_nothing_of_the_users() {
        let text = "# embed: begin, written by xtask\n/a\n\nmine\n";
        assert_eq!(with_block(text, "embed", &[]), "\nmine\n");
        let crlf = "mine\r\n# embed: begin, written by xtask\r\n/a\r\n# embed: end\r\nmore\r\n";
        assert_eq!(with_block(crlf, "embed", &[]), "mine\r\nmore\r\n");
    }
}

//! Which files of a checkout `embed` has made, and which changes a replacement
//! would lose.

use camino::Utf8Path;
use serde::Deserialize;

use super::{FILES, FOLDER, LIMIT};
use foundation::ctx::probe::{Probe, ProbeError};
use foundation::failure::{Failure, Result};
use foundation::files;

#[derive(Deserialize)]
struct Manifest {
    package: Option<CargoPackage>,
    workspace: Option<Workspace>,
}

#[derive(Deserialize)]
struct CargoPackage {
    name: String,
}

#[derive(Deserialize)]
struct Workspace {
    #[serde(default)]
    members: Vec<String>,
}

fn manifest(path: &Utf8Path) -> Option<Manifest> {
    toml::from_str(&files::read_text(path, files::SMALL).ok()??).ok()
}

/// Many projects have a package `xtask`; this one also has an engine `talos`.
pub(super) fn is_our_folder(dir: &Utf8Path) -> bool {
    let is_named = |path: &str, name: &str| {
        manifest(&dir.join(path))
            .and_then(|manifest| manifest.package)
            .is_some_and(|package| package.name == name)
    };
    is_named("Cargo.toml", FOLDER) && is_named("crates/talos/Cargo.toml", "talos")
}

fn is_our_manifest(path: &Utf8Path) -> bool {
    let workspace = manifest(path).and_then(|manifest| manifest.workspace);
    workspace.is_some_and(|workspace| {
        let members: Vec<&str> = workspace.members.iter().map(String::as_str).collect();
        members == ["xtask", "xtask/crates/*"]
    })
}

pub(super) fn is_ours(dir: &Utf8Path) -> bool {
    is_our_folder(&dir.join(FOLDER)) && is_our_manifest(&dir.join("Cargo.toml"))
}

/// Fails with everything that exists and was not made by `embed`.
pub(super) fn check_in_the_way(to: &Utf8Path) -> Result<()> {
    // An unreadable file counts as not made by `embed`.
    let text = |name: &str| {
        let text = files::read_text(&to.join(name), files::MEDIUM);
        text.ok().flatten().unwrap_or_default()
    };
    let ours = [
        (FOLDER, is_our_folder(&to.join(FOLDER))),
        ("Cargo.toml", is_our_manifest(&to.join("Cargo.toml"))),
        (
            "Cargo.lock",
            text("Cargo.lock").contains("name = \"xtask\""),
        ),
        (
            ".cargo/config.toml",
            text(".cargo/config.toml").contains("--package xtask"),
        ),
        // Cargo would read it instead.
        (".cargo/config", false),
    ];
    let mut failure = Failure::host(format!("`{to}` has files of its own in the way"));
    failure.causes = ours
        .into_iter()
        .filter(|(name, ours)| !ours && std::fs::symlink_metadata(to.join(name)).is_ok())
        .map(|(name, _)| format!("`{name}` is not of this program's making"))
        .collect();
    if failure.causes.is_empty() {
        return Ok(());
    }
    Err(failure.hint("move them away, or replace them: --force"))
}

/// A link in place of a folder leads out of the checkout, where nothing may be
/// written; `--force` does not change that.
pub(super) fn check_links(to: &Utf8Path) -> Result<()> {
    let is_link = |name: &&str| to.join(name).is_symlink();
    let links: Vec<&str> = [FOLDER, ".cargo"].into_iter().filter(is_link).collect();
    if links.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::host(format!("`{to}` has symbolic links in the way"));
    failure.causes = links
        .iter()
        .map(|name| format!("`{name}` leads out of the checkout"))
        .collect();
    let words = links.iter().map(|name| to.join(name).into_string());
    let words: Vec<String> = std::iter::once("rm".to_owned()).chain(words).collect();
    let line = shlex::try_join(words.iter().map(String::as_str)).unwrap_or_default();
    Err(failure.hint(line))
}

/// Refuses an embedded copy with changes that are not committed: they would be
/// lost.
pub(super) fn check_changes(to: &Utf8Path) -> Result<()> {
    if !is_our_folder(&to.join(FOLDER)) {
        return Ok(());
    }
    let mut argv = vec!["git", "status", "--porcelain", "--", FOLDER];
    argv.extend(FILES);
    // Without an answer, changes cannot be excluded.
    let status = Probe::new(argv)
        .current_dir(to)
        .timeout(LIMIT)
        .exact_stdout();
    let status = status.map_err(|error| unknown_changes(to, error))?;
    let lost: Vec<&str> = status.lines().filter(|line| would_be_lost(line)).collect();
    if lost.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::host(format!(
        "`{to}` has changes that are not committed, in what would be replaced"
    ));
    failure.causes = lost.into_iter().map(str::to_owned).collect();
    Err(failure.hint("commit them, or lose them: --force"))
}

fn unknown_changes(to: &Utf8Path, why: ProbeError) -> Failure {
    Failure::host(format!(
        "cannot tell whether the embedded copy in `{to}` was changed"
    ))
    .cause(why)
    .hint("replace it and lose any changes: --force")
}

/// Whether a line of `git status --porcelain` is lost: `XY PATH`, with Y for
/// the working tree against the index.
fn would_be_lost(line: &str) -> bool {
    let (Some(states), Some(path)) = (line.get(..2), line.get(3..)) else {
        return false;
    };
    match states {
        // The whole folder was embedded and never added: it was recognised
        // before.
        "??" => path.starts_with("xtask/") && path != "xtask/",
        _ => !states.ends_with(' '),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_has_nowhere_would_be_lost() {
        for lost in [
            " M xtask/src/lib.rs",
            "MM xtask/src/lib.rs",
            "AM Cargo.toml",
            " D xtask/src/lib.rs",
            "?? xtask/src/mine.rs",
            "?? xtask/mine/",
        ] {
            assert!(would_be_lost(lost), "{lost}");
        }
        for kept in [
            "?? xtask/",
            "?? Cargo.toml",
            "A  xtask/src/lib.rs",
            "M  Cargo.toml",
            "",
        ] {
            assert!(!would_be_lost(kept), "{kept}");
        }
    }
}

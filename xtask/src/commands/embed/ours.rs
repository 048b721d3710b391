//! How a copy of this program is recognised, of whatever version.

use camino::Utf8Path;
use serde::Deserialize;

use super::{FILES, FOLDER};
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

/// Whether one of [`FILES`] was written by `embed`, of whatever version. An
/// unreadable file was not.
pub(super) fn is_our_file(to: &Utf8Path, name: &str) -> bool {
    let path = to.join(name);
    let has = |part: &str| {
        let text = files::read_text(&path, files::MEDIUM);
        text.ok().flatten().is_some_and(|text| text.contains(part))
    };
    match name {
        "Cargo.toml" => is_our_manifest(&path),
        "Cargo.lock" => has("name = \"xtask\""),
        _ => has("--package xtask"),
    }
}

/// Fails with everything that exists and was not made by `embed`.
pub(super) fn check_in_the_way(to: &Utf8Path) -> Result<()> {
    let folder = (FOLDER, is_our_folder(&to.join(FOLDER)));
    let files = FILES.map(|name| (name, is_our_file(to, name)));
    // Cargo would read it instead.
    let ours = [folder, (".cargo/config", false)].into_iter().chain(files);
    let mut failure = Failure::host(format!("`{to}` has files of its own in the way"));
    failure.causes = ours
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

//! The tests of the checkout, from the cache if nothing has changed.

use camino::{Utf8Path, Utf8PathBuf};
use gotest::{Options, Target, Test, Unread, Workspace};

use super::args::Selection;
use super::shards;
use crate::app::App;
use crate::typo::most_alike;
use foundation::ctx::go_flags;
use foundation::ctx::sources::Sources;
use foundation::failure::{Failure, Result};
use foundation::record::discovered;

/// Every test of the chosen packages.
///
/// # Errors
/// No checkout, or a package pattern that matches nothing.
pub(in crate::commands) fn tests(app: &App<'_>, chosen: &Selection) -> Result<Vec<Test>> {
    let checkout = app.ctx.checkout()?;
    in_checkout(app, &checkout.dir, chosen)
}

/// Like [`tests`], for a checkout that is already known.
///
/// # Errors
/// A package pattern that matches nothing.
pub(in crate::commands) fn in_checkout(
    app: &App<'_>,
    dir: &Utf8Path,
    chosen: &Selection,
) -> Result<Vec<Test>> {
    let source = Sources {
        root: dir.to_owned(),
    };
    let workspace = Workspace::open(&source).map_err(|it| unread(dir, &it))?;
    let here = app.ctx.cwd.strip_prefix(dir).map_or("", Utf8Path::as_str);
    let folders = workspace
        .matching(&chosen.packages, here)
        .map_err(|pattern| no_package(&workspace, &pattern))?;
    let target = Target {
        arch: app.ctx.host.arch.to_owned(),
        tags: if chosen.tags.is_empty() {
            go_flags::tags()
        } else {
            chosen.tags.clone()
        },
        go_minor: workspace.go_minor.unwrap_or(Target::default().go_minor),
        ..Target::default()
    };
    let file = discovered::file_of(&app.ctx.dirs.cache, dir, &format!("{target:?}"));
    let key = discovered::key_of(&workspace);
    let tests = discovered::read(&file, &key).unwrap_or_else(|| {
        let all: Vec<usize> = (0..workspace.folders.len()).collect();
        let options = Options { target, deep: true };
        let found = gotest::discover(&source, &workspace, &all, &options);
        if found.unread.is_empty() {
            return discovered::write(&file, &key, found.tests);
        }
        // The file may be readable the next time, with the same key.
        note(app, &found.unread);
        found.tests
    });
    let tests = if chosen.packages.is_empty() {
        tests
    } else {
        let is_chosen = |test: &Test| {
            let folder = workspace.folder(&test.package);
            folder.is_some_and(|folder| folders.binary_search(&folder).is_ok())
        };
        tests.into_iter().filter(is_chosen).collect()
    };
    match chosen.shard {
        Some(shard) => shards::of_shard(app, tests, shard, chosen.times.as_deref()),
        None => Ok(tests),
    }
}

/// A package of the checkout.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) import_path: String,
    pub(super) dir: Utf8PathBuf,
    pub(super) has_test_files: bool,
    pub(super) is_chosen: bool,
}

/// Returns the packages of the checkout, with or without tests.
///
/// # Errors
/// A package pattern that matches nothing.
pub(super) fn folders(app: &App<'_>, dir: &Utf8Path, chosen: &Selection) -> Result<Vec<Folder>> {
    let source = Sources {
        root: dir.to_owned(),
    };
    let workspace = Workspace::open(&source).map_err(|it| unread(dir, &it))?;
    let here = app.ctx.cwd.strip_prefix(dir).map_or("", Utf8Path::as_str);
    let indices = workspace
        .matching(&chosen.packages, here)
        .map_err(|pattern| no_package(&workspace, &pattern))?;
    let mut is_chosen = vec![false; workspace.folders.len()];
    for index in indices {
        is_chosen[index] = true;
    }
    let all = workspace.folders.into_iter().zip(is_chosen);
    Ok(all
        .map(|(folder, is_chosen)| Folder {
            has_test_files: folder
                .files
                .iter()
                .any(|(name, _)| name.ends_with("_test.go")),
            dir: dir.join(&folder.dir),
            import_path: folder.import_path,
            is_chosen,
        })
        .collect())
}

/// The failure for a file that decides which packages the checkout has.
pub(super) fn unread(checkout: &Utf8Path, unread: &Unread) -> Failure {
    let path = checkout.join(&unread.path);
    Failure::host(format!("cannot read `{path}`")).cause(&unread.why)
}

/// Notes each of them, or the first ones of many.
fn note(app: &App<'_>, all: &[Unread]) {
    const MOST: usize = 20;
    for unread in all.iter().take(MOST) {
        app.ui.note(&format!("cannot read all of {unread}"));
    }
    if let Some(more) = all.len().checked_sub(MOST).filter(|more| *more > 0) {
        app.ui
            .note(&format!("cannot read all of {more} more files"));
    }
}

fn no_package(workspace: &Workspace, pattern: &str) -> Failure {
    let folder = pattern.trim_start_matches("./").trim_end_matches("/...");
    let folders = workspace.folders.iter().map(|folder| folder.dir.as_str());
    let failure = Failure::usage(format!("no package of the checkout matches `{pattern}`"));
    match most_alike(folder, folders) {
        Some((alike, nearest)) if alike > 0.7 => {
            failure.hint(format!("did you mean `./{nearest}`?"))
        }
        _ => {
            failure.hint("patterns are go's: `./internal/pkg/...`, an import path, or none for all")
        }
    }
}

//! The tests of the checkout, from the cache if nothing has changed.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use gotest::{Options, Target, Test, Unread, Workspace};

use super::args::Selection;
use super::shards;
use crate::app::App;
use crate::meant::is_test_name;
use crate::typo::most_alike;
use foundation::ctx::go_flags;
use foundation::ctx::sources::Sources;
use foundation::failure::{Failure, Result};
use foundation::record::discovered;
use foundation::typed;

/// Every test of the chosen packages.
///
/// # Errors
/// No checkout, or a package pattern that matches nothing.
pub(in crate::commands) fn tests(app: &App<'_>, chosen: &Selection) -> Result<Vec<Test>> {
    in_checkout(app, &app.ctx.go_checkout()?, chosen)
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
    let tests = Packages::open(app, dir, chosen)?.tests(app, chosen);
    of_shard(app, tests, chosen)
}

/// The tests of the chosen shard, or all.
///
/// # Errors
/// Those of [`shards::of_shard`].
pub(super) fn of_shard(app: &App<'_>, tests: Vec<Test>, chosen: &Selection) -> Result<Vec<Test>> {
    match chosen.shard {
        Some(shard) => shards::of_shard(app, tests, shard, chosen.times.as_deref()),
        None => Ok(tests),
    }
}

/// The packages of a checkout, and which of them are chosen.
#[derive(Debug)]
pub(super) struct Packages {
    source: Sources,
    workspace: Workspace,
    /// In ascending order.
    chosen: Vec<usize>,
}

impl Packages {
    /// # Errors
    /// A package pattern that matches nothing.
    pub(super) fn open(app: &App<'_>, dir: &Utf8Path, chosen: &Selection) -> Result<Self> {
        let source = Sources {
            root: dir.to_owned(),
        };
        let workspace = Workspace::open(&source).map_err(|it| unread(dir, &it))?;
        let here = app.ctx.cwd.strip_prefix(dir).map_or("", Utf8Path::as_str);
        let chosen = workspace
            .matching(&chosen.packages, here)
            .map_err(|pattern| no_package(&workspace, &pattern))?;
        Ok(Self {
            source,
            workspace,
            chosen,
        })
    }

    /// Returns the tests of the chosen packages, of all shards.
    pub(super) fn tests(&self, app: &App<'_>, selection: &Selection) -> Vec<Test> {
        let workspace = &self.workspace;
        let target = self.target(app, selection);
        let cache = &app.ctx.dirs.cache;
        let file = discovered::file_of(cache, &self.source.root, &format!("{target:?}"));
        let key = discovered::key_of(workspace);
        let tests = discovered::read(&file, &key).unwrap_or_else(|| {
            let all: Vec<usize> = (0..workspace.folders.len()).collect();
            let options = Options { target, deep: true };
            let found = gotest::discover(&self.source, workspace, &all, &options);
            if found.unread.is_empty() {
                return discovered::write(&file, &key, found.tests);
            }
            // The file may be readable the next time, with the same key.
            note(app, &found.unread);
            found.tests
        });
        if selection.packages.is_empty() {
            return tests;
        }
        let is_chosen = |test: &Test| {
            let folder = workspace.folder(&test.package);
            folder.is_some_and(|folder| self.chosen.binary_search(&folder).is_ok())
        };
        tests.into_iter().filter(is_chosen).collect()
    }

    fn target(&self, app: &App<'_>, selection: &Selection) -> Target {
        Target {
            arch: app.ctx.host.arch.to_owned(),
            tags: if selection.tags.is_empty() {
                go_flags::tags()
            } else {
                selection.tags.clone()
            },
            go_minor: self
                .workspace
                .go_minor
                .unwrap_or(Target::default().go_minor),
            ..Target::default()
        }
    }

    /// Returns the import paths of the chosen packages whose tests may end differently after
    /// changes of these files.
    ///
    /// # Errors
    /// When a source cannot be read.
    pub(super) fn affected(
        &self,
        app: &App<'_>,
        selection: &Selection,
        files: BTreeSet<Utf8PathBuf>,
    ) -> Result<Vec<String>> {
        let files = files.into_iter().map(Utf8PathBuf::into_string).collect();
        let target = self.target(app, selection);
        let affected = gotest::affected(&self.source, &self.workspace, &target, &files)
            .map_err(|it| unread(&self.source.root, &it))?;
        let chosen = affected
            .into_iter()
            .filter(|folder| self.chosen.binary_search(folder).is_ok());
        let folders = &self.workspace.folders;
        Ok(chosen
            .map(|folder| folders[folder].import_path.clone())
            .collect())
    }

    /// Returns all packages, with or without tests.
    pub(super) fn folders(&self) -> Vec<Folder> {
        let all = self.workspace.folders.iter().enumerate();
        all.map(|(index, folder)| Folder {
            has_test_files: folder
                .files
                .iter()
                .any(|(name, _)| name.ends_with("_test.go")),
            dir: self.source.root.join(&folder.dir),
            import_path: folder.import_path.clone(),
            is_chosen: self.chosen.binary_search(&index).is_ok(),
        })
        .collect()
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
    if is_test_name(pattern) {
        return failure.hint(typed!("test unit --run {}", pattern));
    }
    match most_alike(folder, folders) {
        Some((alike, nearest)) if alike > 0.7 => {
            failure.hint(format!("did you mean `./{nearest}`?"))
        }
        _ => {
            failure.hint("patterns are go's: `./internal/pkg/...`, an import path, or none for all")
        }
    }
}

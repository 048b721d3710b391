//! The sources of a test binary: the files of a folder, and of all its imports within
//! the workspace; and the other way round, the test binaries that files are part of.

use std::collections::BTreeSet;

use rustc_hash::FxHashSet;

use crate::constraint::Target;
use crate::discover::parsed_files;
use crate::workspace::{Source, Unread, Workspace, join};

/// The file that changed last among those that a folder's test binary is built
/// from, and when, in nanoseconds since 1970. Third-party modules change with go.mod, which the
/// caller looks at.
///
/// # Errors
/// When one of them cannot be read: what it imports may have changed.
pub fn newest_source(
    source: &dyn Source,
    workspace: &Workspace,
    target: &Target,
    folder: &str,
) -> Result<Option<(String, i128)>, Unread> {
    let start = workspace
        .folders
        .iter()
        .position(|known| known.dir == folder);
    let Some(start) = start else { return Ok(None) };
    let mut seen: FxHashSet<usize> = FxHashSet::default();
    let mut open = vec![start];
    let mut newest: Option<(String, i128)> = None;
    while !open.is_empty() {
        let mut wanted = Vec::new();
        for index in open.drain(..) {
            if !seen.insert(index) {
                continue;
            }
            let known = &workspace.folders[index];
            for (name, (_, changed)) in &known.files {
                // Tests of imported packages are not part of the binary.
                if name.strip_suffix("_test.go").is_some() && index != start {
                    continue;
                }
                let path = join(&known.dir, name);
                if newest.as_ref().is_none_or(|(_, latest)| changed > latest) {
                    newest = Some((path.clone(), *changed));
                }
                wanted.push((index, path));
            }
        }
        open = parsed_files(source, &wanted, target, |files, unread| {
            if let Some(unread) = unread.pop() {
                return Err(unread);
            }
            let imports = files.iter().flat_map(|(_, _, file)| &file.imports);
            let mut folders = Vec::new();
            for import in imports {
                if let Some(unread) = workspace.unread_at(&import.path) {
                    return Err(unread.clone());
                }
                folders.extend(workspace.folder(&import.path));
            }
            Ok(folders)
        })?;
    }
    Ok(newest)
}

/// The folders whose tests may end differently after changes of `files`: those that the files
/// are in or below, and those that import them, directly or through others. All after a change
/// of go.mod, go.sum or go.work.
///
/// # Errors
/// When a source cannot be read: what it imports is unknown.
pub fn affected(
    source: &dyn Source,
    workspace: &Workspace,
    target: &Target,
    files: &BTreeSet<String>,
) -> Result<BTreeSet<usize>, Unread> {
    let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let decides_all = ["go.mod", "go.sum", "go.work", "go.work.sum"];
    if files.iter().any(|path| decides_all.contains(&&*name(path))) {
        return Ok((0..workspace.folders.len()).collect());
    }
    let (mut found, mut changed) = (BTreeSet::new(), Vec::new());
    for path in files {
        let Some(folder) = folder_of(workspace, path) else {
            continue;
        };
        found.insert(folder);
        let of_tests = path.ends_with("_test.go") || format!("/{path}").contains("/testdata/");
        if !of_tests {
            changed.push(folder);
        }
    }
    if changed.is_empty() {
        return Ok(found);
    }
    let all = workspace.folders.iter().enumerate();
    let wanted: Vec<(usize, String)> = all
        .flat_map(|(index, folder)| {
            let names = folder.files.iter();
            names.map(move |(name, _)| (index, join(&folder.dir, name)))
        })
        .collect();
    // For each folder those that import it, and whether only their tests do.
    let mut importers: Vec<Vec<(usize, bool)>> = vec![Vec::new(); workspace.folders.len()];
    parsed_files(source, &wanted, target, |files, unread| {
        if let Some(unread) = unread.pop() {
            return Err(unread);
        }
        for (importer, path, file) in &files {
            for import in &file.imports {
                if let Some(imported) = workspace.folder(&import.path) {
                    importers[imported].push((*importer, path.ends_with("_test.go")));
                }
            }
        }
        Ok(())
    })?;
    let mut seen: FxHashSet<usize> = changed.iter().copied().collect();
    while let Some(folder) = changed.pop() {
        for (importer, only_in_tests) in &importers[folder] {
            found.insert(*importer);
            // No package imports the tests of another.
            if !only_in_tests && seen.insert(*importer) {
                changed.push(*importer);
            }
        }
    }
    Ok(found)
}

/// The folder with Go files that a file is in or below.
fn folder_of(workspace: &Workspace, path: &str) -> Option<usize> {
    let mut dir = path;
    loop {
        dir = dir.rsplit_once('/').map_or("", |(dir, _)| dir);
        let folder = workspace.folders.iter().position(|it| it.dir == dir);
        if folder.is_some() || dir.is_empty() {
            return folder;
        }
    }
}

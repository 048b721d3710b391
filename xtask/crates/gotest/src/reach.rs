//! The sources of a test binary: the files of a folder, and of all its imports within
//! the workspace.

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

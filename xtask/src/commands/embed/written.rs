//! What `embed` wrote into a checkout, by the digests that it left there, and
//! what has become of it.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

use super::{FILES, FOLDER, LIST, TARGET};
use foundation::ctx::digests;
use foundation::failure::{Because, Failure, Result};
use foundation::files;

/// Most files that a message names.
const NAMED: usize = 10;

/// A checkout's copy, compared with what was written and with the sources.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Neither as written nor as in the sources, with files that `embed` did not
    /// write.
    pub(super) edited: Vec<Utf8PathBuf>,
    /// As written, but not as in the sources, with files that only one has.
    pub(super) outdated: Vec<Utf8PathBuf>,
}

/// Compares the copy in `to`. Without `sources` it is only compared with what
/// was written. A run that was killed leaves files that its list does not have:
/// they are as in the sources.
pub(super) fn compare(
    to: &Utf8Path,
    sources: Option<&BTreeMap<Utf8PathBuf, String>>,
) -> Result<Written> {
    let list = files::text(&to.join(LIST), files::MEDIUM)?;
    let recorded = list.as_deref().and_then(digests::parse);
    let mut written = Written::default();
    if list.is_some() && recorded.is_none() {
        written.edited.push(LIST.into());
    }
    let recorded = recorded.unwrap_or_default();
    let paths: Vec<Utf8PathBuf> = FILES.into_iter().chain([FOLDER]).map(Into::into).collect();
    let found = digests::of(to, &paths, &built(to))
        .because(|| format!("cannot read the copy in `{to}`"))?;
    for (path, digest) in &found {
        let source = sources.and_then(|sources| sources.get(path));
        if source == Some(digest) {
            continue;
        }
        if recorded.get(path) == Some(digest) {
            if sources.is_some() {
                written.outdated.push(path.clone());
            }
        } else {
            written.edited.push(path.clone());
        }
    }
    let wanted = sources.unwrap_or(&recorded);
    let missing = wanted.keys().filter(|path| !found.contains_key(*path));
    written.outdated.extend(missing.cloned());
    Ok(written)
}

/// What cargo built in the copy, and the list itself.
fn built(to: &Utf8Path) -> Vec<Utf8PathBuf> {
    let mut built = vec![LIST.into(), Utf8Path::new(FOLDER).join(TARGET)];
    let crates = Utf8Path::new(FOLDER).join("crates");
    for name in files::names_in(&to.join(&crates)).unwrap_or_default() {
        built.push(crates.join(name).join("fuzz").join(TARGET));
    }
    built
}

/// Refuses a copy with edits: they would be lost.
pub(super) fn check_edits(to: &Utf8Path, written: &Written, hint: String) -> Result<()> {
    if written.edited.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::host(format!(
        "`{to}` has files that `embed` did not write, or that were edited since"
    ));
    failure.causes = named(&written.edited);
    Err(failure.hint(hint))
}

/// Names the first files.
pub(super) fn named(paths: &[Utf8PathBuf]) -> Vec<String> {
    let mut names: Vec<String> = paths
        .iter()
        .take(NAMED)
        .map(|path| format!("`{path}`"))
        .collect();
    if paths.len() > NAMED {
        names.push(format!("and {} more", paths.len() - NAMED));
    }
    names
}

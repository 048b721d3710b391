//! Fetched profiles for the status page: which there are, and their flame graphs.

use ::pprof::flame::{Flame, Split};
use ::pprof::{Limits, Query, export};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::export::LEAST;
use super::load;
use super::store::{self, Entry};
use foundation::ctx::own_files;
use foundation::failure::{Because, Result};

/// Maximum bytes of a file that a flame graph is drawn of while others wait.
const LARGEST: u64 = 64 << 20;

/// A profile in the folder of a fetch.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Recorded {
    /// The fetch.
    set: String,
    /// Its number within the fetch.
    index: usize,
    node: String,
    service: String,
    profile: String,
    /// RFC 3339.
    time: String,
}

/// Lists at most `most` profiles, newest first.
///
/// # Errors
/// When their folder cannot be read.
pub(crate) fn list(state: &Utf8Path, most: usize) -> Result<Vec<Recorded>> {
    let root = store::root(state);
    let mut found = Vec::new();
    for set in store::list(&root)? {
        let profiles = set.profiles(&root.join(&set.id));
        found.extend(
            profiles
                .into_iter()
                .enumerate()
                .map(|(index, (entry, _))| Recorded {
                    set: set.id.clone(),
                    index,
                    node: entry.node,
                    service: entry.service,
                    profile: entry.profile,
                    time: entry.time.unwrap_or_else(|| set.time.clone()),
                }),
        );
        if found.len() >= most {
            break;
        }
    }
    found.truncate(most);
    Ok(found)
}

/// Draws the flame graph of a profile as SVG; `None` if there is no such profile.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn flame_graph(state: &Utf8Path, set: &str, index: usize) -> Result<Option<String>> {
    let root = store::root(state);
    let profiles = store::list(&root)?
        .into_iter()
        .find(|known| known.id == set)
        .map(|set| set.profiles(&root.join(&set.id)));
    let profile: Option<(Entry, Utf8PathBuf)> =
        profiles.and_then(|profiles| profiles.into_iter().nth(index));
    let Some((entry, file)) = profile else {
        return Ok(None);
    };
    let bytes = own_files::read(&file, LARGEST).because(|| format!("cannot read `{file}`"))?;
    let Some(bytes) = bytes else { return Ok(None) };
    let profile = load::decode(bytes, file.as_str(), Limits::default())?;
    let query = Query::default();
    let flame = Flame::new(&[("", &profile)], &query, Split::Label("node"), LEAST);
    let flame = flame.map_err(|error| load::engine(&error))?;
    let title = [entry.node, entry.service, entry.profile].join(" ");
    Ok(Some(export::svg(&flame, title.trim())))
}

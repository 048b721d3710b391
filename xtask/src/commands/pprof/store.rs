//! What was fetched: a folder for each time, with an index. Files are named
//! node, service, profile and time, and say the same inside as labels.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::fetch::{Answer, Body};
use super::target::Target;
use foundation::failure::{Because, Failure, Result};
use foundation::record::files;
use foundation::record::own;
use foundation::typed;

const INDEX: &str = "index.json";
/// Older ones go first.
const KEEP: usize = 200;

/// All that was fetched at one time, or by one series.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Set {
    pub(super) schema: u32,
    pub(super) id: String,
    pub(super) time: String,
    pub(super) entries: Vec<Entry>,
}

/// One node's answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) node: String,
    pub(super) service: String,
    pub(super) profile: String,
    pub(super) address: String,
    /// When, in a series; else the set's time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) time: Option<String>,
    /// In the set's folder; none where it failed.
    pub(super) file: Option<String>,
    pub(super) error: Option<String>,
}

impl Entry {
    fn is_profile(&self) -> bool {
        let file = self.file.as_deref().unwrap_or_default();
        file.ends_with(".pb.gz")
    }
}

/// Where sets are kept.
pub(super) fn root(state: &Utf8Path) -> Utf8PathBuf {
    state.join("pprof")
}

/// `20261121T044512Z`: sorts as it happened.
pub(super) fn stamp(time: jiff::Timestamp) -> String {
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// The name of a set that is about to be fetched; one that is not taken.
pub(super) fn new_id(root: &Utf8Path, stamp: &str, targets: &[Target]) -> String {
    let first = &targets[0];
    let one_kind = targets
        .iter()
        .all(|target| (&target.service, &target.profile) == (&first.service, &first.profile));
    let what = if one_kind {
        let stem = Target {
            node: String::new(),
            ..first.clone()
        }
        .stem();
        stem.trim_start_matches('-').to_owned()
    } else {
        "all".to_owned()
    };
    let id = format!("{stamp}-{what}");
    // Two within one second: the second has a number.
    let numbered = (2..100).map(|n| format!("{id}-{n}"));
    let mut names = std::iter::once(id.clone()).chain(numbered);
    names.find(|id| !root.join(id).exists()).unwrap_or(id)
}

/// The file of a target.
pub(super) fn file_name(target: &Target, stamp: &str) -> String {
    let ending = if target.profile == "trace" {
        "trace"
    } else {
        "pb.gz"
    };
    format!("{}-{stamp}.{ending}", target.stem())
}

impl Set {
    /// One without profiles yet.
    pub(super) fn new(id: &str, time: &str) -> Self {
        Self {
            schema: 1,
            id: id.to_owned(),
            time: time.to_owned(),
            entries: Vec::new(),
        }
    }

    /// Its profiles, and where they are in its folder.
    pub(super) fn profiles(&self, dir: &Utf8Path) -> Vec<(Entry, Utf8PathBuf)> {
        let entries = self.entries.iter().filter(|entry| entry.is_profile());
        entries
            .filter_map(|entry| Some((entry.clone(), dir.join(entry.file.as_ref()?))))
            .collect()
    }

    /// How often the nodes were asked.
    pub(super) fn rounds(&self) -> usize {
        let times: BTreeSet<_> = self.entries.iter().map(|entry| &entry.time).collect();
        times.len()
    }
}

/// Write what came and why the rest did not; the index too, so that a series
/// that is cut off keeps what it has.
pub(super) fn append(
    dir: &Utf8Path,
    set: &mut Set,
    stamp: &str,
    time: Option<&str>,
    answers: &[Answer],
) -> Result<()> {
    for (target, answer) in answers {
        let mut entry = Entry {
            node: target.node.clone(),
            service: target.service.clone(),
            profile: target.profile.clone(),
            address: target.address.clone(),
            time: time.map(str::to_owned),
            file: None,
            error: None,
        };
        match answer {
            Ok(fetched) => {
                let name = file_name(target, stamp);
                let (Body::Profile(_, bytes) | Body::Other(bytes)) = &fetched.body;
                let path = dir.join(&name);
                files::replace(&path, bytes, 0o644).because(|| format!("cannot write `{path}`"))?;
                entry.file = Some(name);
            }
            Err(failure) => entry.error = Some(failure.what.clone()),
        }
        set.entries.push(entry);
    }
    let text = serde_json::to_string_pretty(set).because(|| "cannot write the index".to_owned())?;
    let path = dir.join(INDEX);
    files::replace(&path, text.as_bytes(), 0o644).because(|| format!("cannot write `{path}`"))
}

/// Sets, newest first.
pub(super) fn list(root: &Utf8Path) -> Vec<Set> {
    let Ok(entries) = root.read_dir_utf8() else {
        return Vec::new();
    };
    let mut sets: Vec<Set> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let text = own::read(&entry.path().join(INDEX), foundation::files::MEDIUM).ok()??;
            let set: Set = serde_json::from_slice(&text).ok()?;
            // Its folder is removed by this name.
            (set.id == entry.file_name()).then_some(set)
        })
        .collect();
    sets.sort_by(|one, other| other.id.cmp(&one.id));
    sets
}

/// Take away the oldest beyond what is kept.
pub(super) fn prune(root: &Utf8Path) {
    for set in list(root).iter().skip(KEEP) {
        let _ = files::remove(&root.join(&set.id));
    }
}

/// The profiles of `latest`, or of the set that begins so.
pub(super) fn find(root: &Utf8Path, wanted: &str) -> Option<Result<Vec<(Entry, Utf8PathBuf)>>> {
    let sets = list(root);
    let found: Vec<&Set> = if wanted == "latest" {
        sets.iter().take(1).collect()
    } else {
        sets.iter()
            .filter(|set| set.id.starts_with(wanted))
            .collect()
    };
    match found[..] {
        [] => None,
        [set] => Some(Ok(set.profiles(&root.join(&set.id)))),
        _ => {
            let ids: Vec<&str> = found.iter().map(|set| set.id.as_str()).collect();
            Some(Err(Failure::usage(format!("`{wanted}` could be several"))
                .cause(ids.join(", "))
                .hint(typed!("pprof list"))))
        }
    }
}

/// The last one before set `id` of the same node, service and profile.
pub(super) fn before(sets: &[Set], root: &Utf8Path, id: &str, of: &Entry) -> Option<Utf8PathBuf> {
    let older = sets.iter().filter(|set| set.id.as_str() < id);
    older
        .flat_map(|set| set.profiles(&root.join(&set.id)).into_iter().rev())
        .find(|(entry, _)| {
            (&entry.node, &entry.service, &entry.profile) == (&of.node, &of.service, &of.profile)
        })
        .map(|(_, file)| file)
}

//! Saved fetches: a folder for each fetch, with an index. Files are named node,
//! service, profile and time, and have the same values as labels.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::fetch::Answer;
use super::kind::Kind;
use super::target::Target;
use foundation::ctx::own_files;
use foundation::failure::{Because, Failure, Result};
use foundation::record::files;
use foundation::typed;

const INDEX: &str = "index.json";
/// Maximum number of sets; the oldest are removed.
const KEEP: usize = 200;

/// The profiles of one fetch or one series.
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
    /// The time within a series; otherwise the set's time counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) time: Option<String>,
    /// The file in the set's folder; `None` if the fetch failed.
    pub(super) file: Option<String>,
    pub(super) error: Option<String>,
}

impl Entry {
    /// The file of a profile: one in the set's own folder.
    fn profile_file(&self) -> Option<&str> {
        let file = self.file.as_deref()?;
        let is_own = is_file_name(file) && file.ends_with(".pb.gz");
        is_own.then_some(file)
    }
}

/// Whether it is a name in the folder and not a path.
fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('/') && name != "." && name != ".."
}

/// The folder of all sets.
pub(super) fn root(state: &Utf8Path) -> Utf8PathBuf {
    state.join("pprof")
}

/// `20261121T044512Z`: sorts by time.
pub(super) fn stamp(time: jiff::Timestamp) -> String {
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Returns an unused name for a set that is about to be fetched.
pub(super) fn new_id(root: &Utf8Path, stamp: &str, targets: &[Target]) -> String {
    let first = &targets[0];
    let one_kind = targets
        .iter()
        .all(|target| (&target.service, &target.kind) == (&first.service, &first.kind));
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
    // The second set within one second gets a number.
    let numbered = (2..100).map(|n| format!("{id}-{n}"));
    let mut names = std::iter::once(id.clone()).chain(numbered);
    names.find(|id| !root.join(id).exists()).unwrap_or(id)
}

/// Returns the file of each target. Names that are equal once they fit into a
/// file name get a number, so that no profile overwrites another.
pub(super) fn file_names(targets: &[Target], stamp: &str) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let mut name = |target: &Target| {
        let ending = if target.kind == Kind::Trace {
            "trace"
        } else {
            "pb.gz"
        };
        let stem = target.stem();
        let first = std::iter::once(format!("{stem}-{stamp}.{ending}"));
        let more = (2..).map(|number| format!("{stem}-{number}-{stamp}.{ending}"));
        let mut names = first.chain(more);
        names
            .find(|name| taken.insert(name.clone()))
            .unwrap_or_default()
    };
    targets.iter().map(&mut name).collect()
}

impl Set {
    /// Creates a set without profiles.
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
        let entries = self.entries.iter();
        entries
            .filter_map(|entry| Some((entry.clone(), dir.join(entry.profile_file()?))))
            .collect()
    }

    /// The number of rounds.
    pub(super) fn rounds(&self) -> usize {
        let times: BTreeSet<_> = self.entries.iter().map(|entry| &entry.time).collect();
        times.len()
    }
}

/// Writes the index with what was fetched and why the rest failed, so that an
/// interrupted series keeps what it has.
pub(super) fn append(
    dir: &Utf8Path,
    set: &mut Set,
    time: Option<&str>,
    answers: &[Answer],
) -> Result<()> {
    for (target, answer) in answers {
        let mut entry = Entry {
            node: target.node.clone(),
            service: target.service.clone(),
            profile: target.kind.to_string(),
            address: target.address.clone(),
            time: time.map(str::to_owned),
            file: None,
            error: None,
        };
        match answer {
            Ok(fetched) => entry.file.clone_from(&fetched.file),
            Err(failure) => entry.error = Some(failure.what.clone()),
        }
        set.entries.push(entry);
    }
    let text = serde_json::to_string_pretty(set).because(|| "cannot write the index".to_owned())?;
    let path = dir.join(INDEX);
    files::replace(&path, text.as_bytes(), 0o644).because(|| format!("cannot write `{path}`"))
}

/// Sets, newest first.
///
/// # Errors
/// When their folder cannot be read.
pub(super) fn list(root: &Utf8Path) -> Result<Vec<Set>> {
    let entries = match root.read_dir_utf8() {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(Failure::step(format!("cannot read `{root}`")).cause(error));
        }
    };
    let mut sets: Vec<Set> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let text =
                own_files::read(&entry.path().join(INDEX), foundation::files::MEDIUM).ok()??;
            let set: Set = serde_json::from_slice(&text).ok()?;
            // Its folder is removed by this name.
            (set.id == entry.file_name()).then_some(set)
        })
        .collect();
    sets.sort_by(|one, other| other.id.cmp(&one.id));
    Ok(sets)
}

/// Removes the oldest sets beyond the limit.
///
/// # Errors
/// When their folder cannot be read.
pub(super) fn prune(root: &Utf8Path) -> Result<()> {
    for set in list(root)?.iter().skip(KEEP) {
        let _ = files::remove(&root.join(&set.id));
    }
    Ok(())
}

/// Returns the profiles of `latest`, or of the set whose name starts like this.
pub(super) fn find(root: &Utf8Path, name: &str) -> Option<Result<Vec<(Entry, Utf8PathBuf)>>> {
    let sets = match list(root) {
        Ok(sets) => sets,
        Err(failure) => return Some(Err(failure)),
    };
    let found: Vec<&Set> = if name == "latest" {
        sets.iter().take(1).collect()
    } else {
        sets.iter().filter(|set| set.id.starts_with(name)).collect()
    };
    match found[..] {
        [] => None,
        [set] => Some(Ok(set.profiles(&root.join(&set.id)))),
        _ => {
            let ids: Vec<&str> = found.iter().map(|set| set.id.as_str()).collect();
            Some(Err(Failure::usage(format!("`{name}` could be several"))
                .cause(ids.join(", "))
                .hint(typed!("pprof list"))))
        }
    }
}

/// Returns the last profile before set `id` of the same node, service and
/// profile.
pub(super) fn before(sets: &[Set], root: &Utf8Path, id: &str, of: &Entry) -> Option<Utf8PathBuf> {
    let older = sets.iter().filter(|set| set.id.as_str() < id);
    older
        .flat_map(|set| set.profiles(&root.join(&set.id)).into_iter().rev())
        .find(|(entry, _)| {
            (&entry.node, &entry.service, &entry.profile) == (&of.node, &of.service, &of.profile)
        })
        .map(|(_, file)| file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(profile: &str) -> Target {
        Target {
            node: "n".into(),
            role: None,
            address: "a:1".into(),
            prefix: String::new(),
            transport: crate::commands::pprof::endpoint::Transport::default(),
            headers: Vec::new(),
            service: "s".into(),
            kind: Kind::new(profile),
            talos: None,
        }
    }

    #[test]
    fn no_two_profiles_share_a_file() {
        let targets = ["a/b", "a_b", "a b", "heap", "heap"].map(target);
        let names = file_names(&targets, "T");
        assert_eq!(
            names,
            [
                "n-s-a_b-T.pb.gz",
                "n-s-a_b-2-T.pb.gz",
                "n-s-a_b-3-T.pb.gz",
                "n-s-heap-T.pb.gz",
                "n-s-heap-2-T.pb.gz"
            ]
        );
        // File names are limited to 255 bytes.
        let long = file_names(&[target(&"x".repeat(4000))], "20261121T044512Z");
        assert!(long[0].len() < 255, "{}", long[0].len());
    }

    #[test]
    fn an_index_leads_to_its_own_folder_only() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap().join("pprof");
        let write = |folder: &str, set: &Set| {
            let text = serde_json::to_string(set).unwrap();
            files::replace(&root.join(folder).join(INDEX), text.as_bytes(), 0o600).unwrap();
        };
        let mut own = Set::new("1-own", "");
        for file in ["../../secret.pb.gz", "/etc/x.pb.gz", "ours.pb.gz"] {
            own.entries.push(Entry {
                node: String::new(),
                service: String::new(),
                profile: String::new(),
                address: String::new(),
                time: None,
                file: Some(file.into()),
                error: None,
            });
        }
        write("1-own", &own);
        for id in ["../..", "", ".", "1-own"] {
            write("2-forged", &Set::new(id, ""));
            let sets = list(&root).unwrap();
            assert_eq!(sets.len(), 1, "{id}");
        }
        let sets = list(&root).unwrap();
        let profiles = sets[0].profiles(&root.join("1-own"));
        assert_eq!(profiles.len(), 1);
        assert_eq!(profiles[0].1, root.join("1-own/ours.pb.gz"));
        // An unreadable folder does not count as an empty list.
        files::replace(&root.join("file"), b"", 0o600).unwrap();
        assert_eq!(list(&root.join("none")).unwrap().len(), 0);
        list(&root.join("file")).unwrap_err();
    }
}

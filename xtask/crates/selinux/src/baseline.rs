//! Denials that are known and accepted for a time, for a gate in tests.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::context::Context;
use crate::log::Group;

/// An accepted denial. Who, why and until when are required: an entry without an end
/// is never looked at again.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Type of the source.
    pub source: String,
    /// Type of the target.
    pub target: String,
    pub class: String,
    pub permission: String,
    /// Only of this command.
    pub comm: Option<String>,
    pub owner: String,
    pub reason: String,
    /// `2027-01-31`: the last day.
    pub expires: String,
}

/// A baseline as it is in its file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    #[serde(default)]
    pub denial: Vec<Entry>,
}

/// A denial that no entry accepts.
#[derive(Debug, Clone)]
pub struct Unaccepted<'a> {
    pub group: &'a Group,
    pub permission: &'a str,
    /// The entry that has expired.
    pub expired: Option<usize>,
}

/// What a gate finds.
#[derive(Debug, Default)]
pub struct Outcome<'a> {
    pub unaccepted: Vec<Unaccepted<'a>>,
    /// Entries, by position, that no denial needs.
    pub unused: Vec<usize>,
    pub expired: Vec<usize>,
}

/// Commands that a group keeps; a full list may not have all.
const FULL: usize = 8;

impl Baseline {
    /// Compares the groups with the entries; `today` is written like `2027-01-31`.
    pub fn check<'a>(&self, groups: &'a [Group], today: &str) -> Outcome<'a> {
        let mut used = BTreeSet::new();
        let mut unaccepted = Vec::new();
        for group in groups {
            for operation in &group.operations {
                let permission = operation.permission.as_str();
                let fitting = self.fitting(group, permission);
                used.extend(fitting.iter().copied());
                let (past, valid): (Vec<usize>, Vec<usize>) = fitting
                    .into_iter()
                    .partition(|at| self.is_expired(*at, today));
                if !self.accepts(group, &valid) {
                    unaccepted.push(Unaccepted {
                        group,
                        permission,
                        expired: past.first().copied(),
                    });
                }
            }
        }
        let all = 0..self.denial.len();
        Outcome {
            unaccepted,
            unused: all.clone().filter(|at| !used.contains(at)).collect(),
            expired: all.filter(|at| self.is_expired(*at, today)).collect(),
        }
    }

    fn is_expired(&self, at: usize, today: &str) -> bool {
        self.denial[at].expires.as_str() < today
    }

    /// Entries for the permission, also those of a command.
    fn fitting(&self, group: &Group, permission: &str) -> Vec<usize> {
        let kind = |context: &'_ str| Context::parse(context).map(|it| it.kind.to_owned());
        let (source, target) = (kind(&group.source), kind(&group.target));
        let fits = |entry: &Entry| {
            source.as_ref() == Some(&entry.source)
                && target.as_ref() == Some(&entry.target)
                && entry.class == group.class
                && entry.permission == permission
                && entry
                    .comm
                    .as_ref()
                    .is_none_or(|comm| group.commands.contains(comm))
        };
        let entries = self.denial.iter().enumerate();
        entries
            .filter(|(_, entry)| fits(entry))
            .map(|(at, _)| at)
            .collect()
    }

    /// Whether these entries accept every command of the group.
    fn accepts(&self, group: &Group, valid: &[usize]) -> bool {
        let comms: Vec<Option<&String>> = valid
            .iter()
            .map(|at| self.denial[*at].comm.as_ref())
            .collect();
        if comms.contains(&None) {
            return true;
        }
        let is_whole = !group.commands.is_empty() && group.commands.len() < FULL;
        is_whole
            && group
                .commands
                .iter()
                .all(|command| comms.contains(&Some(command)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Denials, Reader};

    fn denials(commands: usize) -> Denials {
        let mut reader = Reader::new();
        reader.begin("log", None);
        for n in 1..=commands {
            let line = format!(
                "type=AVC msg=audit(1791000000.101:{n}): avc:  denied  {{ read write }} for  pid=1 comm=\"c{n}\" \
                scontext=u:r:pod_t:s0 tcontext=u:r:tmp_t:s0 tclass=file permissive=0\n"
            );
            reader.feed(line.as_bytes());
        }
        reader.finish().0
    }

    fn entry(permission: &str, comm: Option<&str>, expires: &str) -> Entry {
        Entry {
            source: "pod_t".into(),
            target: "tmp_t".into(),
            class: "file".into(),
            permission: permission.into(),
            comm: comm.map(str::to_owned),
            owner: "storage".into(),
            reason: "being fixed".into(),
            expires: expires.into(),
        }
    }

    /// Unaccepted permissions, unused and expired entries.
    fn check(entries: &[Entry], commands: usize) -> (Vec<String>, Vec<usize>, Vec<usize>) {
        let baseline = Baseline {
            denial: entries.to_vec(),
        };
        let denials = denials(commands);
        let outcome = baseline.check(&denials.groups, "2027-01-31");
        let unaccepted = outcome.unaccepted.iter();
        let unaccepted = unaccepted.map(|it| it.permission.to_owned()).collect();
        (unaccepted, outcome.unused, outcome.expired)
    }

    #[test]
    fn each_permission_needs_an_entry_that_is_valid_and_for_each_command() {
        let read = entry("read", None, "2027-01-31");
        let write = entry("write", None, "2027-01-30");
        assert_eq!(
            check(&[], 1),
            (vec!["read".into(), "write".into()], vec![], vec![])
        );
        assert_eq!(
            check(&[read.clone(), write], 1),
            (vec!["write".into()], vec![], vec![1])
        );
        let one = entry("write", Some("c1"), "2028-01-01");
        let two = entry("write", Some("c2"), "2028-01-01");
        let other = entry("append", None, "2028-01-01");
        assert_eq!(check(&[read.clone(), one.clone()], 1).0, [] as [&str; 0]);
        assert_eq!(check(&[read.clone(), one.clone()], 2).0, ["write"]);
        assert_eq!(
            check(&[read.clone(), one.clone(), two.clone()], 2).0,
            [] as [&str; 0]
        );
        assert_eq!(check(&[read.clone(), one.clone(), two], 20).0, ["write"]);
        assert_eq!(check(&[read, one, other], 1), (vec![], vec![2], vec![]));
    }
}

//! Differences in what two policies allow. Rules are not compared: the compiler drops
//! those that others cover.

use std::collections::{BTreeMap, BTreeSet};

use super::{Policy, PolicyError};

/// Maximum number of source, target and class with a difference.
const DIFFERENCES: usize = 1 << 18;

/// Permissions that one policy allows and the other does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub sources: Names,
    pub targets: Names,
    pub class: String,
    pub permissions: Vec<String>,
}

impl Change {
    /// Number of permissions, type by type.
    pub fn size(&self) -> usize {
        self.sources.types.len() * self.targets.types.len() * self.permissions.len()
    }
}

/// Types, with the attribute that stands for exactly them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    pub attribute: Option<String>,
    pub types: Vec<String>,
}

/// From an old to a new policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Number of permissions of each, type by type.
    pub old_size: usize,
    pub new_size: usize,
    pub added: Vec<Change>,
    pub removed: Vec<Change>,
    pub added_types: Vec<String>,
    pub removed_types: Vec<String>,
    /// `class permission`, that the other does not have.
    pub added_permissions: Vec<String>,
    pub removed_permissions: Vec<String>,
    /// Rules for labels of new objects.
    pub added_transitions: Vec<String>,
    pub removed_transitions: Vec<String>,
    /// Number of constraints that compare levels, in the old and in the new policy.
    pub level_constraints: (usize, usize),
}

impl Difference {
    pub fn is_empty(&self) -> bool {
        let lists = [
            &self.added_types,
            &self.removed_types,
            &self.added_permissions,
            &self.removed_permissions,
            &self.added_transitions,
            &self.removed_transitions,
        ];
        self.added.is_empty()
            && self.removed.is_empty()
            && lists.iter().all(|list| list.is_empty())
            && self.level_constraints.0 == self.level_constraints.1
    }
}

/// By class: source and target, with the permissions.
type Access<'a> = BTreeMap<(&'a str, &'a str, &'a str), BTreeSet<&'a str>>;

impl Policy {
    /// What `new` allows more and less than this one.
    ///
    /// # Errors
    /// If one allows more than a policy in use does, or the two have too little in common.
    pub fn difference(&self, new: &Self) -> Result<Difference, PolicyError> {
        let (before, old_size) = self.not_in(new)?;
        let (after, new_size) = new.not_in(self)?;
        let types = |policy: &Self| policy.types().map(str::to_owned).collect();
        let (old_types, new_types): (BTreeSet<String>, BTreeSet<String>) =
            (types(self), types(new));
        let (old_names, new_names) = (self.permission_names(), new.permission_names());
        let (old_labels, new_labels) = (self.transitions(), new.transitions());
        let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect();
        Ok(Difference {
            old_size,
            new_size,
            added: grouped(&after, new),
            removed: grouped(&before, self),
            added_types: only(&new_types, &old_types),
            removed_types: only(&old_types, &new_types),
            added_permissions: only(&new_names, &old_names),
            removed_permissions: only(&old_names, &new_names),
            added_transitions: only(&new_labels, &old_labels),
            removed_transitions: only(&old_labels, &new_labels),
            level_constraints: (self.level_constraints(), new.level_constraints()),
        })
    }

    fn level_constraints(&self) -> usize {
        let constraints = self.classes.iter().flat_map(|class| &class.constraints);
        constraints.filter(|it| it.is_mls()).count()
    }

    fn permission_names(&self) -> BTreeSet<String> {
        let classes = self.classes();
        let names = classes.flat_map(|(class, permissions)| {
            permissions.map(move |permission| format!("{class} {permission}"))
        });
        names.collect()
    }

    /// What this policy allows and `other` does not, and the number of all that it allows.
    fn not_in<'a>(&'a self, other: &Self) -> Result<(Access<'a>, usize), PolicyError> {
        let theirs = other.access()?;
        let narrow = |value: u32| u16::try_from(value).unwrap_or(0);
        let of_types: Vec<u16> = self
            .types
            .iter()
            .map(|it| {
                other
                    .type_by_name
                    .get(&it.name)
                    .map_or(0, |value| narrow(*value))
            })
            .collect();
        let translated = |value: u16| {
            of_types
                .get(usize::from(value).wrapping_sub(1))
                .copied()
                .unwrap_or(0)
        };
        // For each class, its number there and the bit of each permission there.
        let of_classes: Vec<(u16, Vec<Option<usize>>)> = self
            .classes
            .iter()
            .map(|class| {
                let Some(value) = other.class_by_name.get(&class.name) else {
                    return (0, vec![None; class.permissions.len()]);
                };
                let theirs = &other.classes[*value as usize - 1].permissions;
                let names = class.permissions.iter();
                let bits = names.map(|name| theirs.iter().position(|it| it == name));
                (narrow(*value), bits.collect())
            })
            .collect();
        let (mut found, mut size): (Access<'a>, usize) = (BTreeMap::new(), 0);
        for ((source, target, class), bits) in self.access()? {
            let at = usize::from(class).wrapping_sub(1);
            let (Some(own), Some((value, places))) = (self.classes.get(at), of_classes.get(at))
            else {
                continue;
            };
            size += bits.count_ones() as usize;
            let key = (translated(source), translated(target), *value);
            let there = theirs.get(&key).copied().unwrap_or(0);
            for (bit, name) in own.permissions.iter().enumerate() {
                let is_there = places[bit].is_some_and(|bit| there >> bit & 1 == 1);
                if bits >> bit & 1 == 1 && !is_there {
                    let (source, target) = (self.kind(source.into()), self.kind(target.into()));
                    let key = (
                        source.name.as_str(),
                        target.name.as_str(),
                        own.name.as_str(),
                    );
                    found.entry(key).or_default().insert(name);
                }
            }
            if found.len() > DIFFERENCES {
                return Err(PolicyError::TooLarge {
                    what: "the difference between the policies",
                    limit: DIFFERENCES,
                });
            }
        }
        Ok((found, size))
    }
}

/// Joins sources with the same targets, and targets with the same sources.
fn grouped(access: &Access<'_>, policy: &Policy) -> Vec<Change> {
    let attributes = policy.attribute_members();
    let mut by_target: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for ((source, target, class), permissions) in access {
        let key = (*target, *class, permissions);
        by_target
            .entry(key)
            .or_default()
            .insert((*source).to_owned());
    }
    let mut by_sources: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for ((target, class, permissions), sources) in by_target {
        let key = (sources, class, permissions);
        by_sources.entry(key).or_default().insert(target.to_owned());
    }
    let names = |types: &BTreeSet<String>| Names {
        attribute: attributes
            .iter()
            .find(|(_, members)| members.len() > 1 && members == types)
            .map(|(name, _)| name.clone()),
        types: types.iter().cloned().collect(),
    };
    let mut changes: Vec<Change> = by_sources
        .into_iter()
        .map(|((sources, class, permissions), targets)| Change {
            sources: names(&sources),
            targets: names(&targets),
            class: class.to_owned(),
            permissions: permissions.iter().map(|name| (*name).to_owned()).collect(),
        })
        .collect();
    changes.sort_by_key(|change| std::cmp::Reverse(change.size()));
    changes
}

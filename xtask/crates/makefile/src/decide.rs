//! Decides whether a recipe has to run, right before it would
//! (`update_file_1`).

use std::time::SystemTime;

use crate::outcome::{Condition, Prerequisite};

/// When a path was last changed; none when it does not exist.
pub type Changed<'a> = dyn Fn(&str) -> Option<SystemTime> + 'a;

/// The decisions so far, by index into `Planned::conditions`.
#[derive(Debug, Clone, Default)]
pub struct Decisions {
    made: Vec<Option<Decision>>,
}

#[derive(Debug, Clone, Copy)]
struct Decision {
    runs: bool,
    /// The time of its target's last change before it ran.
    before: Option<SystemTime>,
}

impl Decisions {
    /// Whether lines under `condition` run. Decided at the first line only,
    /// because that line may already make the file.
    pub fn runs(&mut self, all: &[Condition], condition: usize, changed: &Changed<'_>) -> bool {
        if self.made.len() < all.len() {
            self.made.resize(all.len(), None);
        }
        if let Some(Some(decision)) = self.made.get(condition) {
            return decision.runs;
        }
        let Some(it) = all.get(condition) else {
            return true;
        };
        let before = it.target.as_deref().and_then(changed);
        let runs = it.within.is_none_or(|outer| self.runs(all, outer, changed))
            && (it.target.is_none()
                || before.is_none()
                || it
                    .prerequisites
                    .iter()
                    .any(|needed| self.is_newer(all, needed, before, changed)));
        self.made[condition] = Some(Decision { runs, before });
        runs
    }

    /// The files that recipes under `condition` have changed so far: when make is
    /// interrupted, it deletes them, because they may be half made.
    pub fn half_made<'a>(
        &self,
        all: &'a [Condition],
        condition: usize,
        changed: &Changed<'_>,
    ) -> Vec<&'a str> {
        let mut found = Vec::new();
        let mut next = Some(condition);
        while let Some(at) = next {
            let Some(it) = all.get(at) else { break };
            if let Some(target) = it.target.as_deref()
                && let Some(Some(decision)) = self.made.get(at)
                && let now @ Some(_) = changed(target)
                && now != decision.before
            {
                found.push(target);
            }
            // A nested make comes after the recipe that calls it.
            next = it.within.filter(|outer| *outer < at);
        }
        found
    }

    fn is_newer(
        &mut self,
        all: &[Condition],
        needed: &Prerequisite,
        target: Option<SystemTime>,
        changed: &Changed<'_>,
    ) -> bool {
        if needed.phony {
            return true;
        }
        let now = changed(&needed.path);
        if let Some(made_by) = needed.made_by
            && self.runs(all, made_by, changed)
            && let Some(Some(decision)) = self.made.get(made_by)
            && decision.before != now
        {
            return true;
        }
        now.is_none() || now > target
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::time::Duration;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn file(target: &str, needs: &[(&str, Option<usize>, bool)]) -> Condition {
        Condition {
            within: None,
            target: Some(target.into()),
            is_file: true,
            prerequisites: needs
                .iter()
                .map(|(path, made_by, phony)| Prerequisite {
                    path: (*path).into(),
                    made_by: *made_by,
                    phony: *phony,
                })
                .collect(),
        }
    }

    #[test]
    fn older_missing_and_phony_needs_count() {
        let files: HashMap<&str, SystemTime> =
            [("old", at(1)), ("mid", at(2)), ("new", at(3))].into();
        let changed = |path: &str| files.get(path).copied();
        let runs = |condition| Decisions::default().runs(&[condition], 0, &changed);
        assert!(!runs(file("mid", &[("old", None, false)])));
        assert!(runs(file("mid", &[("new", None, false)])));
        assert!(runs(file("mid", &[("gone", None, false)])));
        assert!(runs(file("mid", &[("old", None, true)])));
        assert!(runs(file("gone", &[])));
        let nested = [
            file("mid", &[]),
            Condition {
                within: Some(0),
                ..file("gone", &[])
            },
        ];
        assert!(!Decisions::default().runs(&nested, 1, &changed));
    }
}

//! Which round comes next: a pure state machine of what was changed, built and asked for.

use std::collections::BTreeSet;

use super::target::{Decision, Target, names};

/// What a round makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Round {
    pub(super) targets: BTreeSet<Target>,
    pub(super) why: String,
    /// Nodes are rebooted even if nothing new was built.
    pub(super) reboots: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    Round(Round),
    /// Nothing is made, for this reason.
    Nothing(String),
    /// The user has to start it.
    Wait(String),
}

#[derive(Debug, Default)]
pub(super) struct Rounds {
    manual: bool,
    /// What was changed and not yet built, because a build failed or was not asked for.
    unbuilt: BTreeSet<Target>,
}

impl Rounds {
    pub(super) fn new(manual: bool) -> Self {
        Self {
            manual,
            unbuilt: BTreeSet::new(),
        }
    }

    pub(super) fn changed(&mut self, decision: Decision) -> Next {
        let Decision { mut targets, why } = decision;
        targets.remove(&Target::Installer);
        if targets.is_empty() {
            return Next::Nothing(why);
        }
        let before: BTreeSet<Target> = self.unbuilt.difference(&targets).copied().collect();
        self.unbuilt.append(&mut targets);
        if self.manual {
            return Next::Wait(why);
        }
        let why = if before.is_empty() {
            why
        } else {
            format!("{why}; not built yet: {}", names(&before))
        };
        self.round(why)
    }

    /// The user asks for a build: of what was changed, else of what nodes boot.
    pub(super) fn rebuild(&mut self) -> Next {
        if self.unbuilt.is_empty() {
            self.unbuilt.insert(Target::Initramfs);
        }
        self.round("asked for".to_owned())
    }

    /// The user asks for a reboot.
    pub(super) fn reboot() -> Next {
        Next::Round(Round {
            targets: BTreeSet::new(),
            why: "asked for".to_owned(),
            reboots: true,
        })
    }

    fn round(&self, why: String) -> Next {
        Next::Round(Round {
            targets: self.unbuilt.clone(),
            why,
            reboots: false,
        })
    }

    /// A target was built.
    pub(super) fn built(&mut self, target: Target) {
        self.unbuilt.remove(&target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(targets: &[Target]) -> Decision {
        Decision {
            targets: targets.iter().copied().collect(),
            why: "x".to_owned(),
        }
    }

    fn round(targets: &[Target], why: &str) -> Next {
        Next::Round(Round {
            targets: targets.iter().copied().collect(),
            why: why.to_owned(),
            reboots: false,
        })
    }

    #[test]
    fn what_was_not_built_is_built_with_the_next_round() {
        let mut rounds = Rounds::new(false);
        let next = rounds.changed(decision(&[Target::Initramfs]));
        assert_eq!(next, round(&[Target::Initramfs], "x"));
        // It failed: what needs nothing does not start it again.
        assert_eq!(rounds.changed(decision(&[])), Next::Nothing("x".to_owned()));
        let next = rounds.changed(decision(&[Target::Talosctl]));
        let both = [Target::Initramfs, Target::Talosctl];
        assert_eq!(next, round(&both, "x; not built yet: initramfs"));
        rounds.built(Target::Initramfs);
        rounds.built(Target::Talosctl);
        let next = rounds.changed(decision(&[Target::Talosctl]));
        assert_eq!(next, round(&[Target::Talosctl], "x"));
    }

    #[test]
    fn by_hand_all_changes_are_built_at_once() {
        let mut rounds = Rounds::new(true);
        let next = rounds.changed(decision(&[Target::Talosctl]));
        assert_eq!(next, Next::Wait("x".to_owned()));
        rounds.changed(decision(&[Target::IntegrationTest]));
        let both = [Target::Talosctl, Target::IntegrationTest];
        assert_eq!(rounds.rebuild(), round(&both, "asked for"));
        rounds.built(Target::Talosctl);
        rounds.built(Target::IntegrationTest);
        assert_eq!(rounds.rebuild(), round(&[Target::Initramfs], "asked for"));
    }

    #[test]
    fn an_installer_is_never_built_by_the_way() {
        let mut rounds = Rounds::new(false);
        let next = rounds.changed(decision(&[Target::Installer]));
        assert_eq!(next, Next::Nothing("x".to_owned()));
        let next = rounds.changed(decision(&[Target::Initramfs, Target::Installer]));
        assert_eq!(next, round(&[Target::Initramfs], "x"));
    }
}

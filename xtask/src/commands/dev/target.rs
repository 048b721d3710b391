//! What an edit needs: which targets of the Makefile, and why. A pure function of the changed
//! paths and of what each target is made of.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};
use foundation::ui::text::counted;
use glob::{MatchOptions, Pattern};

use super::packages::Closure;

/// What a round makes, in the order in which it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// The compiled SELinux policy, which is in the sources.
    Policy,
    /// What nodes boot.
    Initramfs,
    Talosctl,
    IntegrationTest,
    /// What a quick loop cannot try: nodes use it when Talos is installed.
    Installer,
}

impl Target {
    pub(super) const ALL: [Self; 5] = [
        Self::Policy,
        Self::Initramfs,
        Self::Talosctl,
        Self::IntegrationTest,
        Self::Installer,
    ];

    /// The stages of the Dockerfile that make it.
    pub(super) fn stages(self, arch: &str) -> Vec<String> {
        match self {
            Self::Policy => vec!["selinux-generate".to_owned()],
            Self::Initramfs => vec!["initramfs".to_owned()],
            Self::Talosctl => vec![format!("talosctl-linux-{arch}")],
            Self::IntegrationTest => vec![format!("integration-test-linux-{arch}")],
            Self::Installer => vec!["installer-base".to_owned(), "imager".to_owned()],
        }
    }

    /// The words of the Makefile that build it; none if a round does not.
    pub(super) fn words(self, arch: &str) -> Vec<String> {
        match self {
            Self::Policy => [
                "local-selinux-generate".to_owned(),
                format!("DEST=./{POLICY_PARENT}"),
                "PLATFORM=linux/amd64".to_owned(),
            ]
            .into(),
            Self::Initramfs => vec!["initramfs".to_owned()],
            Self::Talosctl => vec![format!("talosctl-linux-{arch}")],
            Self::IntegrationTest => vec![format!("_out/integration-test-linux-{arch}")],
            Self::Installer => Vec::new(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Policy => "SELinux policy",
            Self::Initramfs => "initramfs",
            Self::Talosctl => "talosctl",
            Self::IntegrationTest => "integration test",
            Self::Installer => "installer",
        })
    }
}

/// The folder below which the stage of the policy is written.
const POLICY_PARENT: &str = "internal/pkg/selinux";
/// Where the compiled policy is.
pub(super) const POLICY: &str = "internal/pkg/selinux/policy";

/// What a target is made of.
#[derive(Debug, Clone, Default)]
pub(super) struct Parts {
    /// By the name of the program.
    pub(super) programs: BTreeMap<String, Closure>,
    /// Paths of the checkout, with the stage that copies each.
    pub(super) copied: Vec<(Pattern, String)>,
}

/// What changed paths need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) targets: BTreeSet<Target>,
    pub(super) why: String,
}

/// Files that decide how everything is built.
const RECIPES: [&str; 2] = ["Dockerfile", "Makefile"];

/// Extensions of what the Go compiler reads in the folder of a package.
const COMPILED: [&str; 6] = ["go", "s", "S", "c", "h", "syso"];

/// Decides for all paths.
pub(super) fn decide(parts: &BTreeMap<Target, Parts>, changed: &BTreeSet<Utf8PathBuf>) -> Decision {
    let mut targets = BTreeSet::new();
    // The first reason of the most important target.
    let mut reasons: Vec<(BTreeSet<Target>, String)> = Vec::new();
    for path in changed {
        let found = of_path(parts, path);
        if !found.is_empty() {
            targets.extend(found.keys());
            let names: BTreeSet<Target> = found.keys().copied().collect();
            let reason = found.into_values().next().unwrap_or_default();
            reasons.push((names, format!("{path} {reason}")));
        }
    }
    let is_first = |(names, _): &&(BTreeSet<Target>, String)| names.first() == targets.first();
    let Some((_, reason)) = reasons.iter().find(is_first) else {
        let why = nothing(changed);
        return Decision { targets, why };
    };
    let others = changed.len() - 1;
    let more = if others > 0 {
        format!(", and {} changed", counted(others as u64, "other file"))
    } else {
        String::new()
    };
    let why = format!("{reason}{more}: {}", names(&targets));
    Decision { targets, why }
}

pub(super) fn names(targets: &BTreeSet<Target>) -> String {
    let names: Vec<String> = targets.iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// Each target that is made of the path, and why.
fn of_path(parts: &BTreeMap<Target, Parts>, path: &Utf8Path) -> BTreeMap<Target, String> {
    let mut found = BTreeMap::new();
    for (target, parts) in parts {
        // The compiled policy is what that target makes.
        let is_made = *target == Target::Policy && path.parent() == Some(Utf8Path::new(POLICY));
        if is_made {
            continue;
        }
        if let Some(reason) = reason(parts, path) {
            found.insert(*target, reason);
        }
    }
    if RECIPES.contains(&path.as_str()) {
        for target in [Target::Initramfs, Target::Talosctl] {
            let why = || "decides how everything is built".to_owned();
            if parts.contains_key(&target) {
                found.entry(target).or_insert_with(why);
            }
        }
    }
    // Tests are built when they are run, and an installer when one is wanted.
    if found.contains_key(&Target::Initramfs) || found.contains_key(&Target::Talosctl) {
        found.remove(&Target::IntegrationTest);
        found.remove(&Target::Installer);
    }
    found
}

fn reason(parts: &Parts, path: &Utf8Path) -> Option<String> {
    for (name, program) in &parts.programs {
        let folder = path.parent().unwrap_or(Utf8Path::new(""));
        let is_test = path.as_str().ends_with("_test.go");
        let is_compiled = path.extension().is_some_and(|it| COMPILED.contains(&it));
        let is_in = if is_test {
            program.tests.as_deref() == Some(folder)
        } else {
            is_compiled && is_for_linux(path) && program.folders.contains(folder)
        };
        if is_in {
            return Some(format!("is in {name}"));
        }
        if program.embedded.contains(path) {
            return Some(format!("is embedded in {name}"));
        }
    }
    let mut copied = parts.copied.iter();
    let found = copied.find(|(pattern, _)| covers(pattern, path));
    found.map(|(_, stage)| format!("is copied by the stage {stage}"))
}

/// Whether Go may compile the file for Linux, by its name.
fn is_for_linux(path: &Utf8Path) -> bool {
    let stem = path.file_stem().unwrap_or_default();
    let others = ["_windows", "_darwin", "_freebsd"];
    !others.iter().any(|suffix| stem.ends_with(suffix))
}

/// Whether the pattern is of the path or of a folder above it.
fn covers(pattern: &Pattern, path: &Utf8Path) -> bool {
    let options = MatchOptions {
        require_literal_separator: true,
        ..MatchOptions::default()
    };
    path.ancestors()
        .any(|path| pattern.matches_with(path.as_str(), options))
}

fn nothing(changed: &BTreeSet<Utf8PathBuf>) -> String {
    let named = |is: fn(&Utf8PathBuf) -> bool| changed.iter().all(is);
    let first = changed.first().map_or("", |path| path.as_str());
    let what = if named(|path| path.as_str().ends_with("_test.go")) {
        "is part of unit tests only"
    } else if named(|path| path.extension() == Some("md")) {
        "is documentation"
    } else {
        "is in no program of a node"
    };
    let more = match changed.len().saturating_sub(1) {
        0 => String::new(),
        more => format!(" ({} more)", counted(more as u64, "file")),
    };
    format!("{first} {what}{more}: nothing to boot")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(folders: &[&str], embedded: &[&str]) -> Closure {
        Closure {
            folders: folders.iter().map(Utf8PathBuf::from).collect(),
            embedded: embedded.iter().map(Utf8PathBuf::from).collect(),
            tests: None,
        }
    }

    fn parts() -> BTreeMap<Target, Parts> {
        let copied = |path: &str, stage: &str| (Pattern::new(path).unwrap(), stage.to_owned());
        let machined = program(
            &["internal/app/machined", "pkg/machinery/constants"],
            &["internal/pkg/selinux/policy/policy.33"],
        );
        let init = program(&["internal/app/init"], &[]);
        let talosctl = program(&["cmd/talosctl", "pkg/machinery/constants"], &[]);
        let test = Closure {
            tests: Some("internal/integration".into()),
            ..program(
                &["internal/integration/api", "pkg/machinery/constants"],
                &[],
            )
        };
        let installer = program(&["cmd/installer", "internal/app/machined"], &[]);
        let of = |name: &str, closure, copied| Parts {
            programs: BTreeMap::from([(name.to_owned(), closure)]),
            copied,
        };
        let go = || copied("go.mod", "build-go");
        let mut initramfs = of(
            "machined",
            machined,
            vec![copied("hack/udevd/*.rules", "rootfs"), go()],
        );
        initramfs.programs.insert("init".to_owned(), init);
        BTreeMap::from([
            (
                Target::Policy,
                Parts {
                    copied: vec![copied("internal/pkg/selinux/policy/selinux", "selinux")],
                    ..Parts::default()
                },
            ),
            (Target::Initramfs, initramfs),
            (Target::Talosctl, of("talosctl", talosctl, vec![go()])),
            (Target::IntegrationTest, of("integration", test, vec![go()])),
            (
                Target::Installer,
                of(
                    "installer",
                    installer,
                    vec![copied("hack/extra-modules.conf", "imager"), go()],
                ),
            ),
        ])
    }

    fn decided(paths: &[&str]) -> (Vec<Target>, String) {
        let changed = paths.iter().map(Utf8PathBuf::from).collect();
        let decision = decide(&parts(), &changed);
        (decision.targets.into_iter().collect(), decision.why)
    }

    #[test]
    fn an_edit_needs_what_is_made_of_it() {
        use Target::{Initramfs, Installer, IntegrationTest, Policy, Talosctl};
        let cases: [(&[&str], &[Target], &str); 16] = [
            (
                &["internal/app/machined/main.go"],
                &[Initramfs],
                "internal/app/machined/main.go is in machined: initramfs",
            ),
            (
                &["internal/app/init/main.go", "README.md"],
                &[Initramfs],
                "internal/app/init/main.go is in init, and 1 other file changed: initramfs",
            ),
            (
                &["pkg/machinery/constants/constants.go"],
                &[Initramfs, Talosctl],
                "pkg/machinery/constants/constants.go is in machined: initramfs, talosctl",
            ),
            (
                &["cmd/talosctl/main.go"],
                &[Talosctl],
                "cmd/talosctl/main.go is in talosctl: talosctl",
            ),
            (
                &["cmd/talosctl/main_windows.go"],
                &[],
                "cmd/talosctl/main_windows.go is in no program of a node: nothing to boot",
            ),
            (
                &["hack/udevd/99-talos.rules"],
                &[Initramfs],
                "hack/udevd/99-talos.rules is copied by the stage rootfs: initramfs",
            ),
            (
                &["hack/udevd/README"],
                &[],
                "hack/udevd/README is in no program of a node: nothing to boot",
            ),
            (
                &["internal/pkg/selinux/policy/selinux/services/a.cil"],
                &[Policy],
                "internal/pkg/selinux/policy/selinux/services/a.cil is copied by the stage selinux: SELinux policy",
            ),
            (
                &["internal/pkg/selinux/policy/policy.33"],
                &[Initramfs],
                "internal/pkg/selinux/policy/policy.33 is embedded in machined: initramfs",
            ),
            (
                &["internal/integration/x_test.go"],
                &[IntegrationTest],
                "internal/integration/x_test.go is in integration: integration test",
            ),
            (
                &["internal/integration/api/y.go"],
                &[IntegrationTest],
                "internal/integration/api/y.go is in integration: integration test",
            ),
            (
                &["cmd/installer/main.go"],
                &[Installer],
                "cmd/installer/main.go is in installer: installer",
            ),
            (
                &["hack/extra-modules.conf"],
                &[Installer],
                "hack/extra-modules.conf is copied by the stage imager: installer",
            ),
            (
                &["go.mod"],
                &[Initramfs, Talosctl],
                "go.mod is copied by the stage build-go: initramfs, talosctl",
            ),
            (
                &["Dockerfile"],
                &[Initramfs, Talosctl],
                "Dockerfile decides how everything is built: initramfs, talosctl",
            ),
            (
                &["internal/app/machined/main_test.go"],
                &[],
                "internal/app/machined/main_test.go is part of unit tests only: nothing to boot",
            ),
        ];
        for (paths, targets, why) in cases {
            assert_eq!(decided(paths), (targets.to_vec(), why.to_owned()));
        }
    }

    #[test]
    fn the_reason_is_of_what_is_made_first() {
        let (targets, why) = decided(&["cmd/talosctl/main.go", "internal/app/machined/x.go"]);
        assert_eq!(targets, [Target::Initramfs, Target::Talosctl]);
        let expected = "internal/app/machined/x.go is in machined, and 1 other file changed: initramfs, talosctl";
        assert_eq!(why, expected);
        let (targets, why) = decided(&["docs/a.md", "docs/b.md"]);
        assert!(targets.is_empty());
        assert_eq!(
            why,
            "docs/a.md is documentation (1 file more): nothing to boot"
        );
    }
}

//! The version type, and every fact that depends on it.
//!
//! [`TalosVersion`] is parsed from the output of `git describe`, a git tag or an image
//! tag. Facts are methods, grouped by file: cluster verbs and flags, firmware, build,
//! debug ports. Each names the Talos commit that made the change. They depend on the
//! version *line* (major.minor): an early pre-release counts as its line, because `git
//! describe` does not say which commits of the line it contains.
//!
//! Must not: look at a checkout, an environment or a talosctl.

mod airgap;
mod build;
mod cluster;
mod debug;
mod extensions;
mod firmware;
mod parse;
#[cfg(test)]
mod recorded_help;

pub use build::{InstallerFlow, LOCAL_REGISTRY_PORT, RegistryProxy};
pub use cluster::{CNI_PLUGINS, HelperNetwork, minimum_memory_mib};
pub use debug::PprofPort;
pub use firmware::{Arch, Firmware};
pub use parse::VersionError;

use std::cmp::Ordering;
use std::fmt;

/// Oldest and newest line whose facts are known. For a new line, read the facts of
/// every method from its sources, then raise the second here and in
/// docs/talos-facts.md.
const KNOWN: (Line, Line) = (Line::new(1, 9), Line::new(1, 15));

/// A version line: `1.12` of `v1.12.3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line {
    pub major: u64,
    pub minor: u64,
}

impl Line {
    pub const fn new(major: u64, minor: u64) -> Self {
        Self { major, minor }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Whether the facts of a version are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// One of the known lines: every fact was read from that line's sources.
    Known,
    /// Older than all known lines: answered as the oldest, likely wrong. Callers should refuse.
    TooOld { oldest: Line },
    /// Newer than all known lines: answered as the newest. Callers should warn.
    Newer { newest: Line },
}

/// A Talos version, as a tag or `git describe` gives it.
///
/// Ordered as semver orders releases and pre-releases, then by commits since
/// the tag. Build identity (`sha`, `dirty`) does not take part in the order but
/// does in equality, so only `cmp` of otherwise equal versions looks at it last.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TalosVersion {
    release: semver::Version,
    commits: u32,
    sha: Option<String>,
    dirty: bool,
}

impl TalosVersion {
    /// The first tag of the newest known line, for callers without a checkout and
    /// without a talosctl to ask.
    pub fn newest() -> Self {
        let (_, newest) = KNOWN;
        let mut release = semver::Version::new(newest.major, newest.minor, 0);
        release.pre = semver::Prerelease::new("alpha.0").unwrap_or_default();
        Self {
            release,
            commits: 0,
            sha: None,
            dirty: false,
        }
    }

    /// A release: `v1.13.0`.
    pub const fn release(major: u64, minor: u64, patch: u64) -> Self {
        Self {
            release: semver::Version::new(major, minor, patch),
            commits: 0,
            sha: None,
            dirty: false,
        }
    }

    /// The version line; every fact depends on it alone.
    pub fn line(&self) -> Line {
        Line::new(self.release.major, self.release.minor)
    }

    /// The tag without `git describe`'s suffix: `v1.14.0-beta.1`.
    pub fn tag(&self) -> String {
        format!("v{}", self.release)
    }

    /// The machine configuration contract in the form of `--talos-version`: `v1.12`.
    ///
    /// On main this lags: without a v1.15 tag `git describe` still prints v1.14
    /// (docs/talos-facts.md#versions), so callers that know better pass
    /// `v1.15.0-alpha.0`.
    pub fn contract(&self) -> String {
        format!("v{}", self.line())
    }

    /// Commits since the tag, 0 on the tag itself.
    pub fn commits(&self) -> u32 {
        self.commits
    }

    /// Abbreviated commit of a `git describe` with commits after the tag, without its `g`.
    pub fn sha(&self) -> Option<&str> {
        self.sha.as_deref()
    }

    /// Whether the work tree had uncommitted changes.
    pub fn dirty(&self) -> bool {
        self.dirty
    }

    /// True when this is exactly a tag: no commits after it, nothing uncommitted.
    pub fn is_tagged(&self) -> bool {
        self.commits == 0 && !self.dirty
    }

    /// Whether this version's facts are known.
    pub fn support(&self) -> Support {
        let (oldest, newest) = KNOWN;
        match self.line() {
            line if line < oldest => Support::TooOld { oldest },
            line if line > newest => Support::Newer { newest },
            _ => Support::Known,
        }
    }

    /// True from `1.minor` on. Facts compare versions only through this method.
    fn since(&self, minor: u64) -> bool {
        self.line() >= Line::new(1, minor)
    }
}

impl Ord for TalosVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        self.release
            .cmp(&other.release)
            .then_with(|| self.commits.cmp(&other.commits))
            .then_with(|| self.dirty.cmp(&other.dirty))
            .then_with(|| self.sha.cmp(&other.sha))
    }
}

impl PartialOrd for TalosVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for TalosVersion {
    /// Formats like `git describe --tag --always --dirty`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.release)?;
        if let Some(sha) = &self.sha {
            write!(f, "-{}-g{sha}", self.commits)?;
        }
        if self.dirty {
            f.write_str("-dirty")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(text: &str) -> TalosVersion {
        TalosVersion::parse(text).unwrap()
    }

    #[test]
    fn order_follows_git_history() {
        let ordered = [
            "v1.9.6",
            "v1.12.0-alpha.2",
            "v1.12.0-beta.0",
            "v1.12.0-rc.1",
            "v1.12.0",
            "v1.12.0-3-gabcdef0",
            "v1.12.0-3-gabcdef0-dirty",
            "v1.12.11",
            "v1.14.0-beta.1-84-gad8823176",
            "v1.15.0-alpha.0",
        ];
        let mut shuffled: Vec<_> = ordered.iter().rev().map(|t| v(t)).collect();
        shuffled.sort();
        assert_eq!(
            shuffled.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ordered
        );
    }

    #[test]
    fn ten_alphas_sort_as_numbers() {
        assert!(v("v1.14.0-alpha.10") > v("v1.14.0-alpha.9"));
    }

    #[test]
    fn contract_and_tag() {
        let dev = v("v1.14.0-beta.1-84-gad8823176-dirty");
        assert_eq!(dev.contract(), "v1.14");
        assert_eq!(dev.tag(), "v1.14.0-beta.1");
        assert_eq!(
            (dev.commits(), dev.sha(), dev.dirty()),
            (84, Some("ad8823176"), true)
        );
        assert!(!dev.is_tagged());
    }

    #[test]
    fn support_says_which_side() {
        assert_eq!(
            v("v1.8.4").support(),
            Support::TooOld {
                oldest: Line::new(1, 9)
            }
        );
        assert_eq!(v("v1.9.0").support(), Support::Known);
        assert_eq!(v("v1.15.0-alpha.0").support(), Support::Known);
        assert_eq!(
            v("v1.16.0").support(),
            Support::Newer {
                newest: Line::new(1, 15)
            }
        );
        assert_eq!(
            v("v2.0.0").support(),
            Support::Newer {
                newest: Line::new(1, 15)
            }
        );
    }

    #[test]
    fn the_newest_line_is_the_one_that_the_facts_page_ends_with() {
        let newest = TalosVersion::newest();
        assert_eq!(v(&newest.to_string()), newest);
        assert_eq!(newest.support(), Support::Known);
        let (oldest, newest) = KNOWN;
        let before = newest.minor - 1;
        let lines = format!("lines {oldest} to 1.{before} and main ({newest} development)");
        let facts = include_str!("../../../../docs/talos-facts.md").replace('\n', " ");
        assert!(
            facts.contains(&lines),
            "docs/talos-facts.md has no `{lines}`"
        );
    }

    #[test]
    fn a_newer_line_is_answered_as_the_newest() {
        assert_eq!(v("v2.1.0").create_args(), v("v1.15.0").create_args());
    }
}

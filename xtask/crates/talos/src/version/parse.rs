//! Parses a version in the forms that Talos tools write.

use super::TalosVersion;

/// Why a text is not a Talos version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// `git describe --always` without a tag in reach prints the bare commit:
    /// the checkout was cloned without tags.
    #[error("`{text}` is a bare commit: the checkout has no version tag in reach")]
    BareCommit { text: String },
    #[error("`{text}` is not a Talos version: {reason}")]
    Malformed { text: String, reason: String },
}

impl TalosVersion {
    /// Parses `v1.14.0-beta.1-84-gad8823176-dirty` and its shorter forms:
    /// `v1.12.3`, `1.12.0`, `v1.12` (patch 0). Blanks around it are dropped.
    ///
    /// # Errors
    /// [`VersionError::BareCommit`] for a commit id, else the problem.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        let text = text.trim();
        let bare = text.strip_suffix("-dirty").unwrap_or(text);
        let dirty = bare.len() != text.len();
        let (core, commits, sha) = split_describe(bare);
        let core = core.strip_prefix('v').unwrap_or(core);
        let core = with_patch(core);
        match semver::Version::parse(&core) {
            Ok(release) => Ok(Self {
                release,
                commits,
                sha: sha.map(str::to_owned),
                dirty,
            }),
            Err(_) if is_commit(bare) => Err(VersionError::BareCommit {
                text: text.to_owned(),
            }),
            Err(error) => Err(VersionError::Malformed {
                text: text.to_owned(),
                reason: error.to_string(),
            }),
        }
    }
}

impl std::str::FromStr for TalosVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// Splits `TAG-COMMITS-gSHA`; a text without that suffix is a tag.
fn split_describe(text: &str) -> (&str, u32, Option<&str>) {
    let tail = || {
        let (rest, sha) = text.rsplit_once("-g")?;
        let (tag, commits) = rest.rsplit_once('-')?;
        is_commit(sha).then_some((tag, commits.parse().ok()?, Some(sha)))
    };
    tail().unwrap_or((text, 0, None))
}

/// git abbreviates to at least four characters.
fn is_commit(text: &str) -> bool {
    (4..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// `1.12` and `1.12-alpha.1` name a line; semver wants all three numbers.
fn with_patch(core: &str) -> String {
    let (numbers, pre) = core
        .split_once('-')
        .map_or((core, None), |(n, p)| (n, Some(p)));
    let patch = if numbers.matches('.').count() == 1 {
        ".0"
    } else {
        ""
    };
    match pre {
        Some(pre) => format!("{numbers}{patch}-{pre}"),
        None => format!("{numbers}{patch}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::Line;
    use proptest::prelude::*;
    use std::fmt::Write;

    #[test]
    fn the_usual_spellings() {
        for (text, shown) in [
            ("v1.12.0", "v1.12.0"),
            ("1.12.0", "v1.12.0"),
            (" v1.12\n", "v1.12.0"),
            ("v1.14.0-beta.1", "v1.14.0-beta.1"),
            ("v1.14.0-beta.1-dirty", "v1.14.0-beta.1-dirty"),
            (
                "v1.14.0-beta.1-84-gad8823176",
                "v1.14.0-beta.1-84-gad8823176",
            ),
            ("v1.12.3-0-gabcd", "v1.12.3-0-gabcd"),
            ("v1.12-alpha.1", "v1.12.0-alpha.1"),
        ] {
            assert_eq!(TalosVersion::parse(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_version() {
        assert!(matches!(
            TalosVersion::parse("ad8823176"),
            Err(VersionError::BareCommit { .. })
        ));
        assert!(matches!(
            TalosVersion::parse("ad8823176-dirty"),
            Err(VersionError::BareCommit { .. })
        ));
        for text in [
            "",
            "latest",
            "v1",
            "v1.x.0",
            "v1.12.0.1",
            "vv1.2.3",
            "v1.12.0-",
        ] {
            let error = TalosVersion::parse(text).unwrap_err();
            assert!(
                matches!(error, VersionError::Malformed { .. }),
                "{text}: {error}"
            );
        }
    }

    proptest! {
        #[test]
        fn display_round_trips(
            minor in 9u64..30, patch in 0u64..20,
            pre in proptest::option::of("(alpha|beta|rc)\\.[0-9]{1,2}"),
            describe in proptest::option::of((1u32..999, "[0-9a-f]{7,12}")),
            dirty: bool,
        ) {
            let pre = pre.filter(|p| !p.contains(".0") || p.ends_with(".0"));
            let mut text = format!("v1.{minor}.{patch}");
            if let Some(pre) = pre { let _ = write!(text, "-{pre}"); }
            if let Some((n, sha)) = describe { let _ = write!(text, "-{n}-g{sha}"); }
            if dirty { text += "-dirty"; }
            let version = TalosVersion::parse(&text).unwrap();
            prop_assert_eq!(version.line(), Line::new(1, minor));
            prop_assert_eq!(version.to_string(), text);
        }

        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _ = TalosVersion::parse(&text);
        }
    }
}

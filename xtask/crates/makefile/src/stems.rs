//! Pattern rules: whether a target's name matches, and with which stem.

/// Returns the stem of `target` in `pattern`, like `$*`. A pattern without a
/// slash is compared with the name after the last slash, and the folder becomes
/// part of the stem (`pattern_search`).
pub(crate) fn stem(pattern: &str, target: &str) -> Option<Stem> {
    let (before, after) = pattern.split_once('%')?;
    let folder = match target.rfind('/') {
        Some(slash) if !pattern.contains('/') => &target[..=slash],
        _ => "",
    };
    let name = &target[folder.len()..];
    let rest = name.strip_prefix(before)?.strip_suffix(after)?;
    (!rest.is_empty()).then(|| Stem {
        folder: folder.to_owned(),
        rest: rest.to_owned(),
    })
}

/// The text that matched `%`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stem {
    folder: String,
    rest: String,
}

impl Stem {
    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.folder, self.rest)
    }

    /// The shortest stem wins.
    pub(crate) fn length(&self) -> usize {
        self.rest.len()
    }

    /// Replaces `%` of a prerequisite; the folder precedes the whole name.
    pub(crate) fn fill(&self, prerequisite: &str) -> String {
        match prerequisite.split_once('%') {
            Some((before, after)) => format!("{}{before}{}{after}", self.folder, self.rest),
            None => prerequisite.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_set_aside() {
        let of = |pattern, target| stem(pattern, target).map(|stem| stem.text());
        assert_eq!(of("target-%", "target-a-b"), Some("a-b".into()));
        assert_eq!(of("target-%", "target-"), None);
        assert_eq!(of("local-%", "_out/local-x"), Some("_out/x".into()));
        assert_eq!(of("_out//%", "_out//vmlinuz"), Some("vmlinuz".into()));
        assert_eq!(stem("a-%", "d/a-x").unwrap().fill("b-%"), "d/b-x");
    }
}

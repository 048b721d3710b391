//! Upstream's lists of files that extensions share on purpose: `hack/test/exceptions-ARCH.yaml` of a checkout of extensions.

use std::collections::BTreeSet;

use serde::Deserialize;
use talos::yaml;

/// Files that some extensions have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    architecture: String,
    /// Names of extensions.
    images: BTreeSet<String>,
    /// Patterns of paths in the image, with `*` within a name.
    files: Vec<String>,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    images: Vec<String>,
    #[serde(default)]
    files: Vec<String>,
}

impl Exception {
    /// Parses the list for an architecture (`amd64`).
    ///
    /// # Errors
    /// If it is not a list of images and files.
    pub fn parse(text: &str, architecture: &str) -> Result<Vec<Self>, String> {
        let listed: Vec<Listed> = yaml::from_str(text).map_err(|error| error.to_string())?;
        let name = |image: &String| {
            let name = image.rsplit('/').next().unwrap_or_default();
            name.split([':', '@']).next().unwrap_or_default().to_owned()
        };
        let exception = |listed: Listed| Self {
            architecture: architecture.to_owned(),
            images: listed.images.iter().map(name).collect(),
            files: listed.files,
        };
        Ok(listed.into_iter().map(exception).collect())
    }

    pub(crate) fn covers(&self, architecture: &str, images: [&str; 2], path: &str) -> bool {
        (architecture.is_empty() || architecture == self.architecture)
            && images.iter().all(|image| self.images.contains(*image))
            && self.files.iter().any(|pattern| matches(pattern, path))
    }
}

fn matches(pattern: &str, path: &str) -> bool {
    let (patterns, parts) = (pattern.split('/'), path.split('/'));
    patterns.clone().count() == parts.clone().count()
        && patterns
            .zip(parts)
            .all(|(pattern, part)| is_like(pattern, part))
}

/// One name, with `*` for any part of it.
fn is_like(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    name.strip_prefix(start).is_some_and(|name| {
        let ends = (0..=name.len()).filter(|at| name.is_char_boundary(*at));
        ends.into_iter().any(|at| is_like(rest, &name[at..]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_images_and_files() {
        let text = "- images:\n    - registry.example.com/s/a\n    - registry.example.com:5000/s/b:v1\n  files:\n    - rootfs/usr/lib/modules/*/kernel/snd.ko\n    - rootfs/etc/ld.so.cache\n";
        let [list] = &Exception::parse(text, "amd64").unwrap()[..] else {
            panic!("one exception");
        };
        let snd = "rootfs/usr/lib/modules/6.18.1-talos/kernel/snd.ko";
        assert!(list.covers("amd64", ["a", "b"], snd));
        assert!(list.covers("", ["b", "a"], "rootfs/etc/ld.so.cache"));
        assert!(!list.covers("arm64", ["a", "b"], snd));
        assert!(!list.covers("amd64", ["a", "c"], snd));
        assert!(!list.covers(
            "amd64",
            ["a", "b"],
            "rootfs/usr/lib/modules/x/y/kernel/snd.ko"
        ));
        Exception::parse("images: x", "amd64").unwrap_err();
    }

    #[test]
    fn a_star_is_any_part_of_a_name() {
        for (pattern, name, expected) in [
            ("a*c", "abc", true),
            ("*", "", true),
            ("*.ko", "x.ko.xz", false),
            ("a*b*c", "aXbYbc", true),
            ("ä*", "ä", true),
        ] {
            assert_eq!(is_like(pattern, name), expected, "{pattern} {name}");
        }
    }
}

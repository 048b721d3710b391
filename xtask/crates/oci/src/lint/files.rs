//! The files of an image by path, and where links lead.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ops::Bound;

use crate::entry::{Kind, clean};
use crate::module::Program;

/// Links followed before it is a loop, as Linux does.
const MOST_LINKS: usize = 40;

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) size: u64,
    pub(crate) capabilities: bool,
    /// Of a file that may be executed, below the folder of services.
    pub(crate) program: Option<Program>,
    /// Of a file, if the image is one of several.
    pub(crate) hash: Option<[u8; 32]>,
}

impl Node {
    pub(crate) fn is_dir(&self) -> bool {
        self.kind == Kind::Directory
    }
}

pub(crate) type Files = BTreeMap<String, Node>;

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// The path without links.
    At(String),
    /// The part that does not exist.
    Missing(String),
    /// An absolute link, out of the tree.
    Outside(String),
    Loop,
}

/// What absolute links are below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root<'a> {
    /// Another file system, as in the imager, which does not change its root.
    Elsewhere,
    /// This folder, as on the node or in a container.
    At(&'a str),
}

/// Resolves `path`; a path in `gone` does not exist any more.
pub(crate) fn resolve(files: &Files, path: &str, root: Root<'_>, gone: &BTreeSet<String>) -> Found {
    let mut left: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
    let mut at = String::new();
    let top = match root {
        Root::At(top) => top,
        Root::Elsewhere => "",
    };
    let mut links = 0;
    while let Some(part) = left.pop() {
        match part.as_str() {
            "" | "." => continue,
            ".." => {
                // The root is its own parent.
                if at != top {
                    at.truncate(at.rfind('/').unwrap_or(0));
                }
                continue;
            }
            _ => {}
        }
        let next = if at.is_empty() {
            part
        } else {
            format!("{at}/{part}")
        };
        if gone.contains(&next) {
            return Found::Missing(next);
        }
        match files.get(&next).map(|node| &node.kind) {
            // Layers need not have an entry for each folder.
            None if has_below(files, &next) => at = next,
            None => return Found::Missing(next),
            Some(Kind::Symlink(to)) => {
                links += 1;
                if links > MOST_LINKS {
                    return Found::Loop;
                }
                if to.starts_with('/') {
                    match root {
                        Root::Elsewhere => return Found::Outside(to.clone()),
                        Root::At(top) => top.clone_into(&mut at),
                    }
                }
                left.extend(to.split('/').rev().map(str::to_owned));
            }
            Some(_) => at = next,
        }
    }
    Found::At(at)
}

fn has_below(files: &Files, folder: &str) -> bool {
    let start = format!("{folder}/");
    let mut below = files.range::<str, _>((Bound::Included(start.as_str()), Bound::Unbounded));
    below
        .next()
        .is_some_and(|(path, _)| path.starts_with(&start))
}

/// Names directly below a folder, sorted as bytes.
pub(crate) fn names_in<'a>(files: &'a Files, folder: &str) -> Vec<&'a str> {
    let start = format!("{folder}/");
    let from = (Bound::Included(start.as_str()), Bound::Unbounded);
    let mut names: Vec<&str> = files
        .range::<str, _>(from)
        .take_while(|(path, _)| path.starts_with(&start))
        .filter_map(|(path, _)| path[start.len()..].split('/').next())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// All paths below a folder.
pub(crate) fn below<'a>(
    files: &'a Files,
    folder: &str,
) -> impl Iterator<Item = (&'a str, &'a Node)> + use<'a> {
    let start = format!("{folder}/");
    files
        .range::<str, _>((Bound::Included(start.as_str()), Bound::Unbounded))
        .take_while({
            let start = start.clone();
            move |(path, _)| path.starts_with(&start)
        })
        .map(|(path, node)| (path.as_str(), node))
}

/// The path of a link's target from the top of the tree, for messages.
pub(crate) fn target(path: &str, to: &str) -> String {
    if to.starts_with('/') {
        return to.to_owned();
    }
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    clean(&format!("{folder}/{to}")).0
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn tree(paths: &[(&str, Kind)]) -> Files {
        let node = |kind: &Kind| Node {
            kind: kind.clone(),
            mode: 0o755,
            uid: 0,
            gid: 0,
            size: 0,
            capabilities: false,
            program: None,
            hash: None,
        };
        let all = paths
            .iter()
            .map(|(path, kind)| ((*path).to_owned(), node(kind)));
        all.collect()
    }

    #[test]
    fn links_lead_where_linux_leads() {
        let to = |to: &str| Kind::Symlink(to.to_owned());
        let files = tree(&[
            ("r/bin", to("usr/bin")),
            ("r/usr/bin/sh", to("/bin/busybox")),
            ("r/usr/bin/busybox", Kind::File),
            ("r/up", to("../../../../usr/bin/busybox")),
            ("r/a", to("b")),
            ("r/b", to("a")),
            ("r/x", to("usr/nothing")),
        ]);
        let none = BTreeSet::new();
        let inside = |path: &str| resolve(&files, path, Root::At("r"), &none);
        let busybox = Found::At("r/usr/bin/busybox".into());
        assert_eq!(inside("r/bin/sh"), busybox);
        assert_eq!(inside("r/up"), busybox);
        assert_eq!(inside("r/a"), Found::Loop);
        assert_eq!(inside("r/x"), Found::Missing("r/usr/nothing".into()));
        let imager = |path: &str| resolve(&files, path, Root::Elsewhere, &none);
        assert_eq!(imager("r/bin/sh"), Found::Outside("/bin/busybox".into()));
        let gone = BTreeSet::from(["r/usr/bin/busybox".to_owned()]);
        assert!(matches!(
            resolve(&files, "r/bin/sh", Root::At("r"), &gone),
            Found::Missing(_)
        ));
        assert_eq!(names_in(&files, "r"), ["a", "b", "bin", "up", "usr", "x"]);
        assert_eq!(below(&files, "r/usr").count(), 2);
        assert_eq!(target("r/usr/bin/sh", "../x"), "r/usr/x");
    }
}

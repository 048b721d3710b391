//! When nodes become ready: the observer follows their consoles. The times in a console
//! are those of the node's kernel, which does not know the date.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use talos::state::files::{NodeFile, StateFile, classify};

use crate::ctx::cluster::ConsoleFollower;
use crate::files;

/// The precision of the times.
pub(super) const LOOK: Duration = Duration::from_millis(200);

/// Consoles in the folders of one cluster.
#[derive(Debug)]
pub(super) struct Consoles {
    dirs: Vec<Utf8PathBuf>,
    /// With the place of the last boot that was reported.
    followed: BTreeMap<Utf8PathBuf, (ConsoleFollower, Option<u64>)>,
}

impl Consoles {
    pub(super) fn new(dirs: &[Utf8PathBuf]) -> Self {
        Self {
            dirs: dirs.to_vec(),
            followed: BTreeMap::new(),
        }
    }

    /// Returns the nodes that became ready since the last call, once for each boot. A
    /// node that was ready before the first call counts too.
    pub(super) fn became_ready(&mut self) -> Vec<String> {
        let found: BTreeMap<Utf8PathBuf, String> =
            self.dirs.iter().flat_map(|dir| consoles(dir)).collect();
        self.followed.retain(|path, _| found.contains_key(path));
        let mut ready = Vec::new();
        for (path, node) in found {
            let place = self.followed.entry(path.clone());
            let (follower, reported) =
                place.or_insert_with(|| (ConsoleFollower::from_start(&node, &path), None));
            follower.read();
            for boot in follower.boots() {
                if boot.ready.is_some() && reported.is_none_or(|reported| boot.offset > reported) {
                    *reported = Some(boot.offset);
                    ready.push(node.clone());
                }
            }
        }
        ready
    }
}

/// Paths of the consoles in a folder, with the names of the nodes.
fn consoles(dir: &Utf8Path) -> Vec<(Utf8PathBuf, String)> {
    let names = files::names_in(dir).unwrap_or_default();
    let console = |name: &String| match classify(name) {
        Some(StateFile::Node {
            node,
            file: NodeFile::Log,
        }) => Some((dir.join(name), node)),
        _ => None,
    };
    names.iter().filter_map(console).collect()
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "tests make their own small worlds"
)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;

    use super::*;

    #[test]
    fn each_boot_that_becomes_ready_is_reported_once() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let mut consoles = Consoles::new(&[dir.to_owned(), dir.join("none")]);
        assert!(consoles.became_ready().is_empty());
        let path = dir.join("t-worker-1.log");
        let append = |text: &str| {
            let mut options = OpenOptions::new();
            let mut file = options.create(true).append(true).open(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        append(
            "[    0.000000] Linux version 6.1.0\n[    5.000000] [talos] boot sequence: done: 3s\n",
        );
        assert!(consoles.became_ready().is_empty());
        append("[    6.000000] [talos] machine is running and ready\n");
        assert_eq!(consoles.became_ready(), ["t-worker-1"]);
        assert!(consoles.became_ready().is_empty());
        append("[    0.000000] Linux version 6.1.0\n");
        assert!(consoles.became_ready().is_empty());
        append("[    7.000000] [talos] machine is running and ready\n");
        assert_eq!(consoles.became_ready(), ["t-worker-1"]);
        std::fs::remove_file(&path).unwrap();
        assert!(consoles.became_ready().is_empty());
    }
}

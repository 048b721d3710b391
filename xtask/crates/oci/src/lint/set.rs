//! Extensions that are installed together: L17, L31, L32.

use std::collections::BTreeMap;

use crate::lint::files::{Files, Node};
use crate::lint::finding::{Finding, Findings};
use crate::lint::kernel::release_of;
use crate::lint::manifest;
use crate::lint::scan::{Scan, is_content, on_node};
use crate::lint::{Against, Exception};

/// From this number on, folders named 0, 1, 10, 11, 2 are not in the order of arguments.
const MOST_IN_ORDER: usize = 10;

/// The files of all images as the node has them, without the leading slash.
pub(crate) fn merged(set: &[&Scan]) -> Files {
    let mut files = Files::new();
    for scan in set {
        for (path, node) in &scan.files {
            if let Some(place) = on_node(path) {
                files.insert(place.trim_start_matches('/').to_owned(), node.clone());
            }
        }
    }
    files
}

/// As upstream's lists name extensions.
fn name_of(scan: &Scan) -> String {
    scan.target
        .clone()
        .or_else(|| manifest::name(scan))
        .unwrap_or_default()
}

pub(crate) fn check(set: &[&Scan], against: &Against, found: &mut Vec<Finding>) {
    if set.len() > MOST_IN_ORDER {
        let text = format!(
            "of {} extensions, the eleventh is put before the third",
            set.len()
        );
        found.warning(31, None, text);
    }
    let mut owners: BTreeMap<&str, Vec<(&Scan, &Node)>> = BTreeMap::new();
    for scan in set {
        for (path, node) in &scan.files {
            if on_node(path).is_some() && is_content(&node.kind) {
                owners.entry(path).or_default().push((scan, node));
            }
        }
    }
    let firmware = format!("rootfs/{}/", against.version.firmware_path());
    for (path, owners) in &owners {
        let differs = |pair: &&[(&Scan, &Node)]| {
            let [(_, a), (_, b)] = pair else { return false };
            a.kind != b.kind || a.hash != b.hash
        };
        // The imager writes its own lists of modules.
        let is_list = release_of(path).is_some_and(|(_, below)| below.starts_with("modules."));
        let Some([(first, a), (second, b)]) = owners.windows(2).find(differs) else {
            continue;
        };
        let shared = |exception: &Exception| {
            let names = [name_of(first), name_of(second)];
            exception.covers(first.architecture(), [&names[0], &names[1]], path)
        };
        if is_list || against.exceptions.iter().any(shared) {
            continue;
        }
        let (first, second) = (&first.name, &second.name);
        let text = format!("`{first}` and `{second}` have different files of this path");
        found.warning(17, Some(path), text);
        if path.starts_with(&firmware) && !against.version.imager_truncates() && b.size < a.size {
            let text = format!(
                "that of `{second}` is {} bytes shorter: the end of `{first}`'s stays in the file",
                a.size - b.size
            );
            found.error(32, Some(path), text);
        }
    }
}

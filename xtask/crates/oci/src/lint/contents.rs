//! Paths and attributes of an extension's files: L4 to L7, L10, L26, L28.

use crate::entry::Kind;
use crate::lint::Against;
use crate::lint::finding::{Finding, Findings};
use crate::lint::scan::{CONTAINERS, Scan, is_content, on_node};

const SET_ID: u32 = 0o6000;
const STICKY: u32 = 0o1000;

pub(crate) fn check(scan: &Scan, against: &Against, found: &mut Vec<Finding>) {
    let mut owned = 0;
    for (path, node) in &scan.files {
        let Some(place) = on_node(path) else { continue };
        if is_content(&node.kind) {
            allowed(path, place, against, found);
        }
        match &node.kind {
            Kind::Fifo | Kind::Device | Kind::Socket => {
                found.error(5, Some(path), "special files are not allowed");
            }
            Kind::HardLink(to) => {
                let text = format!("it is a hard link to `{to}` and becomes an empty file");
                found.error(10, Some(path), text);
            }
            _ => {}
        }
        let is_link = matches!(node.kind, Kind::Symlink(_) | Kind::HardLink(_));
        if !is_link && node.mode & 0o002 != 0 && !(node.is_dir() && node.mode & STICKY != 0) {
            let text = format!("every user may write it (mode {:04o})", node.mode);
            found.warning(6, Some(path), text);
        }
        if node.kind == Kind::File && node.mode & SET_ID != 0 {
            let text = format!("it runs as its owner or group (mode {:04o})", node.mode);
            found.note(26, Some(path), text);
        }
        if node.capabilities {
            found.warning(28, Some(path), "its file capabilities are lost");
        }
        if node.uid != 0 || node.gid != 0 {
            owned += 1;
            // A service that drops its rights may need them.
            if owned == 1 && place.starts_with(&CONTAINERS["rootfs".len()..]) {
                let text = format!("its owner {}:{} becomes 0:0", node.uid, node.gid);
                found.note(28, Some(path), text);
            }
        }
    }
}

fn allowed(path: &str, place: &str, against: &Against, found: &mut Vec<Finding>) {
    let version = &against.version;
    let beginning = against
        .allowed
        .iter()
        .find(|it| place.starts_with(it.as_str()));
    let Some(beginning) = beginning else {
        let text = format!(
            "path {place:?} is not allowed in extensions of Talos {}",
            version.contract()
        );
        found.error(4, Some(path), text);
        return;
    };
    let rest = &place[beginning.len()..];
    if !rest.is_empty() && !rest.starts_with('/') && !beginning.ends_with('/') {
        let text = format!("allowed only because it begins like `{beginning}`");
        found.warning(7, Some(path), text);
    }
}

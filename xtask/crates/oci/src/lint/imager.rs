//! What the imager does with an extension's tree, step by step: unpacking (L22), copying
//! modules (L19, L20) and moving firmware (L21).

use std::collections::BTreeSet;

use crate::entry::Kind;
use crate::lint::Against;
use crate::lint::files::{Found, Root, below, names_in, resolve, target};
use crate::lint::finding::{Finding, Findings};
use crate::lint::scan::Scan;

/// Depth at which a tree of links is taken for a loop.
const DEEPEST: usize = 64;

pub(crate) fn check(scan: &Scan, against: &Against, found: &mut Vec<Finding>) {
    unpack(scan, against, found);
    copy_modules(scan, against, found);
    let firmware = format!("rootfs/{}", against.version.firmware_path());
    if scan.files.keys().any(|path| path.starts_with(&firmware)) {
        let mut mover = Mover {
            scan,
            gone: BTreeSet::new(),
            found,
        };
        mover.move_path(&firmware, 0);
    }
}

fn unpack(scan: &Scan, against: &Against, found: &mut Vec<Finding>) {
    if !scan.has_layers() {
        return;
    }
    let Some(first) = scan.orphans.first() else {
        return;
    };
    let more = match scan.orphans.len() {
        1 => String::new(),
        many => format!(" (and {} more)", many - 1),
    };
    if !against.version.imager_makes_parents() {
        let text = format!("it comes before an entry of its folder{more}");
        found.error(22, Some(first), text);
        return;
    }
    let mut folders: BTreeSet<&str> = BTreeSet::new();
    for orphan in &scan.orphans {
        let mut path = orphan.as_str();
        while let Some((folder, _)) = path.rsplit_once('/') {
            if !scan.files.contains_key(folder) {
                folders.insert(folder);
            }
            path = folder;
        }
    }
    if let Some(folder) = folders.first() {
        let text = "no layer has an entry for it: it gets mode 0700, and only root enters it";
        found.warning(22, Some(folder), text);
    }
}

fn copy_modules(scan: &Scan, against: &Against, found: &mut Vec<Finding>) {
    let modules = format!("rootfs/{}", against.version.modules_path());
    let names = names_in(&scan.files, &modules);
    if names.is_empty() && !scan.files.contains_key(&modules) {
        return;
    }
    let is_folder = |name: &&&str| {
        let path = format!("{modules}/{name}");
        match scan.files.get(&path) {
            Some(node) => node.is_dir(),
            None => true,
        }
    };
    let releases: Vec<&str> = names.iter().filter(is_folder).copied().collect();
    if releases.is_empty() {
        found.error(19, Some(&modules), "it has no folder of a kernel release");
        return;
    }
    match against.release(scan) {
        Some(release) if releases.contains(&release) => {
            for other in releases.iter().filter(|it| **it != release) {
                let path = format!("{modules}/{other}");
                let text = format!("modules for another kernel than {release} are never loaded");
                found.warning(11, Some(&path), text);
            }
        }
        Some(release) => {
            let path = format!("{modules}/{}", releases[0]);
            let text = format!(
                "its modules are for {}, the kernel is {release}",
                releases.join(", ")
            );
            found.error(11, Some(&path), text);
        }
        None if releases.len() > 1 => {
            let text = format!("modules for several kernels: {}", releases.join(", "));
            found.warning(11, Some(&modules), text);
        }
        None => {}
    }
    for release in releases {
        let folder = format!("{modules}/{release}");
        for (path, node) in below(&scan.files, &folder) {
            if let Kind::Symlink(to) = &node.kind {
                copied_link(scan, path, to, found);
            }
        }
    }
}

/// The imager follows links while it copies.
fn copied_link(scan: &Scan, path: &str, to: &str, found: &mut Vec<Finding>) {
    match resolve(&scan.files, path, Root::Elsewhere, &BTreeSet::new()) {
        Found::At(real) if path.starts_with(&format!("{real}/")) => {
            found.error(
                20,
                Some(path),
                format!("it leads to `{to}`, which contains it"),
            );
        }
        Found::At(_) => {}
        Found::Loop => found.error(20, Some(path), "it leads to itself"),
        Found::Missing(_) | Found::Outside(_) => {
            let text = format!(
                "it leads to `{}`, which does not exist in the imager",
                target(path, to)
            );
            found.error(20, Some(path), text);
        }
    }
}

/// Moves files in the order of their names and follows links, as the imager does.
struct Mover<'a> {
    scan: &'a Scan,
    gone: BTreeSet<String>,
    found: &'a mut Vec<Finding>,
}

impl Mover<'_> {
    fn move_path(&mut self, path: &str, depth: usize) {
        let files = &self.scan.files;
        let link = match files.get(path).map(|node| &node.kind) {
            Some(Kind::Symlink(to)) => Some(to.clone()),
            _ => None,
        };
        let at = resolve(files, path, Root::Elsewhere, &self.gone);
        let to = link.as_ref().map(|to| target(path, to)).unwrap_or_default();
        match at {
            Found::At(real) => {
                let is_dir = files
                    .get(&real)
                    .is_none_or(crate::lint::files::Node::is_dir);
                if is_dir && depth < DEEPEST {
                    for name in names_in(files, &real) {
                        let child = format!("{real}/{name}");
                        if !self.gone.contains(&child) {
                            self.move_path(&child, depth + 1);
                        }
                    }
                } else if is_dir {
                    self.found
                        .error(21, Some(path), "its links lead in a circle");
                }
                self.gone.insert(path.to_owned());
            }
            Found::Missing(missing) if self.gone.contains(&missing) => {
                let text = format!("it leads to `{to}`, which is moved away before it");
                self.found.error(21, Some(path), text);
            }
            Found::Missing(_) | Found::Outside(_) => {
                let text = format!("it leads to `{to}`, which does not exist in the imager");
                self.found.error(21, Some(path), text);
            }
            Found::Loop => self.found.error(21, Some(path), "it leads to itself"),
        }
    }
}

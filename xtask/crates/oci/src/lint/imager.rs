//! What the imager does with an extension's tree, step by step: unpacking (L22, L38, L39),
//! copying modules (L19, L20, L35) and moving firmware (L21).

use std::collections::BTreeSet;

use crate::entry::Kind;
use crate::lint::Against;
use crate::lint::files::{Files, Found, Node, Root, below, names_in, resolve, target};
use crate::lint::finding::{Finding, Findings};
use crate::lint::scan::Scan;

/// Depth at which a tree of links is taken for a loop.
const DEEPEST: usize = 64;

pub(crate) fn check(scan: &Scan, against: &Against, found: &mut Vec<Finding>) {
    unpack(scan, against, found);
    copy_modules(scan, against, found);
    clashes(scan, against, found);
    let firmware = format!("rootfs/{}", against.version.firmware_path());
    let mut mover = Mover {
        scan,
        gone: BTreeSet::new(),
        found,
    };
    mover.take_microcode(&firmware);
    // A link to nothing is left as it is.
    if let Found::At(real) = resolve(&scan.files, &firmware, Root::Elsewhere, &BTreeSet::new()) {
        if is_folder(&scan.files, &real) {
            mover.move_path(&firmware, 0);
        } else {
            mover.found.error(21, Some(&firmware), "it is not a folder");
        }
    }
}

fn is_folder(files: &Files, real: &str) -> bool {
    files.get(real).is_none_or(Node::is_dir)
}

fn unpack(scan: &Scan, against: &Against, found: &mut Vec<Finding>) {
    if against.version.imager_drops_climbing_links() {
        for link in &scan.climbing_links {
            found.warning(39, Some(link), "the imager leaves it out");
        }
    }
    for folder in &scan.opaque {
        if against.version.imager_makes_parents() {
            let text = "not checked: what lower layers have in it is hidden";
            found.note(38, Some(folder), text);
        } else {
            let text = "what lower layers have in it should be hidden, and is not";
            found.warning(38, Some(folder), text);
        }
    }
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
    let none = BTreeSet::new();
    let is_release = |name: &&&str| {
        let path = format!("{modules}/{name}");
        match resolve(&scan.files, &path, Root::Elsewhere, &none) {
            Found::At(real) => is_folder(&scan.files, &real),
            _ => false,
        }
    };
    let releases: Vec<&str> = names.iter().filter(is_release).copied().collect();
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

/// Files are copied over those of the kernel.
fn clashes(scan: &Scan, against: &Against, found: &mut Vec<Finding>) {
    let Some(kernel) = against.kernel(scan) else {
        return;
    };
    let folder = format!(
        "rootfs/{}/{}",
        against.version.modules_path(),
        kernel.release
    );
    for (path, node) in below(&scan.files, &folder) {
        let is_dir = match &node.kind {
            Kind::Directory => true,
            Kind::Symlink(_) => {
                match resolve(&scan.files, path, Root::Elsewhere, &BTreeSet::new()) {
                    Found::At(real) => is_folder(&scan.files, &real),
                    _ => continue,
                }
            }
            _ => false,
        };
        let its_own = kernel.entries.get(&path[folder.len() + 1..]);
        if its_own.is_some_and(|other| *other != is_dir) {
            let (ours, other) = if is_dir {
                ("folder", "file")
            } else {
                ("file", "folder")
            };
            let text = format!("it is a {ours}, and the kernel has a {other} of this path");
            found.error(35, Some(path), text);
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
    /// Microcode is appended to a file of its own, before firmware is moved.
    fn take_microcode(&mut self, firmware: &str) {
        let intel = format!("{firmware}/intel-ucode");
        let amd = format!("{firmware}/amd-ucode");
        let is_amd = |name: &&str| {
            let rest = name.strip_prefix("microcode_amd");
            rest.is_some_and(|rest| rest.strip_suffix(".bin").is_some())
        };
        let files = &self.scan.files;
        let paths = names_in(files, &intel).into_iter();
        let paths = paths.map(|name| format!("{intel}/{name}")).chain(
            names_in(files, &amd)
                .into_iter()
                .filter(is_amd)
                .map(|name| format!("{amd}/{name}")),
        );
        for path in paths {
            match resolve(files, &path, Root::Elsewhere, &self.gone) {
                Found::At(real) if is_folder(files, &real) => {
                    let text = "it is a directory where the imager reads microcode";
                    self.found.error(21, Some(&path), text);
                }
                Found::At(_) => {}
                _ => {
                    let text = "it is a link to microcode that does not exist any more";
                    self.found.error(21, Some(&path), text);
                }
            }
            self.gone.insert(path);
        }
    }

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
                let is_dir = is_folder(files, &real);
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

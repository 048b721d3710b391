//! Kernel modules: L12, L13, L14, L25.

use std::collections::{BTreeMap, BTreeSet};

use crate::lint::Against;
use crate::lint::finding::{Finding, Findings};
use crate::lint::kernel::{Kernel, module_name, release_of};
use crate::lint::scan::{ModuleFile, Scan};
use crate::module::{Module, Signature};

/// Symbols or files named in one finding.
const SHOWN: usize = 5;
const COMPRESSED: [&str; 3] = [".ko.xz", ".ko.gz", ".ko.zst"];

pub(crate) fn check(scan: &Scan, against: &Against, found: &mut Vec<Finding>) {
    for path in scan.files.keys() {
        if COMPRESSED.iter().any(|end| path.ends_with(end)) && path.contains("lib/modules/") {
            found.warning(
                12,
                Some(path),
                "not checked: no kernel of Talos is built with compressed modules",
            );
        }
    }
    for file in &scan.modules {
        let path = Some(file.path.as_str());
        if !file.path.starts_with("rootfs/") {
            continue;
        }
        let module = match &file.module {
            Ok(module) => module,
            Err(error) => {
                found.error(12, path, error.to_string());
                continue;
            }
        };
        if !scan.arch.is_empty() && module.architecture != scan.arch {
            let text = format!(
                "it is for {}, the image for {}",
                module.architecture, scan.arch
            );
            found.error(12, path, text);
        }
        vermagic(file, module, against.kernel(scan), found);
        if let Some(kernel) = against.kernel(scan) {
            checksums(file, module, kernel, found);
        }
        match &file.signature {
            Err(error) => found.error(12, path, error.to_string()),
            Ok(signature) => key(file, signature, against.kernel(scan), found),
        }
        if let Some(kernel) = against.kernel(scan)
            && let Some((_, below)) = release_of(&file.path)
            && let Some(node) = scan.files.get(&file.path)
            && kernel
                .sizes
                .get(below)
                .is_some_and(|size| *size > node.size)
            && !against.version.imager_truncates()
        {
            let text = "the kernel image's file of this path is longer: depmod reads its end after this one";
            found.warning(32, path, text);
        }
        if let Some(kernel) = against.kernel(scan)
            && kernel.builtin.contains(&module_name(&file.path))
        {
            found.error(
                14,
                path,
                "the kernel has it built in, and nothing replaces that",
            );
        }
    }
    one_key(scan, found);
}

fn vermagic(file: &ModuleFile, module: &Module, kernel: Option<&Kernel>, found: &mut Vec<Finding>) {
    let path = Some(file.path.as_str());
    let release = module.vermagic.split(' ').next().unwrap_or_default();
    if let Some((folder, _)) = release_of(&file.path)
        && release != folder
    {
        let text = format!("its vermagic is for {release:?}, its folder for {folder:?}");
        found.error(12, path, text);
        return;
    }
    if let Some(kernel) = kernel
        && let Some(wanted) = &kernel.vermagic
        && kernel.release == release
        && module.vermagic.trim() != wanted.trim()
    {
        let text = format!(
            "its vermagic {:?} is not the kernel's {wanted:?}",
            module.vermagic
        );
        found.error(12, path, text);
    }
}

/// A kernel of the same release with another configuration has other checksums. Those of
/// symbols that no module of the kernel uses are unknown.
fn checksums(file: &ModuleFile, module: &Module, kernel: &Kernel, found: &mut Vec<Finding>) {
    let differ = |(name, version): &(&String, &u32)| {
        let kernels = kernel.versions.get(*name);
        kernels.is_some_and(|kernels| kernels != *version)
    };
    let differing = module.versions.iter().filter(differ);
    let differing: Vec<&str> = differing.map(|(name, _)| name.as_str()).collect();
    if !differing.is_empty() {
        let text = format!(
            "it was built against another kernel: the checksum of {} differs",
            shortened(&differing)
        );
        found.error(12, Some(&file.path), text);
    }
}

fn key(
    file: &ModuleFile,
    signature: &Signature,
    kernel: Option<&Kernel>,
    found: &mut Vec<Finding>,
) {
    let Some(kernel) = kernel else {
        return;
    };
    if kernel.signers.is_empty() || kernel.signers.contains(signature) {
        return;
    }
    let signers: Vec<String> = kernel.signers.iter().map(ToString::to_string).collect();
    let text = format!(
        "it is signed with {signature}, the kernel's modules with {}",
        signers.join(", ")
    );
    found.error(12, Some(&file.path), text);
}

/// Two keys in one image are two builds of the kernel, of which at most one is loaded.
fn one_key(scan: &Scan, found: &mut Vec<Finding>) {
    let mut keys: BTreeMap<&Signature, &str> = BTreeMap::new();
    for file in &scan.modules {
        if let Ok(signature) = &file.signature {
            keys.entry(signature).or_insert(&file.path);
        }
    }
    if keys.len() > 1 {
        let keys: Vec<String> = keys
            .iter()
            .map(|(key, path)| format!("{key}: {path}"))
            .collect();
        found.error(
            12,
            None,
            format!(
                "its modules are signed with different keys: {}",
                keys.join("; ")
            ),
        );
    }
}

/// What needs the other images and the kernel.
pub(crate) fn check_set(scan: &Scan, set: &[&Scan], against: &Against, found: &mut Vec<Finding>) {
    if scan.modules.is_empty() {
        return;
    }
    let shipped: Vec<&Module> = set
        .iter()
        .flat_map(|scan| &scan.modules)
        .filter_map(|file| file.module.as_ref().ok())
        .collect();
    let mut names: BTreeSet<String> = shipped.iter().map(|it| it.name.clone()).collect();
    let files = set.iter().flat_map(|scan| &scan.modules);
    names.extend(files.map(|file| module_name(&file.path)));
    let mut exports: BTreeSet<&str> = BTreeSet::new();
    for module in &shipped {
        exports.extend(module.exports.iter().map(String::as_str));
    }
    let mut unknown: BTreeSet<&str> = BTreeSet::new();
    for file in &scan.modules {
        let Ok(module) = &file.module else { continue };
        let path = Some(file.path.as_str());
        for name in module.depends.iter().filter(|name| !names.contains(*name)) {
            match against.kernel(scan) {
                Some(kernel) if kernel.modules.contains(name) || kernel.builtin.contains(name) => {}
                Some(_) => {
                    let text = format!("it depends on the module `{name}`, which nothing has");
                    found.error(13, path, text);
                }
                None => {
                    unknown.insert(name);
                }
            }
        }
        let Some(kernel_exports) = against.kernel(scan).and_then(|it| it.exports.as_ref()) else {
            continue;
        };
        let missing: Vec<&str> = module
            .imports
            .iter()
            .map(String::as_str)
            .filter(|name| *name != "_GLOBAL_OFFSET_TABLE_")
            .filter(|name| !exports.contains(name) && !kernel_exports.contains(*name))
            .collect();
        if !missing.is_empty() {
            found.error(13, path, format!("nothing exports {}", shortened(&missing)));
        }
    }
    if !unknown.is_empty() {
        let unknown: Vec<&str> = unknown.into_iter().collect();
        let text = format!(
            "not checked without the kernel's image: it may have {}",
            shortened(&unknown)
        );
        found.note(13, None, text);
    }
    match against.kernel(scan) {
        None => {
            let text = "not checked without the kernel's image: keys, symbols and built-in modules";
            found.note(12, None, text);
        }
        Some(kernel) if kernel.exports.is_none() => {
            let why = if against.version.kernel_image_has_system_map() {
                "its image has no /boot/System.map with exported symbols"
            } else {
                "kernel images before Talos 1.12 have no /boot/System.map"
            };
            found.note(13, None, format!("symbols were not checked: {why}"));
        }
        Some(_) => {}
    }
    firmware(scan, set, against, found);
}

fn firmware(scan: &Scan, set: &[&Scan], against: &Against, found: &mut Vec<Finding>) {
    let folder = against.version.firmware_path();
    let has = |name: &str| {
        let plain = format!("rootfs/{folder}/{name}");
        // A pattern; the kernel asks for one of them.
        let start = name.split(['*', '?']).next().unwrap_or_default();
        let start = format!("rootfs/{folder}/{start}");
        set.iter().any(|scan| {
            ["", ".xz", ".zst"]
                .iter()
                .any(|end| scan.files.contains_key(&format!("{plain}{end}")))
                || (name.contains(['*', '?'])
                    && scan
                        .files
                        .range(start.clone()..)
                        .next()
                        .is_some_and(|(path, _)| path.starts_with(&start)))
        })
    };
    for file in &scan.modules {
        let Ok(module) = &file.module else { continue };
        let missing: Vec<&str> = module
            .firmware
            .iter()
            .map(String::as_str)
            .filter(|name| !has(name))
            .collect();
        if !missing.is_empty() {
            let of = module.firmware.len();
            let text = format!(
                "{} of its {of} firmware files are in none of the images: {}",
                missing.len(),
                shortened(&missing)
            );
            found.note(25, Some(&file.path), text);
        }
    }
}

fn shortened(names: &[&str]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{name}`"))
        .collect();
    let shown = shown.join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

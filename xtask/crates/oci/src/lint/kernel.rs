//! The kernel that modules are loaded into, from its image.

use std::collections::{BTreeMap, BTreeSet};

use crate::lint::scan::Scan;
use crate::module::{Signature, normalized};

/// What is known of a kernel image.
#[derive(Debug, Clone, Default)]
pub struct Kernel {
    pub name: String,
    pub release: String,
    pub architecture: String,
    /// As its modules have it.
    pub vermagic: Option<String>,
    /// Who signed its modules: one key for each build.
    pub signers: BTreeSet<Signature>,
    /// Modules that are part of the kernel and cannot be replaced.
    pub builtin: BTreeSet<String>,
    pub modules: BTreeSet<String>,
    /// Symbols for modules; `None` without a `/boot/System.map` that lists them. Debian
    /// ships one of a single line.
    pub exports: Option<BTreeSet<String>>,
    /// Checksums of its symbols, as its own modules were built against them: MODVERSIONS.
    pub(crate) versions: BTreeMap<String, u32>,
    /// Sizes of its modules, by path below the folder of the release.
    pub(crate) sizes: BTreeMap<String, u64>,
    /// What is in the folder of the release, and whether it is a folder.
    pub(crate) entries: BTreeMap<String, bool>,
}

impl Kernel {
    /// # Errors
    /// If the image has no modules of one release.
    pub fn of(scan: &Scan) -> Result<Self, String> {
        // An extension has its modules below rootfs.
        let modules = || {
            let all = scan.modules.iter();
            all.filter(|file| !file.path.starts_with("rootfs/"))
        };
        let releases: BTreeSet<&str> = modules()
            .filter_map(|file| Some(release_of(&file.path)?.0))
            .collect();
        let mut kernel = Self {
            name: scan.name.clone(),
            architecture: scan.arch.clone(),
            ..Self::default()
        };
        match releases.iter().collect::<Vec<_>>()[..] {
            [release] => (*release).clone_into(&mut kernel.release),
            [] => return Err("it has no kernel modules: name the image `kernel` of pkgs".into()),
            _ => return Err(format!("it has modules for several kernels: {releases:?}")),
        }
        let listed = scan.system_map.as_deref().map(exports_of);
        let mut exports = listed.filter(|exports| !exports.is_empty());
        for file in modules() {
            kernel.signers.extend(file.signature.iter().cloned());
            if let Some((_, below)) = release_of(&file.path)
                && let Some(node) = scan.files.get(&file.path)
            {
                kernel.sizes.insert(below.to_owned(), node.size);
            }
            let Ok(module) = &file.module else { continue };
            kernel.modules.insert(module.name.clone());
            let versions = module.versions.iter();
            kernel
                .versions
                .extend(versions.map(|(name, version)| (name.clone(), *version)));
            kernel
                .vermagic
                .get_or_insert_with(|| module.vermagic.clone());
            if let Some(exports) = &mut exports {
                exports.extend(module.exports.iter().cloned());
            }
        }
        kernel.exports = exports;
        for (path, node) in &scan.files {
            if let Some((release, below)) = release_of(path)
                && release == kernel.release
            {
                kernel.entries.insert(below.to_owned(), node.is_dir());
            }
        }
        if let Some(list) = &scan.builtin {
            let list = String::from_utf8_lossy(list);
            kernel.builtin = list.lines().map(module_name).collect();
        }
        Ok(kernel)
    }
}

/// `kernel/drivers/misc/hailo-pci.ko` to `hailo_pci`.
pub(crate) fn module_name(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or_default();
    normalized(name.split(".ko").next().unwrap_or_default())
}

/// The release of the folder, and the path below it.
pub(crate) fn release_of(path: &str) -> Option<(&str, &str)> {
    let (_, rest) = path.split_once("lib/modules/")?;
    rest.split_once('/')
}

/// `ffffffff82a3c0d4 r __ksymtab_printk`
fn exports_of(map: &[u8]) -> BTreeSet<String> {
    let mut exports = BTreeSet::new();
    for line in map.split(|byte| *byte == b'\n') {
        let name = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
        if let Some(name) = name.strip_prefix(b"__ksymtab_") {
            exports.insert(String::from_utf8_lossy(name).into_owned());
        }
    }
    exports
}

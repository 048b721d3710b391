//! What a lab is made of, built once and kept: each part in a folder whose
//! name says which it is, made in a temporary folder and renamed, so that
//! there is never half a part.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

use super::carried::{self, GUEST, TOOLS};
use super::folder::LabFolder;
use super::packages;
use super::real_parts::RealParts;
use crate::app::LabNodes;
use foundation::ctx::probe::Probe;
use talos::TalosVersion;

/// A slot: only the package lists know, and they may have to be fetched first.
const UNKNOWN_KERNEL: &str = "<kernel version>";

/// One part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) version: String,
    pub(super) dir: Utf8PathBuf,
    pub(super) is_built: bool,
}

/// All parts that a lab is started from, by what its nodes run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LabParts {
    StandIn(Box<Parts>),
    Real(Box<RealParts>),
}

/// What `_out` of the lab's checkout has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BootFiles {
    pub(super) vmlinuz: Utf8PathBuf,
    pub(super) initramfs: Utf8PathBuf,
    pub(super) talosctl: Utf8PathBuf,
}

impl LabParts {
    /// What a lab of this Talos version is made of.
    pub(super) fn wanted(
        lab_folder: &LabFolder,
        nodes: LabNodes,
        version: &TalosVersion,
        arch: &str,
    ) -> Self {
        match nodes {
            LabNodes::StandIn => {
                Self::StandIn(Box::new(Parts::wanted(lab_folder, &version.tag(), arch)))
            }
            LabNodes::Real => {
                let root = &lab_folder.parts;
                Self::Real(Box::new(RealParts::wanted(root, tools(root), version)))
            }
        }
    }

    pub(super) fn all(&self) -> Vec<&Part> {
        match self {
            Self::StandIn(parts) => parts.all().to_vec(),
            Self::Real(parts) => parts.all(),
        }
    }

    pub(super) fn nodes(&self) -> LabNodes {
        match self {
            Self::StandIn(_) => LabNodes::StandIn,
            Self::Real(_) => LabNodes::Real,
        }
    }

    pub(super) fn tools(&self) -> &Part {
        match self {
            Self::StandIn(parts) => &parts.tools,
            Self::Real(parts) => parts.tools(),
        }
    }

    /// The part that nodes boot.
    pub(super) fn node(&self) -> &Part {
        match self {
            Self::StandIn(parts) => &parts.guest,
            Self::Real(parts) => parts.node(),
        }
    }

    pub(super) fn talosctl(&self) -> String {
        match self {
            Self::StandIn(parts) => format!("v{}", parts.talosctl.version),
            Self::Real(parts) => parts.release().tag(),
        }
    }

    pub(super) fn kernel(&self) -> String {
        match self {
            Self::StandIn(parts) => parts.kernel.version.clone(),
            Self::Real(parts) => parts.kernel().unwrap_or_default(),
        }
    }

    /// Folders of programs for the PATH inside.
    pub(super) fn path(&self) -> Vec<Utf8PathBuf> {
        match self {
            Self::StandIn(parts) => vec![parts.talosctl.dir.clone()],
            Self::Real(parts) => parts.path(),
        }
    }

    /// Whether building needs a Go toolchain.
    pub(super) fn needs_go(&self) -> bool {
        match self {
            Self::StandIn(parts) => parts.needs_go(),
            Self::Real(parts) => parts.needs_go(),
        }
    }

    /// Whether building needs Debian's archive.
    pub(super) fn needs_apt(&self) -> bool {
        match self {
            Self::StandIn(parts) => !parts.kernel.is_built,
            Self::Real(parts) => parts.needs_apt(),
        }
    }

    /// A package that apt's lists must name, because it is downloaded.
    pub(super) fn listed_package(&self, arch: &str) -> Option<String> {
        match self {
            Self::StandIn(parts) => (!parts.kernel.is_built).then(|| kernel_package(arch)),
            // With lists of its own.
            Self::Real(_) => None,
        }
    }

    pub(super) fn boot_files(&self) -> BootFiles {
        match self {
            Self::StandIn(parts) => BootFiles {
                vmlinuz: parts.vmlinuz(),
                initramfs: parts.initramfs.dir.join("initramfs"),
                talosctl: parts.talosctl.dir.join("talosctl"),
            },
            Self::Real(parts) => parts.boot_files(),
        }
    }

    /// For `lab status --json`.
    pub(super) fn json(&self) -> Value {
        self.all().into_iter().map(Part::json).collect()
    }
}

/// The parts of a lab whose nodes run the stand-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) talosctl: Part,
    pub(super) kernel: Part,
    pub(super) guest: Part,
    pub(super) initramfs: Part,
    pub(super) tools: Part,
}

impl Part {
    pub(super) fn at(root: &Utf8Path, name: &'static str, version: impl Into<String>) -> Self {
        let version = version.into();
        let dir = root.join(format!("{name}-{version}"));
        Self {
            name,
            is_built: dir.is_dir(),
            version,
            dir,
        }
    }

    /// For `lab status --json`.
    pub(super) fn json(&self) -> Value {
        json!({
            "name": self.name, "version": self.version, "dir": self.dir,
            "state": if self.is_built { "built" } else { "missing" },
        })
    }

    /// Where it is made; one maker at a time, who holds the lock.
    pub(super) fn staging(&self) -> Utf8PathBuf {
        self.dir.with_file_name(format!(".new-{}", self.name))
    }

    /// Other versions of this part that are there.
    pub(super) fn siblings(&self) -> Vec<Utf8PathBuf> {
        let root = self.dir.parent().unwrap_or(Utf8Path::new("/"));
        let mut found = versions(root, self.name);
        found.retain(|version| *version != self.version);
        found
            .iter()
            .map(|version| root.join(format!("{}-{version}", self.name)))
            .collect()
    }
}

impl Parts {
    /// What a lab with this talosctl (a tag, `v1.12.0`) is made of.
    pub(super) fn wanted(lab_folder: &LabFolder, talosctl: &str, arch: &str) -> Self {
        let root = &lab_folder.parts;
        let kernel = kernel_version(root, arch);
        let guest = carried::hash(&[GUEST], &[arch]);
        let initramfs = carried::hash(&[GUEST], &[&kernel, talosctl, arch]);
        Self {
            talosctl: Part::at(root, "talosctl", talosctl.trim_start_matches('v')),
            kernel: Part::at(root, "kernel", kernel),
            guest: Part::at(root, "guest", guest),
            initramfs: Part::at(root, "initramfs", initramfs),
            tools: tools(root),
        }
    }

    pub(super) fn all(&self) -> [&Part; 5] {
        [
            &self.tools,
            &self.kernel,
            &self.guest,
            &self.initramfs,
            &self.talosctl,
        ]
    }

    /// Whether building needs a Go toolchain.
    pub(super) fn needs_go(&self) -> bool {
        !(self.talosctl.is_built && self.guest.is_built)
    }

    /// Whether the package lists, or a former build, said which kernel.
    pub(super) fn is_kernel_known(&self) -> bool {
        self.kernel.version != UNKNOWN_KERNEL
    }

    pub(super) fn vmlinuz(&self) -> Utf8PathBuf {
        self.kernel
            .dir
            .join(format!("root/boot/vmlinuz-{}", self.kernel.version))
    }
}

/// What every lab runs with, whatever its nodes run.
fn tools(root: &Utf8Path) -> Part {
    let cni = packages::cni_folder().unwrap_or_default();
    Part::at(root, "tools", carried::hash(&TOOLS, &[cni.as_str()]))
}

/// Debian's name for a small kernel with virtio.
fn kernel_package(arch: &str) -> String {
    format!("linux-image-cloud-{arch}")
}

/// A kernel that is there stays good, so that a second start needs no apt; else
/// the one that the package lists name.
fn kernel_version(root: &Utf8Path, arch: &str) -> String {
    versions(root, "kernel")
        .pop()
        .or_else(|| listed_kernel(arch))
        .unwrap_or_else(|| UNKNOWN_KERNEL.to_owned())
}

/// The version that the meta package points at.
fn listed_kernel(arch: &str) -> Option<String> {
    let package = kernel_package(arch);
    let depends = Probe::new(["apt-cache", "depends", &package]).stdout();
    depended_kernel(&depends.ok()?)
}

fn depended_kernel(depends: &str) -> Option<String> {
    let mut depended = depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: linux-image-"));
    depended.next().map(str::to_owned)
}

/// Versions of one part that are there, in order.
pub(super) fn versions(root: &Utf8Path, name: &str) -> Vec<String> {
    let pattern = format!("{}/{name}-*", glob::Pattern::escape(root.as_str()));
    let paths = glob::glob(&pattern).into_iter().flatten().flatten();
    let mut found: Vec<String> = paths
        .filter_map(|path| {
            let part = path.file_name()?.to_str()?.strip_prefix(name)?;
            part.strip_prefix('-').map(str::to_owned)
        })
        .collect();
    found.sort();
    found
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests prepare folders")]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_the_one_that_the_meta_package_depends_on() {
        let text = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n";
        assert_eq!(
            depended_kernel(text).as_deref(),
            Some("6.1.0-56-cloud-amd64")
        );
        assert_eq!(depended_kernel("N: Unable to locate package"), None);
    }

    #[test]
    fn a_kernel_that_is_there_needs_no_package_lists() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        for name in [
            "kernel-6.1.0-9-x",
            ".new-kernel",
            "kernels-7",
            "guest-1",
            "guest-2",
        ] {
            std::fs::create_dir(root.join(name)).unwrap();
        }
        assert_eq!(kernel_version(root, "amd64"), "6.1.0-9-x");
        assert_eq!(
            Part::at(root, "guest", "2").siblings(),
            [root.join("guest-1")]
        );
    }
}

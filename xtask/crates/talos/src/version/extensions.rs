//! What a line's imager and nodes take of system extensions.
//!
//! Source: `pkg/machinery/extensions`, `internal/pkg/extensions`, `pkg/archiver` and
//! `pkg/imager/extensions` of every line, at its last tag.

use super::TalosVersion;

/// Beginnings of paths that every known line allows.
const ALWAYS_ALLOWED: [&str; 6] = [
    "/etc/cri/conf.d",
    "/usr/lib/udev/rules.d",
    "/usr/local",
    "/usr/share/glvnd",
    "/usr/share/egl",
    "/etc/vulkan",
];
/// Before `/lib` and `/sbin` became links (1.10).
const SPLIT_USR: [&str; 4] = [
    "/lib/firmware",
    "/lib/modules",
    "/lib64/ld-linux-x86-64.so.2",
    "/sbin/ldconfig",
];
const MERGED_USR: [&str; 4] = [
    "/usr/lib/firmware",
    "/usr/lib/modules",
    "/usr/lib/ld-linux-x86-64.so.2",
    "/usr/bin/ldconfig",
];
const SINCE_1_12: [&str; 1] = ["/usr/lib/ld-linux-aarch64.so.1"];
const SINCE_1_13: [&str; 8] = [
    "/etc/ld.so.conf",
    "/etc/ld.so.cache",
    "/usr/bin/nvidia-modprobe",
    "/usr/bin/nvidia-pcc",
    "/usr/bin/nvidia-smi",
    "/usr/bin/nvidia-ctk",
    "/usr/bin/nvidia-cdi-hook",
    "/usr/bin/nvme",
];

impl TalosVersion {
    /// Beginnings of the paths that an extension may have (`AllowedPaths`).
    pub fn allowed_extension_paths(&self) -> Vec<&'static str> {
        let mut paths = Vec::from(ALWAYS_ALLOWED);
        paths.extend(if self.since(10) {
            MERGED_USR
        } else {
            SPLIT_USR
        });
        if self.since(12) {
            paths.extend(SINCE_1_12);
        }
        if self.since(13) {
            paths.extend(SINCE_1_13);
        }
        paths
    }

    /// The list of a checkout's `pkg/machinery/extensions/extensions.go`, which is newer
    /// than any table. `None` if it has another form.
    pub fn allowed_extension_paths_in(source: &str) -> Option<Vec<String>> {
        let (_, list) = source.split_once("AllowedPaths = []string{")?;
        let (list, _) = list.split_once("\n}")?;
        let code = list.lines().filter_map(|line| line.split("//").next());
        let paths: Vec<String> = code
            .flat_map(|code| code.split('"').skip(1).step_by(2))
            .map(str::to_owned)
            .collect();
        let are_paths = !paths.is_empty() && paths.iter().all(|path| path.starts_with('/'));
        are_paths.then_some(paths)
    }

    /// Where modules are, without the leading slash.
    pub fn modules_path(&self) -> &'static str {
        if self.since(10) {
            "usr/lib/modules"
        } else {
            "lib/modules"
        }
    }

    /// Where firmware is, without the leading slash.
    pub fn firmware_path(&self) -> &'static str {
        if self.since(10) {
            "usr/lib/firmware"
        } else {
            "lib/firmware"
        }
    }

    /// Whether the imager makes the folders of files that come before them in a layer,
    /// with mode 0700 (1.14+, 1e31deda3). Older ones fail.
    pub fn imager_makes_parents(&self) -> bool {
        self.since(14)
    }

    /// Whether the imager's go-containerregistry leaves out relative links that climb out
    /// of the image (0.21, 1.13+).
    pub fn imager_drops_climbing_links(&self) -> bool {
        self.since(13)
    }

    /// Whether the imager truncates a file that it overwrites by a shorter one
    /// (5fcf360fe, after the last 1.14 tag).
    pub fn imager_truncates(&self) -> bool {
        self.since(15)
    }

    /// Whether the kernel's image has `/boot/System.map` (pkgs release-1.12).
    pub fn kernel_image_has_system_map(&self) -> bool {
        self.since(12)
    }

    /// Whether the kernel is built by clang, and modules have to be as well (pkgs
    /// release-1.13).
    pub fn kernel_needs_llvm(&self) -> bool {
        self.since(13)
    }

    /// Whether modules are loaded by a document `KernelModuleConfig` (1.14+). Before,
    /// `machine.kernel.modules` names them.
    pub fn has_kernel_module_document(&self) -> bool {
        self.since(14)
    }

    /// Name of an extension's manifest in the extensions repository: a template from 1.11
    /// on. Before, its package replaced `$VERSION` by itself.
    pub fn extension_manifest(&self) -> &'static str {
        if self.since(11) {
            "manifest.yaml.tmpl"
        } else {
            "manifest.yaml"
        }
    }

    /// Whether nodes read `/usr/local/share/spdx/*.spdx.json` (1.11+).
    pub fn nodes_read_sbom(&self) -> bool {
        self.since(11)
    }

    /// `6.18.45-talos`, from the text of `pkg/machinery/constants/constants.go`.
    pub fn kernel_release(constants: &str) -> Option<&str> {
        let (_, rest) = constants.split_once("DefaultKernelVersion = \"")?;
        rest.split('"').next()
    }

    /// Whether `self` satisfies the version in an image's suffix up to the patch level.
    pub fn has_line_of(&self, other: &Self) -> bool {
        self.line() == other.line()
    }

    /// Major, minor and patch: what constraints of extensions are compared with.
    pub fn core(&self) -> (u64, u64, u64) {
        (self.release.major, self.release.minor, self.release.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(minor: u64) -> TalosVersion {
        TalosVersion::parse(&format!("v1.{minor}.0")).unwrap()
    }

    #[test]
    fn allowed_paths_grow_with_the_lines() {
        let counts: Vec<usize> = (9..=15)
            .map(|it| v(it).allowed_extension_paths().len())
            .collect();
        assert_eq!(counts, [10, 10, 10, 11, 19, 19, 19]);
        assert!(v(9).allowed_extension_paths().contains(&"/lib/modules"));
        assert!(
            v(10)
                .allowed_extension_paths()
                .contains(&"/usr/lib/modules")
        );
    }

    #[test]
    fn modules_are_built_and_loaded_in_the_way_of_the_line() {
        assert!(!v(12).kernel_needs_llvm() && v(13).kernel_needs_llvm());
        assert!(!v(13).has_kernel_module_document() && v(14).has_kernel_module_document());
        assert_eq!(v(10).extension_manifest(), "manifest.yaml");
        assert_eq!(v(11).extension_manifest(), "manifest.yaml.tmpl");
    }

    #[test]
    fn the_kernel_is_a_constant_of_the_sources() {
        let text = "const (\n\t// DefaultKernelVersion is it.\n\tDefaultKernelVersion = \"6.18.45-talos\"\n";
        assert_eq!(TalosVersion::kernel_release(text), Some("6.18.45-talos"));
        assert_eq!(TalosVersion::kernel_release(""), None);
    }

    #[test]
    fn the_list_of_a_checkout_is_read() {
        let source = "// AllowedPaths are \"/x\".\nvar AllowedPaths = []string{\n\t\"/etc/cri/conf.d\", // \"/no\"\n\t// \"/no\"\n\t\"/usr/local\",\n}\n\nvar Other = []string{\n\t\"/no\",\n}\n";
        let paths = TalosVersion::allowed_extension_paths_in(source).unwrap();
        assert_eq!(paths, ["/etc/cri/conf.d", "/usr/local"]);
        for other in [
            "",
            "var AllowedPaths = []string{\n}\n",
            "var AllowedPaths = []string{\n\tx,\n}\n",
        ] {
            assert_eq!(TalosVersion::allowed_extension_paths_in(other), None);
        }
    }
}

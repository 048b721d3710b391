//! The search for UEFI firmware of a QEMU cluster.
//!
//! Source: pkg/provision/providers/qemu/arch.go of every line. talosctl tries every
//! directory with every secure-boot file, then every directory with every plain file,
//! and separately every directory with every variables file. The first file that opens
//! is used; without one the create fails.

use super::TalosVersion;

/// CPU architecture of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arch {
    Amd64,
    Arm64,
}

impl Arch {
    /// Go's name, as in `--arch` and `_out/vmlinuz-amd64`.
    pub fn go_name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// From Go's, Rust's or uname's name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "amd64" | "x86_64" => Some(Self::Amd64),
            "arm64" | "aarch64" => Some(Self::Arm64),
            _ => None,
        }
    }

    /// Executables that talosctl looks for, in order: names in PATH, then a path.
    pub fn qemu_executables(self) -> [&'static str; 3] {
        let system = match self {
            Self::Amd64 => "qemu-system-x86_64",
            Self::Arm64 => "qemu-system-aarch64",
        };
        [system, "qemu-kvm", "/usr/libexec/qemu-kvm"]
    }
}

/// The directories and files that talosctl searches; file names are relative to each
/// directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    pub directories: Vec<&'static str>,
    /// Firmware with secure boot, tried first in all directories.
    pub secure_code: Vec<&'static str>,
    /// Firmware without, tried after that.
    pub plain_code: Vec<&'static str>,
    /// Empty variable stores.
    pub variables: Vec<&'static str>,
    /// Whether `--with-uefi=false` does without any firmware (amd64 only).
    pub optional: bool,
}

impl Firmware {
    /// Firmware paths in talosctl's order; `extra` are `--extra-uefi-search-paths`.
    pub fn code_paths(&self, extra: &[&str]) -> Vec<String> {
        let mut paths = self.paths(extra, &self.secure_code);
        paths.extend(self.paths(extra, &self.plain_code));
        paths
    }

    /// Variable store paths in talosctl's order.
    pub fn variables_paths(&self, extra: &[&str]) -> Vec<String> {
        self.paths(extra, &self.variables)
    }

    fn paths(&self, extra: &[&str], files: &[&str]) -> Vec<String> {
        let directories = self.directories.iter().chain(extra);
        directories
            .flat_map(|dir| files.iter().map(move |file| format!("{dir}/{file}")))
            .collect()
    }
}

impl TalosVersion {
    /// Firmware search of this line.
    ///
    /// Homebrew's files joined for arm64 in 1.11 (7fcb89ee3) and for amd64 in
    /// 1.12 (94905c73e, backported); the rest is the same in all lines.
    pub fn firmware(&self, arch: Arch) -> Firmware {
        match arch {
            Arch::Amd64 => amd64(self.since(12)),
            Arch::Arm64 => arm64(self.since(11)),
        }
    }
}

fn amd64(homebrew: bool) -> Firmware {
    let mut firmware = Firmware {
        directories: vec![
            "/usr/share/ovmf",
            "/usr/share/OVMF",
            "/usr/share/qemu",
            "/usr/share/ovmf/x64",
        ],
        secure_code: vec![
            "OVMF_CODE_4M.secboot.fd",
            "OVMF_CODE.secboot.4m.fd",
            "OVMF_CODE.secboot.fd",
            "OVMF.secboot.fd",
            "edk2-x86_64-secure-code.fd",
            "ovmf-x86_64-ms-4m-code.bin",
        ],
        plain_code: vec![
            "OVMF_CODE_4M.fd",
            "OVMF_CODE.4m.fd",
            "OVMF_CODE.fd",
            "OVMF.fd",
        ],
        variables: vec!["OVMF_VARS_4M.fd", "OVMF_VARS.4m.fd", "OVMF_VARS.fd"],
        optional: true,
    };
    if homebrew {
        firmware.directories.push("/opt/homebrew/share/qemu");
        firmware.plain_code.push("edk2-x86_64-code.fd");
        firmware.variables.push("edk2-i386-vars.fd");
    }
    firmware.plain_code.push("ovmf-x86_64-4m-code.bin");
    firmware.variables.push("ovmf-x86_64-4m-vars.bin");
    firmware
}

fn arm64(homebrew: bool) -> Firmware {
    let mut firmware = Firmware {
        directories: vec![
            "/usr/share/AAVMF",
            "/usr/share/qemu-efi-aarch64",
            "/usr/share/OVMF",
            "/usr/share/edk2/aarch64",
            "/usr/share/edk2/experimental",
        ],
        secure_code: vec!["AAVMF_CODE.secboot.fd", "QEMU_EFI.secboot.testonly.fd"],
        plain_code: vec!["AAVMF_CODE.fd", "QEMU_EFI.fd", "OVMF.stateless.fd"],
        variables: vec!["AAVMF_VARS.fd", "QEMU_VARS.fd"],
        optional: false,
    };
    if homebrew {
        firmware.directories.push("/opt/homebrew/share/qemu");
        firmware.plain_code.push("edk2-aarch64-code.fd");
        firmware.variables.push("edk2-arm-vars.fd");
    }
    firmware
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secure_files_of_all_directories_come_before_plain_ones() {
        let firmware = TalosVersion::parse("v1.12.0")
            .unwrap()
            .firmware(Arch::Amd64);
        let paths = firmware.code_paths(&["/nix/ovmf"]);
        let position = |path: &str| paths.iter().position(|p| p == path).unwrap();
        assert_eq!(position("/usr/share/ovmf/OVMF_CODE_4M.secboot.fd"), 0);
        assert!(
            position("/nix/ovmf/OVMF.secboot.fd") < position("/usr/share/ovmf/OVMF_CODE_4M.fd")
        );
        assert_eq!(paths.len(), 6 * (6 + 6));
        assert_eq!(firmware.variables_paths(&[]).len(), 5 * 5);
    }

    #[test]
    fn homebrew_came_later() {
        let has = |v: &str, arch| {
            let firmware = TalosVersion::parse(v).unwrap().firmware(arch);
            firmware.directories.contains(&"/opt/homebrew/share/qemu")
        };
        assert!(!has("v1.10.0", Arch::Arm64) && has("v1.11.0", Arch::Arm64));
        assert!(!has("v1.11.0", Arch::Amd64) && has("v1.12.0", Arch::Amd64));
    }

    #[test]
    fn arch_names() {
        assert_eq!(Arch::parse("x86_64").map(Arch::go_name), Some("amd64"));
        assert_eq!(Arch::parse("aarch64").map(Arch::go_name), Some("arm64"));
        assert_eq!(Arch::parse("riscv64"), None);
    }
}

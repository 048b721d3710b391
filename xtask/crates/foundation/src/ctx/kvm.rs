//! Whether QEMU can use KVM on this machine. talosctl uses KVM whenever it can
//! open /dev/kvm (`pkg/provision/providers/qemu/preflight_linux.go`), so a
//! device that opens but does not work is worse than none.

use std::time::Duration;

use camino::Utf8Path;
use rustix::fs::Access;
use rustix::io::Errno;
use talos::version::Arch;

use super::probe::Probe;

/// QEMU needs a tenth of a second.
const LIMIT: Duration = Duration::from_secs(3);
/// A device that does not exist: QEMU reports it after it set up the
/// accelerator.
const NO_SUCH_DEVICE: &str = "xtask-no-such-device";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kvm {
    Usable,
    /// No device; `module` provides it, if the CPU supports virtualisation.
    Absent {
        module: Option<&'static str>,
    },
    NoPermission,
    /// It opens but does not work; with the message of the system or QEMU.
    Unusable(String),
}

/// Probes below `root`, which is `/` except in tests.
pub fn probe(root: &Utf8Path) -> Kvm {
    let device = root.join("dev/kvm");
    match rustix::fs::access(device.as_std_path(), Access::READ_OK | Access::WRITE_OK) {
        Ok(()) => opens(&device),
        Err(Errno::NOENT) => {
            let cpu = std::fs::read_to_string(root.join("proc/cpuinfo")).unwrap_or_default();
            Kvm::Absent {
                module: module(&cpu),
            }
        }
        Err(_) => Kvm::NoPermission,
    }
}

/// A device node may exist without a driver, or be blocked by a container's
/// device rules, which permission bits do not show.
fn opens(device: &Utf8Path) -> Kvm {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
    match rustix::fs::open(device.as_std_path(), flags, Mode::empty()) {
        Ok(_) => Kvm::Usable,
        Err(Errno::PERM | Errno::ACCESS) => Kvm::NoPermission,
        Err(error) => Kvm::Unusable(format!("{device} does not open: {error}")),
    }
}

/// The kernel module for the virtualisation flag of the CPU.
fn module(cpuinfo: &str) -> Option<&'static str> {
    let has = |flag: &str| {
        cpuinfo
            .lines()
            .filter(|line| line.starts_with("flags"))
            .any(|line| line.split_whitespace().any(|word| word == flag))
    };
    match () {
        () if has("vmx") => Some("kvm_intel"),
        () if has("svm") => Some("kvm_amd"),
        () => None,
    }
}

/// Starts QEMU with KVM and talosctl's machine type. QEMU ends at a device that
/// does not exist, before it runs a guest. With `root` = `["sudo", "-n"]` it
/// runs as root, like the QEMU of a cluster.
pub fn try_with_qemu(root: &[&str], qemu: &Utf8Path, arch: Arch) -> Kvm {
    // As in pkg/provision/providers/qemu/launch.go.
    let machine = match arch {
        Arch::Amd64 => "q35,smm=on,accel=kvm",
        Arch::Arm64 => "virt,gic-version=max,accel=kvm",
    };
    let qemu = [
        qemu.as_str(),
        "-machine",
        machine,
        "-cpu",
        "max",
        "-display",
        "none",
        "-nodefaults",
        "-m",
        "16",
        "-device",
        NO_SUCH_DEVICE,
    ];
    match Probe::new([root, &qemu].concat()).timeout(LIMIT).run() {
        Ok(output) => verdict(&output.stderr),
        Err(_) => Kvm::Unusable(format!("QEMU hangs with KVM ({} s)", LIMIT.as_secs())),
    }
}

fn verdict(stderr: &str) -> Kvm {
    if stderr.contains(NO_SUCH_DEVICE) {
        return Kvm::Usable;
    }
    // talosctl cannot open it either and runs without KVM.
    if stderr.starts_with("sudo: ") || stderr.contains("Could not access KVM kernel module") {
        return Kvm::NoPermission;
    }
    let line = stderr
        .lines()
        .rfind(|line| !line.contains(": warning: ") && !line.trim().is_empty())
        .unwrap_or("QEMU exited without a message");
    let words = line.split_once(": ").map_or(line, |(_, words)| words);
    Kvm::Unusable(words.trim_end_matches('.').to_owned())
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests create the files that are probed"
)]
mod tests {
    use super::*;
    use camino::Utf8PathBuf;

    fn root() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        std::fs::create_dir_all(root.join("dev")).unwrap();
        std::fs::create_dir_all(root.join("proc")).unwrap();
        (dir, root)
    }

    #[test]
    fn no_device_has_a_reason() {
        let (_dir, root) = root();
        assert_eq!(probe(&root), Kvm::Absent { module: None });
        std::fs::write(root.join("proc/cpuinfo"), "flags\t\t: fpu svm sse2\n").unwrap();
        assert_eq!(
            probe(&root),
            Kvm::Absent {
                module: Some("kvm_amd")
            }
        );
        std::fs::write(root.join("proc/cpuinfo"), "vmx flags\t\t: fpu svmx\n").unwrap();
        assert_eq!(probe(&root), Kvm::Absent { module: None });
    }

    #[test]
    fn a_device_that_does_not_open_is_unusable() {
        let (_dir, root) = root();
        // A folder passes the permission bits but cannot be opened for writing.
        std::fs::create_dir(root.join("dev/kvm")).unwrap();
        assert!(matches!(probe(&root), Kvm::Unusable(_)));
    }

    /// Recorded with QEMU 7.2.22.
    #[test]
    fn qemu_says_what_it_could_not_do() {
        let no_smm = "qemu-system-x86_64: warning: host doesn't support requested feature: CPUID.01H:ECX.pni [bit 0]
qemu-system-x86_64: System Management Mode not supported by this hypervisor.\n";
        assert_eq!(
            verdict(no_smm),
            Kvm::Unusable("System Management Mode not supported by this hypervisor".into())
        );
        let fine = "qemu-system-x86_64: -device xtask-no-such-device: 'xtask-no-such-device' is not a valid device model name\n";
        assert_eq!(verdict(fine), Kvm::Usable);
        assert!(matches!(verdict(""), Kvm::Unusable(_)));
        assert_eq!(verdict("sudo: a password is required\n"), Kvm::NoPermission);
    }
}

//! Packages that contain a program, by package manager.

use foundation::ctx::host::Host;
use talos::version::Arch;

use super::finding::{Finding, Fix};

/// A program or file that a package contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Qemu(Arch),
    Firmware(Arch),
    Ip,
    Iptables,
    Swtpm,
    Sudo,
    Make,
    Git,
    Docker,
    Buildx,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manager {
    Apt,
    Dnf,
    Pacman,
    Zypper,
    Apk,
}

const MANAGERS: [(&str, Manager); 5] = [
    ("apt-get", Manager::Apt),
    ("dnf", Manager::Dnf),
    ("pacman", Manager::Pacman),
    ("zypper", Manager::Zypper),
    ("apk", Manager::Apk),
];

/// Adds the command that installs it; `--fix` can install Debian's packages for
/// a cluster.
pub(super) fn with_package(finding: Finding, need: Need, root: bool) -> Finding {
    let found = MANAGERS
        .into_iter()
        .find(|(program, _)| Host::which_as_root(program).is_some());
    let Some((_, manager)) = found else {
        let package = package(need, Manager::Apt);
        return finding.cure(format!(
            "install it with your package manager (Debian calls it {package})"
        ));
    };
    let package = package(need, manager);
    let fix = (manager == Manager::Apt && is_for_clusters(need)).then_some(Fix::Package(package));
    finding.cure(command(manager, package, root)).fix(fix)
}

/// Whether installing it starts nothing and changes no setting.
fn is_for_clusters(need: Need) -> bool {
    matches!(
        need,
        Need::Qemu(_) | Need::Firmware(_) | Need::Ip | Need::Iptables | Need::Swtpm
    )
}

fn command(manager: Manager, package: &str, root: bool) -> String {
    let install = match manager {
        Manager::Apt => "apt-get install -y --no-install-recommends",
        Manager::Dnf => "dnf install -y",
        Manager::Pacman => "pacman -S --needed",
        Manager::Zypper => "zypper install",
        Manager::Apk => "apk add",
    };
    let sudo = if root { "" } else { "sudo " };
    format!("{sudo}{install} {package}")
}

fn package(need: Need, manager: Manager) -> &'static str {
    use Manager::{Apk, Apt, Dnf, Pacman, Zypper};
    match (need, manager) {
        (Need::Qemu(Arch::Amd64), Apt | Dnf | Pacman) => "qemu-system-x86",
        (Need::Qemu(Arch::Amd64), Zypper) => "qemu-x86",
        (Need::Qemu(Arch::Amd64), Apk) => "qemu-system-x86_64",
        (Need::Qemu(Arch::Arm64), Apt) => "qemu-system-arm",
        (Need::Qemu(Arch::Arm64), Dnf | Pacman | Apk) => "qemu-system-aarch64",
        (Need::Qemu(Arch::Arm64), Zypper) => "qemu-arm",
        (Need::Firmware(Arch::Amd64), Apt | Apk) => "ovmf",
        (Need::Firmware(Arch::Amd64), Dnf | Pacman) => "edk2-ovmf",
        (Need::Firmware(Arch::Amd64), Zypper) => "qemu-ovmf-x86_64",
        (Need::Firmware(Arch::Arm64), Apt) => "qemu-efi-aarch64",
        (Need::Firmware(Arch::Arm64), Dnf | Pacman) => "edk2-aarch64",
        (Need::Firmware(Arch::Arm64), Zypper) => "qemu-uefi-aarch64",
        (Need::Firmware(Arch::Arm64), Apk) => "aavmf",
        (Need::Ip, Dnf) => "iproute",
        (Need::Ip, _) => "iproute2",
        (Need::Iptables, _) => "iptables",
        (Need::Swtpm, _) => "swtpm",
        (Need::Sudo, _) => "sudo",
        (Need::Make, _) => "make",
        (Need::Git, _) => "git",
        (Need::Docker, Apt) => "docker.io",
        (Need::Docker, Dnf) => "moby-engine",
        (Need::Docker, _) => "docker",
        (Need::Buildx, Apk) => "docker-cli-buildx",
        (Need::Buildx, _) => "docker-buildx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_manager_has_its_own_words() {
        let line = |manager, need| command(manager, package(need, manager), false);
        assert_eq!(
            line(Manager::Apt, Need::Firmware(Arch::Amd64)),
            "sudo apt-get install -y --no-install-recommends ovmf"
        );
        assert_eq!(
            line(Manager::Dnf, Need::Firmware(Arch::Arm64)),
            "sudo dnf install -y edk2-aarch64"
        );
        assert_eq!(
            command(Manager::Apk, "ovmf", true),
            "apk add ovmf",
            "root needs no sudo"
        );
    }
}

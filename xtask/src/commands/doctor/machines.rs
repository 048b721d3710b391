//! Checks QEMU, its firmware, KVM, and the plugins that connect VMs to a
//! network.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use talos::version::{Arch, CNI_PLUGINS, Firmware};

use super::finding::{Finding, Fix};
use super::inputs::Inputs;
use super::packages::{Need, with_package};
use foundation::ctx::host::Host;
use foundation::ctx::kvm::{self, Kvm};
use foundation::ctx::probe::Probe;
use foundation::plan::Step;
use foundation::typed;

/// Returns the first of the names that talosctl tries.
fn qemu_path(arch: Arch) -> Option<Utf8PathBuf> {
    arch.qemu_executables().into_iter().find_map(|name| {
        if name.starts_with('/') {
            return Some(Utf8PathBuf::from(name)).filter(|path| path.is_file());
        }
        Host::which_as_root(name)
    })
}

pub(super) fn qemu(inputs: &Inputs) -> Vec<Finding> {
    let Some(arch) = inputs.arch else {
        let name = inputs.flag("--arch").unwrap_or(inputs.ctx.host.arch);
        return vec![
            Finding::missing("qemu", format!("Talos has no VMs for `{name}`"))
                .cure("-- --arch amd64, or --arch arm64"),
        ];
    };
    let names = arch.qemu_executables().join("`, `");
    let Some(path) = qemu_path(arch) else {
        let finding = Finding::missing("qemu", format!("no QEMU: none of `{names}`"));
        return vec![with_package(
            finding,
            Need::Qemu(arch),
            inputs.ctx.host.is_root(),
        )];
    };
    let start = Probe::new([path.as_str(), "--version"]).timeout(Duration::from_secs(3));
    match start.stdout() {
        Ok(said) => {
            // `QEMU emulator version 7.2.22 (Debian …)`.
            let version = said.split_whitespace().nth(3).unwrap_or_default();
            vec![Finding::ok("qemu", format!("QEMU {version} at `{path}`"))]
        }
        Err(error) => {
            let finding =
                Finding::missing("qemu", format!("`{path}` does not start")).why(error.to_string());
            vec![with_package(
                finding,
                Need::Qemu(arch),
                inputs.ctx.host.is_root(),
            )]
        }
    }
}

pub(super) fn firmware(inputs: &Inputs) -> Vec<Finding> {
    let Some(arch) = inputs.arch else {
        return Vec::new();
    };
    let firmware = inputs.version().firmware(arch);
    if firmware.optional && !inputs.switch("--with-uefi", true) {
        return vec![Finding::ok(
            "uefi-firmware",
            "no UEFI firmware is needed: `--with-uefi=false`",
        )];
    }
    let extra = inputs.flags("--extra-uefi-search-paths");
    let found = search(Utf8Path::new("/"), &firmware, &extra);
    let (code, variables) = match found {
        (Some(code), Some(variables)) => {
            let text = format!("UEFI firmware `{code}` with `{variables}`");
            return vec![Finding::ok("uefi-firmware", text)];
        }
        missing => missing,
    };
    let missing = match (code, variables) {
        (None, None) => "no UEFI firmware",
        (None, Some(_)) => "no UEFI firmware code",
        (Some(_), _) => "UEFI firmware without an empty variable store",
    };
    let finding = Finding::missing(
        "uefi-firmware",
        format!("{missing} where {} looks for it", inputs.line()),
    )
    .why(format!("it looks in {}", firmware.directories.join(", ")));
    let mut finding = with_package(finding, Need::Firmware(arch), inputs.ctx.host.is_root());
    if firmware.optional {
        let fix = finding.cure.unwrap_or_default();
        finding.cure = Some(format!("{fix}; or boot without: `-- --with-uefi=false`"));
    }
    vec![finding]
}

/// Returns the files that talosctl would use, looked for below `root`.
fn search(
    root: &Utf8Path,
    firmware: &Firmware,
    extra: &[&str],
) -> (Option<String>, Option<String>) {
    let first = |paths: Vec<String>| {
        paths
            .into_iter()
            .find(|path| root.join(path.trim_start_matches('/')).is_file())
    };
    (
        first(firmware.code_paths(extra)),
        first(firmware.variables_paths(extra)),
    )
}

pub(super) fn kvm(inputs: &Inputs) -> Vec<Finding> {
    let Some(arch) = inputs.arch else {
        return Vec::new();
    };
    if inputs.inside_lab {
        return vec![Finding::ok(
            "kvm",
            "KVM is not used: the lab emulates its nodes",
        )];
    }
    if arch.go_name() != inputs.ctx.host.arch {
        let text = format!("KVM is not used: {} is emulated here", arch.go_name());
        return vec![Finding::ok("kvm", text)];
    }
    let root = inputs.ctx.root_prefix();
    let found = match (kvm::probe(Utf8Path::new("/")), qemu_path(arch)) {
        (Kvm::Usable | Kvm::NoPermission, Some(qemu)) => kvm::try_with_qemu(root, &qemu, arch),
        (other, _) => other,
    };
    vec![kvm_finding(&found, inputs.ctx.host.is_root())]
}

fn kvm_finding(found: &Kvm, root: bool) -> Finding {
    let emulated = "nodes are emulated then, and many times slower";
    match found {
        Kvm::Usable => Finding::ok("kvm", "KVM: `/dev/kvm` opens and QEMU sets a machine up on it"),
        Kvm::Absent {
            module: Some(module),
        } => {
            let load = Step::run("load the module that makes /dev/kvm", ["modprobe", module]);
            let sudo = if root { "" } else { "sudo " };
            Finding::warn("kvm", format!("no `/dev/kvm`: `{module}` is not loaded, though the CPU can"))
                .why(emulated)
                .cure(format!("{sudo}modprobe {module}"))
                .fix(Host::which_as_root("modprobe").map(|_| Fix::Steps(vec![load.as_root()])))
        }
        Kvm::Absent { module: None } => {
            Finding::warn("kvm", "no `/dev/kvm`, and the CPU's flags name no virtualisation")
                .why(emulated)
                .cure("switch VT-x or AMD-V on in the firmware's setup; in a VM: nested virtualisation on its host")
        }
        Kvm::NoPermission if root => {
            Finding::warn("kvm", "`/dev/kvm` is there, and even root may not open it")
                .why(format!("a container's device rules do that; {emulated}"))
                .cure("run it with `--device /dev/kvm`")
        }
        Kvm::NoPermission => Finding::warn("kvm", "`/dev/kvm` is there, and you may not open it")
            .why("`cluster up` opens it as root; a QEMU of your own would be emulated")
            .cure("sudo usermod -aG kvm \"$USER\", then log in again"),
        // talosctl does not fall back to emulation then: its QEMU ends.
        Kvm::Unusable(reason) => Finding::missing("kvm", "KVM is there and does not work")
            .why(format!("QEMU says: {reason}; talosctl takes KVM whenever `/dev/kvm` opens"))
            .cure(format!("{} (its nodes are emulated), or repair nested virtualisation on the host of this VM", typed!("--lab cluster"))),
    }
}

pub(super) fn cni(inputs: &Inputs) -> Vec<Finding> {
    let mut folders: Vec<Utf8PathBuf> = inputs
        .flags("--cni-bin-path")
        .into_iter()
        .map(Utf8PathBuf::from)
        .collect();
    if folders.is_empty() {
        folders.push(inputs.talos_home().join("cni/bin"));
    }
    let missing = missing_plugins(&folders);
    let shown: Vec<&str> = folders.iter().map(|folder| folder.as_str()).collect();
    let shown = shown.join("`, `");
    if missing.is_empty() {
        return vec![Finding::ok(
            "cni-plugins",
            format!("CNI plugins in `{shown}`"),
        )];
    }
    let arch = inputs.ctx.host.arch;
    let bundle = inputs
        .flag("--cni-bundle-url")
        .map_or_else(|| inputs.version().cni_bundle_url(arch), str::to_owned);
    let text = format!("CNI plugins {} are not in `{shown}`", missing.join(", "));
    vec![
        Finding::warn("cni-plugins", text)
            .why(format!("talosctl downloads them at the first create, from {bundle}"))
            .cure(format!(
                "none needed with internet access; else `{}` and `-- --cni-bundle-url=_out/talosctl-cni-bundle-{arch}.tar.gz`",
                typed!("build talosctl-cni-bundle")
            )),
    ]
}

fn missing_plugins(folders: &[Utf8PathBuf]) -> Vec<&'static str> {
    CNI_PLUGINS
        .into_iter()
        .filter(|plugin| !folders.iter().any(|folder| folder.join(plugin).is_file()))
        .collect()
}

/// Only if a TPM is requested.
pub(super) fn swtpm(inputs: &Inputs) -> Vec<Finding> {
    let wanted = ["--with-tpm2", "--with-tpm1_2"]
        .iter()
        .any(|flag| inputs.switch(flag, false));
    match (wanted, Host::which_as_root("swtpm")) {
        (false, _) => Vec::new(),
        (true, Some(path)) => vec![Finding::ok("swtpm", format!("`{path}`"))],
        (true, None) => {
            let finding = Finding::missing("swtpm", "no `swtpm`, and a TPM is asked for");
            vec![with_package(
                finding,
                Need::Swtpm,
                inputs.ctx.host.is_root(),
            )]
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes what is looked at")]
mod tests {
    use super::super::finding::Status;
    use super::*;

    fn root() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        (dir, root)
    }

    #[test]
    fn firmware_is_taken_as_talosctl_takes_it() {
        let (_dir, root) = root();
        let firmware = talos::TalosVersion::parse("v1.12.0")
            .unwrap()
            .firmware(Arch::Amd64);
        assert_eq!(search(&root, &firmware, &[]), (None, None));
        let put = |path: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        };
        put("usr/share/ovmf/OVMF.fd");
        assert_eq!(
            search(&root, &firmware, &[]),
            (Some("/usr/share/ovmf/OVMF.fd".into()), None)
        );
        put("usr/share/OVMF/OVMF_CODE_4M.secboot.fd");
        put("nix/fw/OVMF_VARS_4M.fd");
        assert_eq!(
            search(&root, &firmware, &["/nix/fw"]),
            (
                Some("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd".into()),
                Some("/nix/fw/OVMF_VARS_4M.fd".into())
            )
        );
    }

    #[test]
    fn kvm_that_opens_and_does_not_work_is_worse_than_none() {
        let status = |found| kvm_finding(&found, false).status;
        assert_eq!(status(Kvm::Usable), Status::Ok);
        assert_eq!(status(Kvm::Absent { module: None }), Status::Warn);
        assert_eq!(status(Kvm::NoPermission), Status::Warn);
        assert_eq!(status(Kvm::Unusable("x".into())), Status::Missing);
    }

    #[test]
    fn plugins_may_lie_in_several_folders() {
        let (_dir, root) = root();
        let folders = [root.join("a"), root.join("b")];
        assert_eq!(missing_plugins(&folders), CNI_PLUGINS);
        for (folder, plugin) in [("a", "bridge"), ("a", "static"), ("b", "firewall")] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
            std::fs::write(root.join(folder).join(plugin), "").unwrap();
        }
        assert_eq!(missing_plugins(&folders), ["tc-redirect-tap"]);
    }
}

//! What the messages of nodes and of the imager about extensions and kernel modules
//! mean: the text that a user sees often names something else than the cause.

use std::borrow::Cow;

/// A message and its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// Short name, for JSON.
    pub id: &'static str,
    /// Parts that a line has, in this order.
    parts: &'static [&'static str],
    pub cause: &'static str,
    pub fix: &'static str,
    /// Rules of `kmod lint` that find it before an upgrade.
    pub rules: &'static [u8],
    /// Another failure that says the same with more detail: then this one is left out.
    detailed_by: &'static [&'static str],
}

/// A line of a log with its failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// From 1.
    pub line: usize,
    pub text: String,
    pub failure: Failure,
}

const fn failure(
    id: &'static str,
    parts: &'static [&'static str],
    cause: &'static str,
    fix: &'static str,
    rules: &'static [u8],
) -> Failure {
    Failure {
        id,
        parts,
        cause,
        fix,
        rules,
        detailed_by: &[],
    }
}

const CRASH: &str = "crash";
const ONE_BUILD: &str = "build kernel and package together, once (`make kernel x-pkg`), and the installer with PKG_KERNEL=<that kernel>";

/// More specific messages first: the first that fits a line is its failure.
pub const FAILURES: &[Failure] = &[
    failure(
        "unsigned",
        &["Loading of unsigned module is rejected"],
        "the module is not signed, or it was stripped after it was signed",
        "install it with `make modules_install INSTALL_MOD_STRIP=1`, which strips before it signs",
        &[12],
    ),
    failure(
        "foreign-key",
        &["Loading of module with unavailable key is rejected"],
        "the module is signed with the key of another build of the kernel; each build makes its own key, and own keys or MOK are not supported (siderolabs/talos#11989)",
        ONE_BUILD,
        &[12],
    ),
    failure(
        "unsupported-crypto",
        &["Loading of module with unsupported crypto is rejected"],
        "the kernel does not have the hash of the signature built in",
        "sign with the hash of CONFIG_MODULE_SIG_HASH",
        &[12],
    ),
    failure(
        "not-enforced",
        &["module verification failed: signature and/or required key missing"],
        "the module is not signed with this kernel's key; signatures are not enforced here, so this alone does not stop it",
        ONE_BUILD,
        &[12],
    ),
    Failure {
        detailed_by: &["unsigned", "foreign-key", "unsupported-crypto"],
        ..failure(
            "rejected",
            &["key was rejected by service"],
            "the kernel refused the module's signature; the kernel's own message beside this one says why",
            "look for `Loading of` in `talosctl dmesg`; usually the module is from another build of the kernel",
            &[12],
        )
    },
    failure(
        "other-build",
        &["disagrees about version of symbol"],
        "the module was built for another configuration or version of the kernel",
        ONE_BUILD,
        &[11, 12, 13],
    ),
    failure(
        "other-release",
        &["version magic '", "should be '"],
        "the module was built for another release or configuration of the kernel",
        "use the extension of this Talos release, or build with PKGS of this Talos",
        &[11, 12],
    ),
    Failure {
        detailed_by: &["other-build", "other-release", "btf"],
        ..failure(
            "invalid-format",
            &["invalid module format"],
            "the module was built for another kernel; the kernel's own message names the symbol or release",
            "look for the module's name in `talosctl dmesg`",
            &[11, 12],
        )
    },
    Failure {
        detailed_by: &["other-build", "other-release", "btf"],
        ..failure(
            "exec-format",
            &["load ", " failed: exec format error"],
            "the file is not a module for this kernel; the kernel's own message names the symbol or release",
            "look for the module's name in `talosctl dmesg`",
            &[11, 12],
        )
    },
    Failure {
        detailed_by: &["btf", "other-build"],
        ..failure(
            "invalid-argument",
            &["load ", " failed: invalid argument"],
            "most often the file is empty, because a hard link in the image becomes an empty file; else a parameter is wrong",
            "look at its size with `talosctl list --long`, and copy the file in the package in place of a link",
            &[10],
        )
    },
    failure(
        "not-found",
        &["error loading module \"", "module not found"],
        "modules.dep of the node does not list the module: its folder is of another kernel release, the extension is not installed, or the name is wrong",
        "check that `talosctl get extensions` has an entry `modules.dep`, and use the name of the .ko file, not of the extension",
        &[11, 19],
    ),
    failure(
        CRASH,
        &["RIP: 0010:", "+0x", "/0x", " ["],
        "this function of the module crashed the kernel; Talos' kernels panic then, and the node boots again",
        "`scripts/faddr2line NAME.ko FUNCTION+OFFSET/SIZE` of the kernel's sources names its line",
        &[],
    ),
    failure(
        "unknown-symbol",
        &["Unknown symbol ", "(err -2)"],
        "the module that exports the symbol is neither in the kernel nor in an extension",
        "ship the module that it depends on (`modinfo -F depends`)",
        &[13],
    ),
    Failure {
        detailed_by: &["unknown-symbol"],
        ..failure(
            "missing-dependency",
            &["load ", " failed: no such file or directory"],
            "a module that it depends on is missing; the file itself exists",
            "look for `Unknown symbol` in `talosctl dmesg`",
            &[13],
        )
    },
    failure(
        "btf",
        &["failed to validate module [", "] BTF: -22"],
        "the module's BTF is from another vmlinux than the one that runs; it is not about the module's code",
        ONE_BUILD,
        &[12],
    ),
    failure(
        "firmware",
        &["Direct firmware load for ", " failed with error -2"],
        "the firmware file is in no installed extension; the driver itself is loaded",
        "install the extension that has the firmware, or add the file to /usr/lib/firmware of yours",
        &[25],
    ),
    failure(
        "lockdown",
        &["Lockdown: ", "use of bpf to read kernel RAM is restricted"],
        "the kernel is locked down for confidentiality, as SecureBoot images boot it; BPF programs that read memory are refused",
        "build the image with the kernel arguments `-lockdown lockdown=integrity`",
        &[],
    ),
    Failure {
        detailed_by: &["lockdown"],
        ..failure(
            "lockdown-verifier",
            &["cannot use helper bpf_probe_read"],
            "usually lockdown=confidentiality, although the verifier does not say so",
            "talosctl read /sys/kernel/security/lockdown; with [confidentiality], build with `-lockdown lockdown=integrity`",
            &[],
        )
    },
    failure(
        "other-driver",
        &["probe of ", " failed with error -16"],
        "the device is bound to another driver already",
        "rebind it with the document PCIDriverRebindConfig (1.12 and later)",
        &[],
    ),
    failure(
        "service-interpreter",
        &["exit code 127"],
        "the service's program or its ELF interpreter does not exist in the service's root",
        "copy the interpreter and libraries below /usr/local/lib/containers/NAME, or link statically",
        &[24],
    ),
    failure(
        "service-not-executable",
        &["exit code 126"],
        "the service's program is not executable, or is for another machine",
        "chmod +x in `install` of pkg.yaml; build for the node's architecture",
        &[24],
    ),
    failure(
        "service-configuration",
        &["service \"ext-", "context deadline exceeded"],
        "the service is not up: most often it waits for an ExtensionServiceConfig of its name, and the node never finishes booting",
        "apply the document ExtensionServiceConfig with that name, without `ext-`",
        &[23],
    ),
    failure(
        "service-spec",
        &["error validating extension service spec"],
        "the service's spec is invalid, so the service does not exist on the node",
        "check the extension with `kmod lint`",
        &[15],
    ),
    failure(
        "imager-release",
        &["copying kernel modules from ", "no such file or directory"],
        "the extension has no modules for the release of the imager's kernel, or a link that leads nowhere",
        "use the extension of this Talos release; remove the links `build` and `source`",
        &[11, 19, 20],
    ),
    failure(
        "unexpected-file",
        &["error loading extension ", "unexpected file "],
        "the image is not an extension: its files must be below /rootfs",
        "check what was named with `image ls`",
        &[1],
    ),
    failure(
        "no-manifest",
        &["extension manifest is missing"],
        "the image is empty for this platform, or it is not an extension",
        "check each platform with `image ls`",
        &[1, 18],
    ),
    failure(
        "no-rootfs",
        &["extension rootfs is missing"],
        "the image has no /rootfs, or its layer was cut off on the way",
        "check the image with `kmod lint`, and push it again",
        &[1, 29],
    ),
    failure(
        "path",
        &["path \"", "is not allowed in extensions"],
        "the path is not allowed in this line of Talos; often the extension is of another release",
        "install below /usr/local, or use the extension of this release",
        &[4],
    ),
    failure(
        "constraint",
        &[
            "version constraint ",
            "can't be satisfied with Talos version",
        ],
        "the manifest excludes this version of Talos",
        "use the extension of this release, or change compatibility.talos.version",
        &[3],
    ),
    failure(
        "tag",
        &["Invalid character(s) found in major number"],
        "Talos was built with a tag that is not a version, such as a bare commit",
        "build the installer with a version as its TAG",
        &[],
    ),
    failure(
        "version-form",
        &["invalid version format", "for extension"],
        "the extension's version has none of upstream's forms",
        "set VERSION in vars.yaml",
        &[9],
    ),
    failure(
        "host-kernel",
        &["/lib/modules/", "/build: No such file"],
        "the driver's Makefile took the build host's kernel (`uname -r`)",
        "pass KERNEL_DIR, KDIR or SYSSRC=/src, as the driver names it",
        &[],
    ),
    failure(
        "platform",
        &["no matching manifest for linux/"],
        "the image was not built for this platform",
        "build it with PLATFORM=linux/amd64,linux/arm64, or only INSTALLER_ARCH of the kernel's platform",
        &[18],
    ),
    failure(
        "docker-import",
        &[
            "error validating installer image",
            "unable to start container process",
        ],
        "the installer was loaded with `docker import`, which drops its entrypoint",
        "use `docker load` or `crane push`",
        &[],
    ),
    failure(
        "not-pulled",
        &["waiting for actor ID"],
        "the installer image was never pulled; often its reference names no registry",
        "name the installer with its registry",
        &[],
    ),
    failure(
        "depmod",
        &["depmod output is not empty"],
        "hack/modules-ARCH.txt names a module without one that it depends on",
        "add the dependency to hack/modules-ARCH.txt",
        &[],
    ),
    failure(
        "sbom",
        &["failed to process SBOM file"],
        "a file in /usr/local/share/spdx is not SPDX JSON",
        "correct or remove it",
        &[34],
    ),
];

impl Failure {
    fn fits(&self, line: &str) -> bool {
        let mut rest = line;
        self.parts.iter().all(|part| match rest.find(part) {
            Some(at) => {
                rest = &rest[at + part.len()..];
                true
            }
            None => false,
        })
    }
}

/// Finds the failures in the lines of a log, each the first time that it appears, without
/// those that another line explains better.
pub fn find<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    let mut is_warning = false;
    for (at, line) in lines.into_iter().enumerate() {
        is_warning = match line {
            _ if line.contains("---[ end trace ") => false,
            _ if line.contains("WARNING: ") && line.contains(" at ") => true,
            _ => is_warning,
        };
        let parts = parts(line);
        for part in &parts {
            let Some(failure) = FAILURES.iter().find(|failure| failure.fits(part)) else {
                continue;
            };
            // A warning names a function, too, and the kernel goes on.
            if is_warning && failure.id == CRASH {
                continue;
            }
            if found.iter().all(|it| it.failure.id != failure.id) {
                found.push(Found {
                    line: at + 1,
                    text: if parts.len() > 1 { part } else { line }.trim().to_owned(),
                    failure: *failure,
                });
            }
        }
    }
    let ids: Vec<&str> = found.iter().map(|it| it.failure.id).collect();
    found.retain(|it| !it.failure.detailed_by.iter().any(|id| ids.contains(id)));
    found
}

/// Controllers write their error as JSON: quotes have a backslash, and several errors
/// are joined by `\n`.
fn parts(line: &str) -> Vec<Cow<'_, str>> {
    if !line.contains('\\') {
        return vec![Cow::Borrowed(line)];
    }
    let parts = line.split("\\n");
    parts
        .map(|part| Cow::Owned(part.replace("\\\"", "\"")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(log: &str) -> Vec<&'static str> {
        find(log.lines()).iter().map(|it| it.failure.id).collect()
    }

    #[test]
    fn the_kernels_message_explains_the_controllers() {
        let controller = "user: warning: [talos] controller failed {\"error\": \"load hello failed: key was rejected by service\"}";
        assert_eq!(ids(controller), ["rejected"]);
        let kernel = "kern: err: [   12.3]: Loading of module with unavailable key is rejected";
        assert_eq!(
            ids(&format!("{controller}\n{kernel}\n{controller}")),
            ["foreign-key"]
        );
    }

    #[test]
    fn every_error_of_a_controllers_line_is_found() {
        // As a node wrote it.
        let line = r#"172.20.0.3: user: warning: [2026-11-29T09:23:15.32494318Z]: [talos] controller failed {"component": "controller-runtime", "controller": "runtime.KernelModuleSpecController", "error": "error loading module \"ifb\": load ifb failed: invalid argument\nerror loading module \"lab_base\": module not found"}"#;
        assert_eq!(ids(line), ["invalid-argument", "not-found"]);
        assert_eq!(
            find([line])[1].text,
            "error loading module \"lab_base\": module not found\"}"
        );
    }

    #[test]
    fn a_warning_is_not_a_crash() {
        let function = "[   12.4] RIP: 0010:x_probe+0x1c/0x90 [x]";
        let warning = format!(
            "[   12.3] WARNING: CPU: 0 PID: 7 at drivers/x/core.c:42 x_probe+0x1c/0x90 [x]\n{function}"
        );
        assert_eq!(ids(&warning), [""; 0]);
        let later = "[   12.5] ---[ end trace 0000000000000000 ]---";
        assert_eq!(ids(&format!("{warning}\n{later}\n{function}")), ["crash"]);
    }

    #[test]
    fn texts_that_mislead_have_their_cause() {
        for (line, id) in [
            (
                "cx2341x: Unknown symbol v4l2_ctrl_find (err -2)",
                "unknown-symbol",
            ),
            (
                "load cx23885 failed: no such file or directory",
                "missing-dependency",
            ),
            (
                "error loading module \"drbd\": module not found",
                "not-found",
            ),
            ("BPF:failed to validate module [hello] BTF: -22", "btf"),
            (
                "bnx2 0000:01:00.0: Direct firmware load for bnx2/x.fw failed with error -2",
                "firmware",
            ),
            (
                "Lockdown: podtrace: use of bpf to read kernel RAM is restricted; see man",
                "lockdown",
            ),
            (
                "error loading extension 0: unexpected file \"bin\"",
                "unexpected-file",
            ),
            (
                "copying kernel modules from /x failed: stat /y: no such file or directory",
                "imager-release",
            ),
            (
                "service \"ext-lldpd\" to be \"up\": context deadline exceeded",
                "service-configuration",
            ),
            (
                "ext-iscsid: exit code 127, going to restart forever",
                "service-interpreter",
            ),
        ] {
            assert_eq!(ids(line), [id], "{line}");
        }
        assert!(ids("module not found\nload failed\nexit code 12").is_empty());
    }

    #[test]
    fn every_failure_can_be_found_by_its_own_parts() {
        for failure in FAILURES {
            let line = failure.parts.join(" … ");
            assert_eq!(ids(&line), [failure.id]);
            let known = |id: &&str| FAILURES.iter().any(|it| it.id == *id);
            assert!(failure.detailed_by.iter().all(known));
        }
    }
}

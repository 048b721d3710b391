//! A host for `doctor` to look at: a HOME, a checkout, and a PATH on which the
//! test decides what there is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// What KVM's probe wants to hear; see `ctx::kvm`.
const QEMU: &str = "case $1 in --version) echo 'QEMU emulator version 9.0.0';; \
    *) echo \"qemu: -device xtask-no-such-device: 'xtask-no-such-device' is not a valid device model name\" >&2; exit 1;; esac";
const TALOSCTL: &str = "echo 'Talos v1.12.0'";
const NO_ENGINE: &str = "echo '{\"Client\":{\"Version\":\"28.2.2\"},\"Server\":null}'; \
    echo 'Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?' >&2; exit 1";
/// Asks for nothing and grants nothing.
const SUDO: &str = "while [ \"$1\" = -n ] || [ \"$1\" = -- ]; do shift; done; exec \"$@\"";

/// A host that has all that a cluster needs, in the shape of small programs.
pub(crate) struct Host {
    dir: TempDir,
}

impl Host {
    pub(crate) fn ready() -> Self {
        let host = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        for (name, script) in [
            ("qemu-system-x86_64", QEMU),
            ("qemu-system-aarch64", QEMU),
            ("talosctl", TALOSCTL),
            ("ip", "echo '[]'"),
            ("iptables", "echo '-P FORWARD ACCEPT'"),
            ("sudo", SUDO),
            ("true", ""),
            ("make", ""),
            ("git", ""),
            ("crane", ""),
            ("docker", NO_ENGINE),
        ] {
            host.program(name, script);
        }
        host.write("talos/go.mod", "module github.com/siderolabs/talos\n");
        host.write("talos/pkg/machinery/gendata/data/tag", "v1.12.0");
        host.write(
            "talos/Makefile",
            "USERNAME ?= siderolabs\nGREETING ?= hello\n\techo ?= no\n",
        );
        for arch in ["amd64", "arm64"] {
            host.write(&format!("talos/_out/vmlinuz-{arch}"), "");
            host.write(&format!("talos/_out/initramfs-{arch}.xz"), "");
        }
        for firmware in [
            "OVMF_CODE.fd",
            "OVMF_VARS.fd",
            "AAVMF_CODE.fd",
            "AAVMF_VARS.fd",
        ] {
            host.write(&format!("firmware/{firmware}"), "");
        }
        fs::create_dir(host.home()).unwrap();
        host
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.path("home")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn program(&self, name: &str, script: &str) {
        let name = format!("path/{name}");
        self.write(&name, &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(self.path(&name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .arg("doctor")
            .args(words)
            .current_dir(self.path("talos"))
            .env_clear()
            // As cargo does, which is what hints then name.
            .env("CARGO_PKG_NAME", "xtask")
            .env("HOME", self.home())
            .env("PATH", self.path("path"));
        command
    }

    /// Small, on an unused network, with the firmware found anywhere.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let firmware = self.path("firmware");
        [
            "--cidr=10.213.77.0/24",
            "--controlplanes=1",
            "--workers=0",
            "--memory=256",
            // Less memory than Talos needs is refused where readiness is waited for.
            "--no-wait",
            "--",
        ]
        .map(str::to_owned)
        .into_iter()
        .chain([
            format!("--extra-uefi-search-paths={}", firmware.display()),
            "--disk=1".to_owned(),
            // Unused too, so that a host with Kubernetes passes.
            "--control-plane-port=1".to_owned(),
            "--nameservers=127.0.0.1".to_owned(),
        ])
        .collect()
    }

    pub(crate) fn json(&self, change: impl FnOnce(&mut Command)) -> (Option<i32>, Value) {
        let arguments = self.arguments();
        let words: Vec<&str> = ["--json"]
            .into_iter()
            .chain(arguments.iter().map(String::as_str))
            .collect();
        let mut command = self.command(&words);
        change(&mut command);
        let output = command.output().unwrap();
        (output.status.code(), parse(&output))
    }
}

pub(crate) fn parse(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

pub(crate) fn find<'a>(report: &'a Value, id: &str) -> Option<&'a Value> {
    let findings = report["findings"].as_array().unwrap();
    findings.iter().find(|finding| finding["id"] == id)
}

/// The finding's status, with the finding where it is not the wanted one.
#[track_caller]
pub(crate) fn is(report: &Value, id: &str, status: &str) {
    let finding = find(report, id).unwrap_or_else(|| panic!("no `{id}` in {report:#}"));
    assert_eq!(finding["status"], status, "{finding:#}");
    // Whatever is wrong has a way out.
    assert!(status == "ok" || finding["cure"].is_string(), "{finding:#}");
}

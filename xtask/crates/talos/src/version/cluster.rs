//! `talosctl cluster`: verbs, flags and defaults, per line.
//!
//! Source: docs/talos-facts.md#talosctl-cluster-flags; every method names its commit.

use super::TalosVersion;
use crate::names::Role;

/// CNI plugins that a QEMU cluster needs in `--cni-bin-path`; any missing one
/// makes talosctl download the bundle (`pkg/provision/providers/qemu/preflight_linux.go`).
pub const CNI_PLUGINS: [&str; 4] = ["bridge", "firewall", "static", "tc-redirect-tap"];

/// Memory in MiB that a machine needs to pass the checks of `cluster create`, the
/// same in all lines (pkg/minimal/limits.go).
pub const fn minimum_memory_mib(role: Role) -> u64 {
    match role {
        Role::ControlPlane => 1848,
        Role::Worker => 1024,
    }
}

impl TalosVersion {
    /// Verb that makes a QEMU cluster from local artifacts.
    ///
    /// 1.12+ has `create dev` (43b1d7537); bare `create` stays as a hidden alias
    /// that prints a warning and ignores `--provisioner` (T8).
    pub fn create_args(&self) -> &'static [&'static str] {
        if self.since(12) {
            &["cluster", "create", "dev"]
        } else {
            &["cluster", "create", "--provisioner=qemu"]
        }
    }

    /// Verb that destroys a QEMU cluster.
    ///
    /// Up to 1.11 the provisioner defaults to docker, and destroying a QEMU
    /// cluster with it deletes the state folder and stops nothing (T3, 43b1d7537).
    pub fn destroy_args(&self) -> &'static [&'static str] {
        if self.destroy_reads_provisioner() {
            &["cluster", "destroy"]
        } else {
            &["cluster", "destroy", "--provisioner=qemu"]
        }
    }

    /// Whether `destroy` finds the provisioner in `state.yaml` (1.12+, 43b1d7537).
    /// It then also refuses a folder without `state.yaml` (T5).
    pub fn destroy_reads_provisioner(&self) -> bool {
        self.since(12)
    }

    /// Whether an absolute `TALOS_HOME` replaces `~/.talos` (1.12+, 4f6218674; a
    /// relative one is ignored). Older lines follow `HOME` alone.
    pub fn honours_talos_home(&self) -> bool {
        self.since(12)
    }

    /// Whether `--memory` takes units; a bare number is MiB everywhere (1.12+, b6410914f).
    pub fn memory_takes_units(&self) -> bool {
        self.since(12)
    }

    /// `mib` as `--memory` and `--memory-workers` take it: `2048MiB`, or `2048` up to 1.11.
    pub fn memory_value(&self, mib: u64) -> String {
        if self.memory_takes_units() {
            format!("{mib}MiB")
        } else {
            mib.to_string()
        }
    }

    /// Whether `create` has `--with-debug-shell`, in all lines hidden from the help;
    /// `talosctl debug` replaced it (1.14+, 919d8c365).
    pub fn has_debug_shell(&self) -> bool {
        !self.since(14)
    }

    /// The flag that gives extra disks to control planes too; up to 1.13 only workers
    /// have them.
    pub fn extra_disks_on_controlplanes_flag(&self) -> Option<&'static str> {
        self.since(14).then_some("--extra-disks-on-controlplanes")
    }

    /// Flags of `create` that its help does not show.
    pub fn hidden_create_flags(&self) -> &'static [&'static str] {
        match (self.has_debug_shell(), self.since(12)) {
            (true, false) => &["with-debug-shell", "masters"],
            (true, true) => &["with-debug-shell", "provisioner"],
            (false, _) => &["provisioner"],
        }
    }

    /// Whether a cluster serves DNS on its gateway, port 53 (1.12+, c0772b8ed).
    pub fn serves_dns(&self) -> bool {
        self.since(12)
    }

    /// URL from which talosctl downloads missing CNI plugins: the bundle of its last
    /// tag, also for development builds. `arch` is Go's name (`amd64`).
    pub fn cni_bundle_url(&self, arch: &str) -> String {
        let tag = self.tag();
        format!(
            "https://github.com/siderolabs/talos/releases/download/{tag}/talosctl-cni-bundle-{arch}.tar.gz"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(minor: u64) -> TalosVersion {
        TalosVersion::parse(&format!("v1.{minor}.0")).unwrap()
    }

    #[test]
    fn provisioner_is_never_left_to_chance() {
        for minor in 9..=15 {
            let version = v(minor);
            let named = |args: &[&str]| args.contains(&"--provisioner=qemu");
            assert_eq!(named(version.create_args()), minor < 12);
            assert_eq!(named(version.destroy_args()), minor < 12);
        }
    }

    #[test]
    fn the_debug_shell_ends_with_1_13() {
        for minor in 9..=15 {
            let version = v(minor);
            let hidden = version.hidden_create_flags();
            assert_eq!(hidden.contains(&"with-debug-shell"), minor < 14);
            assert_eq!(version.has_debug_shell(), minor < 14);
            assert_eq!(
                version.extra_disks_on_controlplanes_flag().is_some(),
                minor >= 14
            );
        }
    }

    #[test]
    fn memory_in_each_dialect() {
        assert_eq!(v(11).memory_value(2048), "2048");
        assert_eq!(v(12).memory_value(2048), "2048MiB");
    }

    #[test]
    fn bundle_of_a_development_build_is_the_tags() {
        let dev = TalosVersion::parse("v1.14.0-beta.1-84-gad8823176").unwrap();
        assert!(
            dev.cni_bundle_url("amd64")
                .contains("/v1.14.0-beta.1/talosctl-cni-bundle-amd64")
        );
    }
}

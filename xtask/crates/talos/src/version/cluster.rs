//! `talosctl cluster`: verbs, flags and defaults, per line.
//!
//! Source: docs/talos-facts.md#talosctl-cluster-flags; every method names its commit.

use super::TalosVersion;

/// Where `cluster create` takes the machine configuration contract from when
/// `--talos-version` is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigVersionSource {
    /// The tag of `--install-image`.
    InstallImageTag,
    /// talosctl's own tag (or the environment's `TAG`): an image of another
    /// line needs an explicit `--talos-version`.
    OwnTag,
}

/// What a node resolves names with when `--nameservers` is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultNameservers {
    /// These public resolvers: a host without internet gives nodes no DNS.
    Public(&'static [&'static str]),
    /// The bridge gateway, where `dnsd-launch` forwards to the host's resolvers.
    Gateway,
}

/// Repository of the installer image that `cluster create` uses by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultInstallImage {
    /// `ghcr.io/siderolabs/installer`.
    Ghcr,
    /// `factory.talos.dev/metal-installer/<empty schematic>`: without a mirror
    /// of the factory (port 5006) every install goes to the internet.
    Factory,
}

impl DefaultInstallImage {
    /// The image reference without its tag.
    pub fn repository(self) -> &'static str {
        match self {
            Self::Ghcr => "ghcr.io/siderolabs/installer",
            Self::Factory => {
                "factory.talos.dev/metal-installer/376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"
            }
        }
    }

    /// The registry that must be reachable, or mirrored.
    pub fn registry(self) -> &'static str {
        match self {
            Self::Ghcr => "ghcr.io",
            Self::Factory => "factory.talos.dev",
        }
    }
}

/// talosctl's `--cidr` default; the guide uses 172.20.0.0/24.
pub const DEFAULT_CIDR: &str = "10.5.0.0/24";
/// talosctl's `--name` default.
pub const DEFAULT_NAME: &str = "talos-default";
/// CNI plugins that a QEMU cluster needs in `--cni-bin-path`; any missing one
/// makes talosctl download the bundle (`pkg/provision/providers/qemu/preflight_linux.go`).
pub const CNI_PLUGINS: [&str; 4] = ["bridge", "firewall", "static", "tc-redirect-tap"];

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

    /// Verb that shows a QEMU cluster; all lines default to docker here (T9).
    #[allow(clippy::unused_self)] // a method of the version like its kin, should a line change it
    pub fn show_args(&self) -> &'static [&'static str] {
        &["cluster", "show", "--provisioner=qemu"]
    }

    /// `cluster reboot [-n NAME|IP]…`, which sends `q` to the monitor (1.14+, db052165c).
    pub fn reboot_args(&self) -> Option<&'static [&'static str]> {
        self.since(14).then_some(&["cluster", "reboot"])
    }

    /// `cluster logs [MACHINE] [-f]` (1.14+, a0c76fad1).
    pub fn logs_args(&self) -> Option<&'static [&'static str]> {
        self.since(14).then_some(&["cluster", "logs"])
    }

    /// `cluster sync`, for remote provisioners only (1.14+, 4bff7eb90).
    pub fn sync_args(&self) -> Option<&'static [&'static str]> {
        self.since(14).then_some(&["cluster", "sync"])
    }

    /// Whether `cluster` takes `--remote-endpoint` (1.14+, 19fac6151).
    pub fn has_remote_endpoint(&self) -> bool {
        self.since(14)
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

    /// Default of `--talos-version` (own tag from 1.12 on, f504639df).
    pub fn config_version_source(&self) -> ConfigVersionSource {
        if self.since(12) {
            ConfigVersionSource::OwnTag
        } else {
            ConfigVersionSource::InstallImageTag
        }
    }

    /// Default of `--nameservers` on Linux (gateway from 1.12 on, c0772b8ed).
    pub fn default_nameservers(&self) -> DefaultNameservers {
        if self.serves_dns() {
            DefaultNameservers::Gateway
        } else {
            DefaultNameservers::Public(&[
                "8.8.8.8",
                "1.1.1.1",
                "2001:4860:4860::8888",
                "2606:4700:4700::1111",
            ])
        }
    }

    /// Whether a cluster serves DNS on its gateway, port 53 (1.12+, c0772b8ed).
    pub fn serves_dns(&self) -> bool {
        self.since(12)
    }

    /// Default of `--install-image` (factory from 1.14 on, 96a8ecd1e; ghcr has
    /// no installer of those lines, cf6065238).
    pub fn default_install_image(&self) -> DefaultInstallImage {
        if self.since(14) {
            DefaultInstallImage::Factory
        } else {
            DefaultInstallImage::Ghcr
        }
    }

    /// Flags with which `create` starts the VMs and returns: no wait for an API,
    /// no kubeconfig. Plain `--wait=false` still waits up to 20 minutes for the
    /// bootstrap (T7). The first node becomes an init node, which bootstraps itself.
    #[allow(clippy::unused_self)]
    pub fn no_wait_args(&self) -> &'static [&'static str] {
        &["--wait=false", "--with-init-node"]
    }

    /// The same with nodes left in maintenance mode: no config is served, and
    /// `controlplane.yaml` and `worker.yaml` land in the working directory.
    /// Up to 1.11 this combination still waits (T7).
    pub fn no_wait_maintenance_args(&self) -> Option<&'static [&'static str]> {
        self.since(12)
            .then_some(&["--wait=false", "--skip-injecting-config"])
    }

    /// Whether `--with-debug-shell` (hidden) and `WITH_DEBUG_SHELL` exist (until
    /// 1.13, 919d8c365). With it a node has a `<node>.serial` socket too.
    pub fn has_debug_shell(&self) -> bool {
        !self.since(14)
    }

    /// `debug IMAGE --args /bin/sh`: a container on a node (1.13+, d43a01ccb).
    pub fn debug_container_args(&self) -> Option<&'static [&'static str]> {
        self.since(13).then_some(&["debug"])
    }

    /// Times the launcher starts QEMU when it dies within 5 s (1.14+, b1bdc8c07).
    pub fn qemu_start_attempts(&self) -> u32 {
        if self.since(14) { 5 } else { 1 }
    }

    /// Where talosctl downloads missing CNI plugins from: the bundle of its last
    /// tag, also in development builds. `arch` is Go's name (`amd64`).
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
            assert!(named(version.show_args()));
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

//! What the Makefile and hack/ of a line give: installer, integration tests,
//! registry caches, Go.
//!
//! Source: docs/talos-facts.md#makefile-targets and #integration-binary.

use super::TalosVersion;

/// How an installer image comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallerFlow {
    /// `make installer` builds and pushes one image.
    RegistryImage,
    /// `make installer-base imager`, then `make installer` runs the imager and
    /// pushes with crane, whatever `PUSH` says.
    BaseAndImager,
}

/// A pull-through cache that hack/start-registry-proxies.sh starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistryProxy {
    /// Registry that nodes ask for: `docker.io`.
    pub host: &'static str,
    /// What the cache asks: `https://registry-1.docker.io`.
    pub upstream: &'static str,
    pub port: u16,
}

impl RegistryProxy {
    /// Name of its container: `registry-docker.io`.
    pub fn container(&self) -> String {
        format!("registry-{}", self.host)
    }
}

const PROXIES: [RegistryProxy; 5] = [
    RegistryProxy {
        host: "docker.io",
        upstream: "https://registry-1.docker.io",
        port: 5000,
    },
    RegistryProxy {
        host: "registry.k8s.io",
        upstream: "https://registry.k8s.io",
        port: 5001,
    },
    RegistryProxy {
        host: "gcr.io",
        upstream: "https://gcr.io",
        port: 5003,
    },
    RegistryProxy {
        host: "ghcr.io",
        upstream: "https://ghcr.io",
        port: 5004,
    },
    RegistryProxy {
        host: "factory.talos.dev",
        upstream: "https://factory.talos.dev",
        port: 5006,
    },
];

/// Port of the guide's own registry, container `local`.
pub const LOCAL_REGISTRY_PORT: u16 = 5005;

/// A flag of the integration test binary, without its dash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntegrationFlag {
    pub name: &'static str,
    /// First and last minor of 1.x that has it, as in the sources.
    since: u64,
    until: Option<u64>,
}

const fn flag(name: &'static str, since: u64) -> IntegrationFlag {
    IntegrationFlag {
        name,
        since,
        until: None,
    }
}

/// `0` stands for "before 1.9".
const INTEGRATION_FLAGS: &[IntegrationFlag] = &[
    flag("talos.config", 0),
    flag("talos.csi", 0),
    flag("talos.csi.timeout", 0),
    flag("talos.endpoint", 0),
    flag("talos.extensions.nvidia", 0),
    flag("talos.extensions.qemu", 0),
    flag("talos.failfast", 0),
    flag("talos.go.version", 0),
    flag("talos.helmpath", 0),
    flag("talos.image", 0),
    flag("talos.k8sendpoint", 0),
    flag("talos.kubectlpath", 0),
    flag("talos.kubestrpath", 0),
    flag("talos.name", 0),
    flag("talos.provision.cidr", 0),
    flag("talos.provision.cni-bundle-url", 0),
    flag("talos.provision.controlplanes", 0),
    flag("talos.provision.cpu", 0),
    IntegrationFlag {
        name: "talos.provision.custom-cni-url",
        since: 0,
        until: Some(13),
    },
    flag("talos.provision.disk", 0),
    flag("talos.provision.mem", 0),
    flag("talos.provision.mtu", 0),
    flag("talos.provision.registry-mirror", 0),
    flag("talos.provision.target-installer-registry", 0),
    flag("talos.provision.workers", 0),
    flag("talos.provisioner", 0),
    flag("talos.state", 0),
    flag("talos.talosctlpath", 0),
    flag("talos.trustedboot", 0),
    flag("talos.version", 0),
    flag("talos.enforcing", 10),
    flag("talos.verifyukibooted", 10),
    flag("talos.airgapped", 12),
    flag("talos.race", 12),
    flag("talos.virtiofsd", 13),
    flag("talos.bgp", 14),
    flag("talos.bgp.cilium", 14),
    flag("talos.bgp.clos", 14),
    flag("talos.dedicated-system-volumes", 14),
    flag("talos.remote-endpoint", 14),
    flag("talos.skip-ephemeral-policy", 14),
];

impl TalosVersion {
    /// How to make an installer (unified installer from 1.10 on, fd8131cb8).
    pub fn installer_flow(&self) -> InstallerFlow {
        if self.since(10) {
            InstallerFlow::BaseAndImager
        } else {
            InstallerFlow::RegistryImage
        }
    }

    /// File to which `make installer` writes the pushed reference (1.13+,
    /// 8f2b33799); older lines only print it.
    pub fn installer_image_file(&self) -> Option<&'static str> {
        self.since(13).then_some("_out/installer_image")
    }

    /// Make target of the integration test binary for Go's `os` and `arch`.
    ///
    /// Until 1.13 a file target without prerequisites: make does nothing when
    /// the file exists, so delete it first (T12). 1.14+ `integration-test` is
    /// phony and always rebuilds for the host (366b10b79).
    pub fn integration_target(&self, os: &str, arch: &str) -> String {
        if self.integration_target_rebuilds() {
            format!("integration-test-{os}-{arch}")
        } else {
            integration_binary(os, arch)
        }
    }

    /// Whether that target rebuilds an existing binary (T12).
    pub fn integration_target_rebuilds(&self) -> bool {
        self.since(14)
    }

    /// Where the binary lands, in all lines.
    #[allow(clippy::unused_self)]
    pub fn integration_binary(&self, os: &str, arch: &str) -> String {
        integration_binary(os, arch)
    }

    /// The provision (upgrade) tests' binary, linux/amd64 only. Also its make
    /// target, a file target without prerequisites in every line (T12).
    #[allow(clippy::unused_self)]
    pub fn provision_binary(&self) -> &'static str {
        "_out/integration-test-provision-linux-amd64"
    }

    /// Flags of the integration binaries of this line.
    pub fn integration_flags(&self) -> impl Iterator<Item = IntegrationFlag> {
        let minor = self.clamped_minor();
        INTEGRATION_FLAGS.iter().copied().filter(move |flag| {
            flag.since <= minor && flag.until.is_none_or(|until| minor <= until)
        })
    }

    /// Caches that hack/start-registry-proxies.sh starts: the same in all lines.
    /// quay.io (5002) is used by tests and not among them.
    #[allow(clippy::unused_self)]
    pub fn registry_proxies(&self) -> &'static [RegistryProxy] {
        &PROXIES
    }

    /// Go of the line's go.mod, `major.minor`.
    pub fn go_version(&self) -> &'static str {
        match self.clamped_minor() {
            9 => "1.23",
            10 | 11 => "1.24",
            12 => "1.25",
            _ => "1.26",
        }
    }
}

fn integration_binary(os: &str, arch: &str) -> String {
    format!("_out/integration-test-{os}-{arch}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(minor: u64) -> TalosVersion {
        TalosVersion::parse(&format!("v1.{minor}.0")).unwrap()
    }

    #[test]
    fn installers() {
        assert_eq!(v(9).installer_flow(), InstallerFlow::RegistryImage);
        assert_eq!(v(10).installer_flow(), InstallerFlow::BaseAndImager);
        assert_eq!(v(12).installer_image_file(), None);
        assert_eq!(v(13).installer_image_file(), Some("_out/installer_image"));
    }

    #[test]
    fn integration_targets() {
        let target = |minor| v(minor).integration_target("linux", "amd64");
        assert_eq!(target(13), "_out/integration-test-linux-amd64");
        assert_eq!(target(14), "integration-test-linux-amd64");
        assert_eq!(
            v(14).integration_binary("linux", "amd64"),
            "_out/integration-test-linux-amd64"
        );
    }

    #[test]
    fn integration_flags_come_and_go() {
        let has = |minor, name| v(minor).integration_flags().any(|flag| flag.name == name);
        assert!(has(13, "talos.provision.custom-cni-url"));
        assert!(!has(14, "talos.provision.custom-cni-url"));
        assert!(!has(11, "talos.airgapped") && has(12, "talos.airgapped"));
        // Counted in internal/integration of v1.9.6 and v1.14.0-rc.1.
        assert_eq!(v(9).integration_flags().count(), 30);
        assert_eq!(v(14).integration_flags().count(), 40);
    }

    #[test]
    fn go_of_the_line() {
        let go: Vec<_> = (9..=15).map(|minor| v(minor).go_version()).collect();
        assert_eq!(go, ["1.23", "1.24", "1.24", "1.25", "1.26", "1.26", "1.26"]);
    }

    #[test]
    fn the_factory_is_mirrored() {
        let factory = v(14).default_install_image().registry();
        assert!(
            v(14)
                .registry_proxies()
                .iter()
                .any(|proxy| proxy.host == factory)
        );
    }
}

//! Facts about the Makefile and hack/ of a line: installer, integration tests, registry
//! caches.
//!
//! Source: docs/talos-facts.md#makefile-targets and #integration-binary.

use super::TalosVersion;

/// The way to build an installer image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallerFlow {
    /// `make installer` builds and pushes one image.
    RegistryImage,
    /// `make installer-base imager`, then `make installer` runs the imager and pushes
    /// with crane, regardless of `PUSH`.
    BaseAndImager,
}

/// A pull-through cache that hack/start-registry-proxies.sh starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistryProxy {
    /// Registry in image references: `docker.io`.
    pub host: &'static str,
    /// Registry that the cache pulls from: `https://registry-1.docker.io`.
    pub upstream: &'static str,
    pub port: u16,
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

impl TalosVersion {
    /// How this line builds an installer (unified installer from 1.10 on, fd8131cb8).
    pub fn installer_flow(&self) -> InstallerFlow {
        if self.since(10) {
            InstallerFlow::BaseAndImager
        } else {
            InstallerFlow::RegistryImage
        }
    }

    /// Line of the Linux kernel that nodes run, as in `6.18`; `DefaultKernelVersion` of
    /// `pkg/machinery/constants`.
    pub fn kernel_line(&self) -> &'static str {
        if self.since(12) { "6.18" } else { "6.12" }
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

    /// Path of the binary, the same in all lines.
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

    /// Caches that hack/start-registry-proxies.sh starts: the same in all lines.
    /// quay.io (5002) is used by tests and not among them.
    #[allow(clippy::unused_self)]
    pub fn registry_proxies(&self) -> &'static [RegistryProxy] {
        &PROXIES
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
}

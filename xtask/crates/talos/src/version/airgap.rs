//! The hidden air-gapped test tool of talosctl.
//!
//! Source: docs/talos-facts.md#air-gapped-helper, cmd/talosctl/cmd/mgmt/debug/air-gapped.go.

use super::TalosVersion;

/// A flag of the tool, without its dashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AirGappedFlag {
    pub name: &'static str,
    pub default: &'static str,
    /// Came with 1.11.3 (cd9fb2743, backported).
    late: bool,
}

const FLAGS: &[AirGappedFlag] = &[
    AirGappedFlag {
        name: "advertised-address",
        default: "10.5.0.2",
        late: false,
    },
    AirGappedFlag {
        name: "https-port",
        default: "8001",
        late: false,
    },
    AirGappedFlag {
        name: "proxy-port",
        default: "8002",
        late: false,
    },
    AirGappedFlag {
        name: "https-proxy-port",
        default: "8003",
        late: true,
    },
    AirGappedFlag {
        name: "use-secure-proxy",
        default: "false",
        late: true,
    },
    AirGappedFlag {
        name: "inject-http-proxy",
        default: "true",
        late: true,
    },
    AirGappedFlag {
        name: "https-reverse-proxy-port",
        default: "8004",
        late: true,
    },
    AirGappedFlag {
        name: "https-reverse-proxy-target",
        default: "http://localhost/",
        late: true,
    },
];

/// Documents of the patch that the tool writes: it fits only clusters of a
/// contract that knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchShape {
    /// v1alpha1 alone: CA through `machine.files`, `machine.env`, `extraManifests`.
    FilesAndEnv,
    /// v1alpha1 with `machine.env`, and `TrustedRootsConfig` (the guide's).
    TrustedRoots,
    /// The same with `EnvironmentConfig` in place of `machine.env`.
    Environment,
    /// `KubeExternalManifestConfig`, `EnvironmentConfig` and
    /// `TrustedRootsConfig`; no v1alpha1 any more.
    MultiDoc,
}

/// Name of the patch, written to the working directory. Its certificates live
/// 24 hours (T15).
pub const PATCH_FILE: &str = "air-gapped-patch.yaml";

impl TalosVersion {
    /// Verb of the tool: `debug air-gapped`, from 1.13 on `debug-tool
    /// air-gapped` (d90c775b8, T17).
    pub fn air_gapped_args(&self) -> &'static [&'static str] {
        if self.since(13) {
            &["debug-tool", "air-gapped"]
        } else {
            &["debug", "air-gapped"]
        }
    }

    /// Its flags (five more from 1.11.3 on, cd9fb2743). The one fact that
    /// changed within a line.
    pub fn air_gapped_flags(&self) -> impl Iterator<Item = AirGappedFlag> {
        let late = self.release >= semver::Version::new(1, 11, 3);
        FLAGS.iter().copied().filter(move |flag| late || !flag.late)
    }

    /// Shape of its patch: c77483510 (1.10), c3176adcf (1.13), ab42416e0 (1.14).
    pub fn air_gapped_patch(&self) -> PatchShape {
        match self.clamped_minor() {
            ..=9 => PatchShape::FilesAndEnv,
            10..=12 => PatchShape::TrustedRoots,
            13 => PatchShape::Environment,
            _ => PatchShape::MultiDoc,
        }
    }

    /// Whether `create` has `--airgapped`: a cluster without NAT (1.12+, c0772b8ed).
    pub fn has_airgapped_clusters(&self) -> bool {
        self.since(12)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(minor: u64) -> TalosVersion {
        TalosVersion::parse(&format!("v1.{minor}.0")).unwrap()
    }

    #[test]
    fn flags_and_shapes() {
        assert_eq!(v(10).air_gapped_flags().count(), 3);
        assert_eq!(v(11).air_gapped_flags().count(), 3);
        assert_eq!(
            TalosVersion::parse("v1.11.3")
                .unwrap()
                .air_gapped_flags()
                .count(),
            8
        );
        assert_eq!(v(12).air_gapped_flags().count(), 8);
        assert_eq!(v(9).air_gapped_patch(), PatchShape::FilesAndEnv);
        assert_eq!(v(12).air_gapped_patch(), PatchShape::TrustedRoots);
        assert_eq!(v(13).air_gapped_patch(), PatchShape::Environment);
        assert_eq!(v(15).air_gapped_patch(), PatchShape::MultiDoc);
    }
}

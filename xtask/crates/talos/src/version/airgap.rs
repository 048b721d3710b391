//! Air-gapped testing: talosctl's helper, and what nodes pull.

use super::TalosVersion;

impl TalosVersion {
    /// The flag of `create` that keeps nodes without masquerading: their packets have no
    /// way back (1.12+, c0772b8ed).
    pub fn airgapped_flag(&self) -> Option<&'static str> {
        self.since(12).then_some("--airgapped")
    }

    /// The helper that serves a proxy and a manifest (1.13+ `debug-tool`, d90c775b8).
    pub fn airgap_helper(&self) -> [&'static str; 2] {
        let group = if self.since(13) {
            "debug-tool"
        } else {
            "debug"
        };
        [group, "air-gapped"]
    }

    /// Whether the helper also has a proxy with TLS and a reverse proxy (1.11+).
    pub fn airgap_helper_has_tls_proxies(&self) -> bool {
        self.since(11)
    }

    /// Whether `talosctl image default` lists the installer (up to 1.11).
    pub fn lists_installer_as_default_image(&self) -> bool {
        !self.since(12)
    }

    /// Whether the default installer comes from Image Factory (1.14+, 96a8ecd1e).
    pub fn installs_from_factory(&self) -> bool {
        self.since(14)
    }

    /// Whether image caches and verification also pull signatures (1.13+).
    pub fn pulls_signatures(&self) -> bool {
        self.since(13)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_helper_moved_and_grew() {
        let v = |minor| TalosVersion::release(1, minor, 0);
        assert_eq!(v(12).airgap_helper(), ["debug", "air-gapped"]);
        assert_eq!(v(13).airgap_helper(), ["debug-tool", "air-gapped"]);
        assert!(!v(10).airgap_helper_has_tls_proxies() && v(11).airgap_helper_has_tls_proxies());
        assert_eq!(v(11).airgapped_flag(), None);
        assert!(v(11).lists_installer_as_default_image() && v(14).installs_from_factory());
    }
}

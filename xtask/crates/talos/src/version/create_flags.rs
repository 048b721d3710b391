//! The flags of the QEMU development cluster's create verb, per line.
//!
//! What all lines share is not listed one by one: the harness passes what comes
//! after `--` untouched, and only asks for flags that it sets itself or that
//! came or went. Source: docs/talos-facts.md#talosctl-cluster-flags and the recorded `--help`.

use super::TalosVersion;

/// A flag that the harness sets, or that not every line has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreateFlag {
    /// Without the dashes.
    pub name: &'static str,
    /// First and last minor of 1.x that has it; `None` = before 1.9, still there.
    since: Option<u64>,
    until: Option<u64>,
    /// Accepted, but not in `--help`.
    pub hidden: bool,
}

const fn always(name: &'static str) -> CreateFlag {
    CreateFlag {
        name,
        since: None,
        until: None,
        hidden: false,
    }
}

const fn from(name: &'static str, minor: u64) -> CreateFlag {
    CreateFlag {
        name,
        since: Some(minor),
        until: None,
        hidden: false,
    }
}

const fn to(name: &'static str, minor: u64) -> CreateFlag {
    CreateFlag {
        name,
        since: None,
        until: Some(minor),
        hidden: false,
    }
}

const FLAGS: &[CreateFlag] = &[
    always("arch"),
    always("cidr"),
    always("cni-bin-path"),
    always("cni-bundle-url"),
    always("cni-cache-dir"),
    always("cni-conf-dir"),
    always("config-injection-method"),
    always("config-patch"),
    always("config-patch-control-plane"),
    always("config-patch-worker"),
    always("control-plane-port"),
    always("controlplanes"),
    always("cpus"),
    always("cpus-workers"),
    always("disable-dhcp-hostname"),
    always("disk"),
    always("disk-preallocate"),
    always("extra-boot-kernel-args"),
    always("extra-disks"),
    always("extra-disks-drivers"),
    always("extra-disks-size"),
    always("extra-uefi-search-paths"),
    always("initrd-path"),
    always("install-image"),
    always("iso-path"),
    always("kubernetes-version"),
    always("memory"),
    always("memory-workers"),
    always("mtu"),
    always("nameservers"),
    always("registry-insecure-skip-verify"),
    always("registry-mirror"),
    always("skip-injecting-config"),
    always("skip-k8s-node-readiness-check"),
    always("skip-kubeconfig"),
    always("talos-version"),
    always("talosconfig"),
    always("use-vip"),
    always("vmlinuz-path"),
    always("wait"),
    always("wait-timeout"),
    always("with-apply-config"),
    always("with-bootloader"),
    always("with-debug"),
    always("with-firewall"),
    always("with-init-node"),
    always("with-json-logs"),
    always("with-kubespan"),
    always("with-siderolink"),
    always("with-tpm2"),
    always("with-uefi"),
    always("with-uuid-hostnames"),
    always("workers"),
    to("user-disk", 9),
    from("encrypt-user-volumes", 10),
    from("uki-path", 10),
    from("user-volumes", 10),
    from("with-iommu", 10),
    from("with-tpm1_2", 10),
    to("masters", 10),
    to("provisioner", 11),
    to("input-dir", 11),
    from("airgapped", 12),
    from("image-cache-path", 12),
    from("image-cache-port", 12),
    from("image-cache-tls-cert-file", 12),
    from("image-cache-tls-key-file", 12),
    from("omni-api-endpoint", 12),
    from("skip-injecting-extra-cmdline", 12),
    from("extra-disks-serials", 13),
    from("extra-disks-tags", 13),
    CreateFlag {
        hidden: true,
        ..to("with-debug-shell", 13)
    },
    from("extra-disks-on-controlplanes", 14),
    from("primary-disks", 14),
    from("skip-etcd-k8s", 14),
    from("skip-unattended-install-config", 14),
    from("with-bgp", 14),
    from("with-bgp-clos", 14),
];

impl TalosVersion {
    /// Flags of [`create_args`](Self::create_args) that this line has, of those known here.
    pub fn create_flags(&self) -> impl Iterator<Item = CreateFlag> {
        let minor = self.clamped_minor();
        FLAGS.iter().copied().filter(move |flag| flag.is_in(minor))
    }

    /// Whether `create` takes `--name` (without its dashes): `Some(false)` for a
    /// flag that only other lines have, `None` for one this table does not know.
    pub fn create_takes(&self, name: &str) -> Option<bool> {
        let minor = self.clamped_minor();
        let flag = FLAGS.iter().find(|flag| flag.name == name)?;
        Some(flag.is_in(minor))
    }

    /// Flags known here that only other lines' create verb has.
    pub fn absent_create_flags(&self) -> impl Iterator<Item = CreateFlag> {
        let minor = self.clamped_minor();
        FLAGS.iter().copied().filter(move |flag| !flag.is_in(minor))
    }
}

impl CreateFlag {
    fn is_in(&self, minor: u64) -> bool {
        self.since.is_none_or(|since| minor >= since)
            && self.until.is_none_or(|until| minor <= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_there_gone_or_unknown() {
        let old = TalosVersion::parse("v1.11.0").unwrap();
        let new = TalosVersion::parse("v1.14.0").unwrap();
        assert_eq!(old.create_takes("airgapped"), Some(false));
        assert_eq!(new.create_takes("airgapped"), Some(true));
        assert_eq!(new.create_takes("provisioner"), Some(false));
        assert_eq!(new.create_takes("no-such-flag"), None);
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = FLAGS.iter().map(|flag| flag.name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}

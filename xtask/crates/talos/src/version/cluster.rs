//! `talosctl cluster`: verbs, flags and defaults, per line.
//!
//! Source: docs/talos-facts.md#talosctl-cluster-flags; every method names its commit.

use super::TalosVersion;
use crate::names::Role;
use crate::process::Helper;

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

/// What the helpers of a cluster are started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelperNetwork {
    pub state_dir: String,
    pub bridge: String,
    /// Addresses of the bridge, as text.
    pub gateways: Vec<String>,
    /// Addresses of the control planes, as text.
    pub control_planes: Vec<String>,
    /// Port of the Kubernetes endpoint.
    pub control_plane_port: u16,
    /// `FOLDER:SOCKET` of each virtiofs disk.
    pub virtiofs: Vec<String>,
    /// The installed `virtiofsd`.
    pub virtiofsd: Option<String>,
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

    /// Whether `<node>.config` names the address of the launcher's API, and not
    /// only its port (1.11+, ec1f41a94). `qemu-launch` of a line reads only the
    /// files of its own form.
    pub fn launch_config_has_address(&self) -> bool {
        self.since(11)
    }

    /// The arguments of the hidden command that runs a helper, as `cluster create`
    /// gives them; `None` for a helper that the line does not have, or whose
    /// arguments are not in the state folder. `serves_dns` tells where the lines
    /// differ; the flags are the same from 1.9 on.
    pub fn helper_args(&self, helper: Helper, network: &HelperNetwork) -> Option<Vec<String>> {
        let gateways = network.gateways.join(",");
        let port = network.control_plane_port.to_string();
        let upstreams = network.control_planes.join(",");
        let flags: Vec<&str> = match helper {
            Helper::Dhcpd => vec![
                "--state-path",
                &network.state_dir,
                "--addr",
                &gateways,
                "--interface",
                &network.bridge,
                "--ipxe-next-handler",
                "",
            ],
            Helper::LoadBalancer => vec![
                "--loadbalancer-addr",
                network.gateways.first()?,
                "--loadbalancer-upstreams",
                &upstreams,
                "--loadbalancer-ports",
                &port,
            ],
            Helper::Dnsd if self.serves_dns() => {
                vec!["--addr", &gateways, "--resolv-conf", "/etc/resolv.conf"]
            }
            Helper::Virtiofsd => {
                let shares = network.virtiofs.join(",");
                let words = [
                    "virtiofsd-launch",
                    "--bin",
                    network.virtiofsd.as_ref()?,
                    "--virtiofs",
                    &shares,
                ];
                return (!shares.is_empty()).then(|| words.map(str::to_owned).into());
            }
            // 4003 is talosctl's `jsonLogsPort`.
            Helper::JsonLogs => {
                let address = format!("{}:4003", network.gateways.first()?);
                let words = ["json-logs-launch", "--addr", &address];
                return Some(words.map(str::to_owned).into());
            }
            _ => return None,
        };
        let words = helper.subcommand().iter().copied().chain(flags);
        Some(words.map(str::to_owned).collect())
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

    /// As recorded in testdata/state/1.12.0/processes.tsv.
    #[test]
    fn helpers_start_with_the_arguments_of_create() {
        let network = HelperNetwork {
            state_dir: "/home/dev/.talos/clusters/lab".into(),
            bridge: "talosa51146d3".into(),
            gateways: vec!["172.20.0.1".into()],
            control_planes: vec!["172.20.0.2".into()],
            control_plane_port: 6443,
            virtiofs: Vec::new(),
            virtiofsd: Some("/usr/libexec/virtiofsd".into()),
        };
        let recorded = include_str!("../../../../testdata/state/1.12.0/processes.tsv");
        for helper in [
            Helper::Dhcpd,
            Helper::LoadBalancer,
            Helper::Dnsd,
            Helper::JsonLogs,
        ] {
            let args = v(12).helper_args(helper, &network).unwrap().join("\t");
            assert!(recorded.contains(&args), "{args}");
        }
        assert_eq!(v(11).helper_args(Helper::Dnsd, &network), None);
        assert_eq!(v(14).helper_args(Helper::Bgp, &network), None);
        assert_eq!(v(13).helper_args(Helper::Virtiofsd, &network), None);
        let shares = [
            "/s/a-1.virtiofs.d:/s/a-1.virtiofs.sock",
            "/s/b-1.virtiofs.d:/s/b-1.virtiofs.sock",
        ];
        let network = HelperNetwork {
            virtiofs: shares.map(str::to_owned).into(),
            ..network
        };
        // As `startVirtiofsd` in pkg/provision/providers/vm/virtiofsd_linux.go.
        let args = v(13).helper_args(Helper::Virtiofsd, &network).unwrap();
        assert_eq!(
            args[..3],
            ["virtiofsd-launch", "--bin", "/usr/libexec/virtiofsd"]
        );
        assert_eq!(args[3..], ["--virtiofs".to_owned(), shares.join(",")]);
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

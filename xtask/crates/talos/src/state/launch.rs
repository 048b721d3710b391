//! `<node>.config`: what the launcher of one node was started with.
//!
//! Source: `LaunchConfig` in pkg/provision/providers/qemu/launch.go. Its `Config`
//! is the machine configuration with all secrets: never read into memory here.

use super::StateError;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::net::IpAddr;

const FILE: &str = "launch config";

/// The fields of a `<node>.config` that the harness uses.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LaunchConfig {
    pub state_path: String,
    #[serde(default)]
    pub disk_paths: Vec<String>,
    /// As given to talosctl: relative to its working directory, or a download in `~/.talos/cache`.
    #[serde(default)]
    pub kernel_image_path: String,
    #[serde(default)]
    pub initrd_path: String,
    #[serde(default)]
    pub kernel_args: String,
    pub monitor_path: String,
    #[serde(default)]
    pub bootloader_enabled: bool,
    /// MiB.
    #[serde(default)]
    pub mem_size: u64,
    #[serde(rename = "VCPUCount", default)]
    pub vcpus: u32,
    #[serde(rename = "APIBindAddress")]
    pub api: ApiAddress,
    #[serde(default)]
    pub network: LaunchNetwork,
    #[serde(default, rename = "Config")]
    _machine_config: IgnoredAny,
}

/// Where the control API and the machine configuration are served.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ApiAddress {
    #[serde(rename = "IP")]
    pub ip: IpAddr,
    pub port: u16,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LaunchNetwork {
    pub bridge_name: String,
    #[serde(rename = "IPs")]
    pub ips: Vec<IpAddr>,
    #[serde(rename = "CIDRs")]
    pub cidrs: Vec<String>,
    pub gateway_addrs: Vec<IpAddr>,
    /// Empty with `--disable-dhcp-hostname`; the guest agent's socket is then `.sock`.
    pub hostname: String,
    #[serde(rename = "MTU")]
    pub mtu: u32,
    /// Until 1.11 missing.
    pub airgapped: bool,
    #[serde(rename = "CNI")]
    pub cni: CniDirs,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CniDirs {
    pub bin_path: Vec<String>,
    pub conf_dir: String,
    /// Its `results` folder has a file per attached node.
    pub cache_dir: String,
}

impl LaunchConfig {
    /// Reads a whole `<node>.config`.
    ///
    /// # Errors
    /// [`StateError::Empty`], or [`StateError::Malformed`] with the place where
    /// a half-written file ends.
    pub fn parse(text: &str) -> Result<Self, StateError> {
        if text.trim().is_empty() {
            return Err(StateError::Empty { file: FILE });
        }
        serde_json::from_str(text).map_err(|error| StateError::json(FILE, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: [&str; 3] = [
        include_str!("../../../../../testdata/state/1.11.0/lab-worker-1.config"),
        include_str!("../../../../../testdata/state/1.12.0/lab-worker-1.config"),
        include_str!("../../../../../testdata/state/1.13.0/lab-worker-1.config"),
    ];

    #[test]
    fn real_files_of_three_lines() {
        for text in RECORDED {
            let config = LaunchConfig::parse(text).unwrap();
            assert_eq!(config.state_path, "/home/dev/.talos/clusters/lab");
            assert_eq!(
                config.monitor_path,
                "/home/dev/.talos/clusters/lab/lab-worker-1.monitor"
            );
            assert_eq!(config.kernel_image_path, "_out/vmlinuz-amd64");
            assert_eq!((config.mem_size, config.vcpus), (256, 2));
            assert_eq!(config.api.ip.to_string(), "172.20.0.1");
            assert_eq!(config.network.hostname, "lab-worker-1");
            assert_eq!(config.network.cni.cache_dir, "/home/dev/.talos/cni/cache");
            assert!(!config.bootloader_enabled && !config.network.airgapped);
        }
    }

    #[test]
    fn any_cut_is_a_typed_error() {
        let text = RECORDED[1].trim_end();
        for at in 0..text.len() {
            let error = LaunchConfig::parse(&text[..at]).unwrap_err();
            assert!(matches!(
                error,
                StateError::Malformed { line: 1, .. } | StateError::Empty { .. }
            ));
        }
    }
}

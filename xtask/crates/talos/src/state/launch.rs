//! `<node>.config`: what the launcher of one node was started with.
//!
//! Source: `LaunchConfig` in pkg/provision/providers/qemu/launch.go. Its `Config`
//! is the machine configuration with all secrets, and never leaves this file.

use super::StateError;
use super::cluster::null_is_empty;
use serde::Deserialize;
use std::fmt;
use std::net::IpAddr;

const FILE: &str = "launch config";

/// The fields of a `<node>.config` that the harness uses.
#[derive(Deserialize)]
pub struct LaunchConfig {
    /// `None` up to 1.10, whose files have only a port (ec1f41a94).
    #[serde(rename = "APIBindAddress", default)]
    pub api: Option<ApiAddress>,
    #[serde(rename = "Network", default)]
    pub network: LaunchNetwork,
    /// Path of the kernel; empty if the node boots from a disk.
    #[serde(rename = "KernelImagePath", default)]
    pub kernel: String,
    /// Path of the initramfs; empty if the node boots from a disk.
    #[serde(rename = "InitrdPath", default)]
    pub initramfs: String,
    /// Paths of the disks; 0 is the system disk.
    #[serde(rename = "DiskPaths", default, deserialize_with = "null_is_empty")]
    pub disks: Vec<String>,
    /// Empty unless nodes boot through iPXE.
    #[serde(rename = "TFTPServer", default)]
    pub tftp_server: String,
    /// The machine configuration, which has secrets.
    #[serde(rename = "Config", default)]
    machine: String,
}

/// Without the machine configuration's secrets.
impl fmt::Debug for LaunchConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaunchConfig")
            .field("api", &self.api)
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}

/// Address that serves the control API and the machine configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ApiAddress {
    #[serde(rename = "IP")]
    pub ip: IpAddr,
    pub port: u16,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LaunchNetwork {
    #[serde(rename = "IPs")]
    pub ips: Vec<IpAddr>,
    #[serde(rename = "CIDRs")]
    pub cidrs: Vec<String>,
}

impl LaunchConfig {
    /// Returns `machine.install.image` of the machine configuration.
    pub fn installer_image(&self) -> Option<String> {
        let is_install = |line: &&str| {
            line.trim_end() == "install:" || line.trim_start().starts_with("install: #")
        };
        let mut lines = self
            .machine
            .lines()
            .skip_while(|line| !is_install(&line.trim_start()));
        let depth = |line: &str| line.len() - line.trim_start().len();
        let install = depth(lines.next()?);
        let mut inside = lines.take_while(|line| depth(line) > install);
        let image = inside.find_map(|line| line.trim_start().strip_prefix("image: "))?;
        let image = image.split(" #").next()?.trim().trim_matches('"');
        (!image.is_empty()).then(|| image.to_owned())
    }

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
        include_str!("../../../../testdata/state/1.11.0/lab-worker-1.config"),
        include_str!("../../../../testdata/state/1.12.0/lab-worker-1.config"),
        include_str!("../../../../testdata/state/1.13.0/lab-worker-1.config"),
    ];

    #[test]
    fn real_files_of_three_lines() {
        for text in RECORDED {
            let config = LaunchConfig::parse(text).unwrap();
            let api = config.api.unwrap();
            assert_eq!(api.ip.to_string(), "172.20.0.1");
            assert!(api.port > 1024);
            assert!(config.disks[0].ends_with("/lab-worker-1-0.disk"));
            assert_eq!(config.network.cidrs, ["172.20.0.0/24"]);
            assert_eq!(config.network.ips.len(), 1);
        }
    }

    #[test]
    fn the_installer_is_found_in_the_machine_configuration() {
        let config = |machine: &str| {
            let mut config = LaunchConfig::parse(RECORDED[1]).unwrap();
            machine.clone_into(&mut config.machine);
            config.installer_image()
        };
        let text = "machine:\n    kubelet:\n        image: ghcr.io/kubelet\n    # Used to install.\n    install:\n        disk: /dev/vda # The disk.\n        image: 127.0.0.1:5005/u/installer:v1@sha256:ab # Why.\n        wipe: false\n    files: []\n";
        assert_eq!(
            config(text).unwrap(),
            "127.0.0.1:5005/u/installer:v1@sha256:ab"
        );
        assert_eq!(
            config("machine:\n    install:\n        disk: x\n    features:\n        image: y\n"),
            None
        );
        assert_eq!(config(""), None);
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

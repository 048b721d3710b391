//! Optional settings: `.cargo/xtask.toml` in the current folder or one above.
//! Unknown keys are errors, so that a typo is not silently ignored.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use crate::failure::{Failure, Result};
use crate::files;

/// All settings; each has a default.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The Talos checkout; relative to the folder that holds `.cargo`.
    pub talos_dir: Option<Utf8PathBuf>,
    /// The talosctl to use instead of the checkout's `_out/talosctl-*`.
    pub talosctl: Option<Utf8PathBuf>,
    pub cluster: ClusterConfig,
    pub builder: BuilderConfig,
    /// Upstreams of the pull-through proxies, by image host.
    pub proxies: BTreeMap<String, String>,
    pub upgrade: UpgradeConfig,
    pub ci: CiConfig,
    /// The folder that holds `.cargo`, for relative paths.
    #[serde(skip)]
    pub base: Option<Utf8PathBuf>,
}

/// Defaults of `cluster up`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClusterConfig {
    pub name: Option<String>,
    pub cidr: Option<String>,
    pub controlplanes: Option<u32>,
    pub workers: Option<u32>,
    /// In MiB, or with a unit.
    pub memory: Option<String>,
    pub memory_workers: Option<String>,
    pub talos_version: Option<String>,
    pub config_patches: Vec<String>,
    pub config_patches_control_plane: Vec<String>,
    pub config_patches_worker: Vec<String>,
    pub with_bootloader: Option<bool>,
    pub cpus: Option<String>,
    pub cpus_workers: Option<String>,
    /// In MiB, or with a unit.
    pub disk: Option<String>,
    pub extra_disks: Option<u32>,
    /// In MiB, or with a unit.
    pub extra_disks_size: Option<String>,
    pub with_uefi: Option<bool>,
    pub with_tpm2: Option<bool>,
    pub secure_boot: Option<bool>,
    pub ipv4: Option<bool>,
    pub ipv6: Option<bool>,
    pub custom_cni_url: Option<String>,
    pub debug_shell: Option<bool>,
    pub arch: Option<String>,
    /// Whether contexts are also added to the user's talosconfig and kubeconfig.
    pub merge: Option<bool>,
    /// Further arguments for `talosctl cluster create`, before those after `--`.
    pub talosctl_args: Vec<String>,
}

/// Settings of `test upgrade`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct UpgradeConfig {
    /// Base URL of releases: `URL/v1.12.0/vmlinuz-amd64`.
    pub releases: Option<String>,
}

/// Settings of `ci`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct CiConfig {
    /// Labels of the runners.
    pub runner: Option<Vec<String>>,
}

/// The buildx builder that builds use.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct BuilderConfig {
    pub name: Option<String>,
    pub driver: Option<BuilderDriver>,
    /// Further `--driver-opt`s, NAME=VALUE.
    pub driver_opts: Vec<String>,
    /// Address of a remote BuildKit: `tcp://HOST:PORT`.
    pub endpoint: Option<String>,
    /// For TLS with a remote BuildKit; relative to the folder that holds
    /// `.cargo`.
    pub cacert: Option<Utf8PathBuf>,
    pub cert: Option<Utf8PathBuf>,
    pub key: Option<Utf8PathBuf>,
    /// Maximum size of the cache.
    pub max_used_space: Option<String>,
    /// Passed to each build as `--cache-to` and `--cache-from`.
    pub cache_to: Vec<String>,
    pub cache_from: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuilderDriver {
    #[default]
    DockerContainer,
    Remote,
    Kubernetes,
}

impl BuilderDriver {
    /// The name that buildx uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::DockerContainer => "docker-container",
            Self::Remote => "remote",
            Self::Kubernetes => "kubernetes",
        }
    }
}

impl Config {
    /// # Errors
    /// If the file cannot be read or is invalid.
    pub fn load(cwd: &Utf8Path) -> Result<Self> {
        for dir in cwd.ancestors() {
            let file = dir.join(".cargo/xtask.toml");
            if let Some(text) = files::text(&file, files::SMALL)? {
                return Self::parse(&text, dir, &file);
            }
        }
        Ok(Self::default())
    }

    fn parse(text: &str, dir: &Utf8Path, file: &Utf8Path) -> Result<Self> {
        let mut config: Self = toml::from_str(text).map_err(|error| {
            Failure::usage(format!("cannot parse `{file}`"))
                .cause(error.to_string().trim_end().replace('\n', "\n         "))
                .hint("the README lists all settings under \"Settings\"")
        })?;
        config.base = Some(dir.to_owned());
        let builder = &mut config.builder;
        for path in [
            &mut config.talos_dir,
            &mut config.talosctl,
            &mut builder.cacert,
            &mut builder.cert,
            &mut builder.key,
        ]
        .into_iter()
        .flatten()
        {
            *path = dir.join(&*path);
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config> {
        Config::parse(
            text,
            Utf8Path::new("/base"),
            Utf8Path::new("/base/.cargo/xtask.toml"),
        )
    }

    #[test]
    fn relative_paths_start_at_the_folder_that_holds_cargo() {
        let config = parse("talos-dir = \"../talos\"\n[cluster]\nworkers = 1\n").unwrap();
        assert_eq!(config.talos_dir.unwrap(), "/base/../talos");
        assert_eq!(config.cluster.workers, Some(1));
    }

    #[test]
    fn a_typing_mistake_is_an_error_that_names_it() {
        let failure = parse("[cluster]\nworker = 1\n").unwrap_err();
        assert_eq!(failure.exit, crate::failure::Exit::Usage);
        assert!(failure.to_string().contains("worker"), "{failure}");
    }
}

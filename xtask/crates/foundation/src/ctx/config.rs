//! Optional settings: `.cargo/xtask.toml` of the folder we are in or one above.
//! Unknown keys are errors: a typo must not be a silent default.

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
    /// Where pull-through proxies pull from instead, by image host.
    pub proxies: BTreeMap<String, String>,
    pub upgrade: UpgradeConfig,
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
    /// MiB, or with a unit.
    pub memory: Option<String>,
    pub memory_workers: Option<String>,
    pub talos_version: Option<String>,
    pub config_patches: Vec<String>,
    pub with_bootloader: Option<bool>,
    /// Further arguments for `talosctl cluster create`, before those after `--`.
    pub talosctl_args: Vec<String>,
}

/// Of `test upgrade`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct UpgradeConfig {
    /// Where releases are fetched from: `URL/v1.12.0/vmlinuz-amd64`.
    pub releases: Option<String>,
}

/// The buildx builder that builds use.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct BuilderConfig {
    pub name: Option<String>,
    pub driver: Option<BuilderDriver>,
    /// Further `--driver-opt`s, NAME=VALUE.
    pub driver_opts: Vec<String>,
    /// Where a remote BuildKit answers: `tcp://HOST:PORT`.
    pub endpoint: Option<String>,
    /// For TLS with a remote one; relative to the folder that holds `.cargo`.
    pub cacert: Option<Utf8PathBuf>,
    pub cert: Option<Utf8PathBuf>,
    pub key: Option<Utf8PathBuf>,
    /// How large its cache may grow.
    pub max_used_space: Option<String>,
    /// Given to each build as `--cache-to` and `--cache-from`.
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
    /// As buildx calls it.
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
    /// When the file cannot be read or does not parse.
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
            Failure::usage(format!("`{file}` does not parse"))
                .cause(error.to_string().trim_end().replace('\n', "\n         "))
                .hint("settings are listed under \"Settings\" in the README")
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

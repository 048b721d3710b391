//! The wanted builder: the guide's, or that of `[builder]`.

use camino::Utf8PathBuf;

use foundation::ctx::Ctx;
use foundation::ctx::buildx::is_here;
use foundation::ctx::config::{BuilderConfig, BuilderDriver};
use foundation::failure::{Failure, Result};
use foundation::units::parse_size;

/// The guide's name.
const NAME: &str = "local1";
/// Talos' unit tests and images need loop devices while they build.
const ENTITLEMENT: &str = "security.insecure";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BuilderSpec {
    pub(super) name: String,
    pub(super) driver: BuilderDriver,
    /// `--driver-opt`s in the given order.
    pub(super) options: Vec<(String, String)>,
    /// The address of a remote builder.
    pub(super) endpoint: Option<String>,
    /// Entitlements that its BuildKit grants; a remote one has its own settings.
    pub(super) entitlement: Option<&'static str>,
    /// Maximum bytes of the cache, and the file that configures BuildKit.
    pub(super) max_used_space: Option<(u64, Utf8PathBuf)>,
}

impl BuilderSpec {
    /// # Errors
    /// Invalid settings.
    pub(super) fn from_settings(ctx: &Ctx) -> Result<Self> {
        let config = &ctx.config.builder;
        let driver = config.driver.unwrap_or_default();
        let mut options = match driver {
            BuilderDriver::DockerContainer => vec![("network".to_owned(), "host".to_owned())],
            BuilderDriver::Remote => tls(config)?,
            BuilderDriver::Kubernetes => Vec::new(),
        };
        for option in &config.driver_opts {
            let (name, value) = option
                .split_once('=')
                .ok_or_else(|| wrong(&format!("driver-opts: `{option}` is not NAME=VALUE")))?;
            options.retain(|(known, _)| known != name);
            options.push((name.to_owned(), value.to_owned()));
        }
        let remote = driver == BuilderDriver::Remote;
        if remote != config.endpoint.is_some() {
            return Err(wrong(
                "`endpoint` belongs to the driver `remote`, which needs one",
            ));
        }
        let name = config.name.clone().unwrap_or_else(|| NAME.to_owned());
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || !name.chars().all(plain) {
            return Err(wrong(&format!("`{name}` cannot be a builder's name")));
        }
        let max_used_space = match &config.max_used_space {
            Some(_) if remote => {
                return Err(wrong("a remote BuildKit's limits are in its own settings"));
            }
            Some(text) => {
                let bytes = parse_size(text).ok_or_else(|| {
                    wrong(&format!(
                        "max-used-space: invalid size `{text}`, expected one such as 40GB"
                    ))
                })?;
                let file = ctx.dirs.state.join("builder").join(format!("{name}.toml"));
                Some((bytes, file))
            }
            None => None,
        };
        Ok(Self {
            name,
            driver,
            options,
            endpoint: config.endpoint.clone(),
            entitlement: (!remote).then_some(ENTITLEMENT),
            max_used_space,
        })
    }

    /// Returns the guide's command line.
    pub(super) fn create(&self) -> Vec<String> {
        let mut argv: Vec<String> = ["docker", "buildx", "create", "--driver", self.driver.name()]
            .map(str::to_owned)
            .to_vec();
        for (name, value) in &self.options {
            argv.extend(["--driver-opt".to_owned(), format!("{name}={value}")]);
        }
        argv.extend(["--name".to_owned(), self.name.clone()]);
        if let Some(entitlement) = self.entitlement {
            let flags = format!("--allow-insecure-entitlement {entitlement}");
            argv.extend(["--buildkitd-flags".to_owned(), flags]);
        }
        if let Some((_, file)) = &self.max_used_space {
            argv.extend(["--buildkitd-config".to_owned(), file.to_string()]);
        }
        argv.push("--use".to_owned());
        argv.extend(self.endpoint.clone());
        argv
    }
}

/// A builder on another machine runs everything that it receives as root, so
/// both sides must authenticate.
fn tls(config: &BuilderConfig) -> Result<Vec<(String, String)>> {
    let files = [
        ("cacert", &config.cacert),
        ("cert", &config.cert),
        ("key", &config.key),
    ];
    let options: Vec<(String, String)> = files
        .iter()
        .filter_map(|(name, file)| Some(((*name).to_owned(), file.as_ref()?.to_string())))
        .collect();
    if options.len() < files.len()
        && config
            .endpoint
            .as_deref()
            .is_some_and(|endpoint| !is_here(endpoint) && endpoint.starts_with("tcp:"))
    {
        return Err(wrong(
            "a remote builder on another machine needs TLS: `cacert`, `cert` and `key`",
        ));
    }
    if let Some((name, file)) = options
        .iter()
        .find(|(_, file)| !camino::Utf8Path::new(file).is_file())
    {
        return Err(wrong(&format!("{name}: there is no file `{file}`")));
    }
    Ok(options)
}

fn wrong(cause: &str) -> Failure {
    Failure::usage("invalid `[builder]` section in .cargo/xtask.toml")
        .cause(cause)
        .hint("settings are listed under \"Settings\" in the README")
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn guides() -> BuilderSpec {
        BuilderSpec {
            name: NAME.to_owned(),
            driver: BuilderDriver::DockerContainer,
            options: vec![("network".to_owned(), "host".to_owned())],
            endpoint: None,
            entitlement: Some(ENTITLEMENT),
            max_used_space: None,
        }
    }

    #[test]
    fn the_line_is_the_guides() {
        let line = "docker buildx create --driver docker-container --driver-opt network=host --name local1 --buildkitd-flags '--allow-insecure-entitlement security.insecure' --use";
        assert_eq!(guides().create(), shlex::split(line).unwrap());
    }
}

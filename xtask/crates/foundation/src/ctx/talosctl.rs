//! Which talosctl is used, and its version as the binary reports it: `_out` may
//! contain a talosctl of another line than the checkout.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use talos::TalosVersion;

use super::Ctx;
use super::checkout::Checkout;
use super::host::Host;
use super::probe::Probe;
use crate::failure::{Failure, Result};
use crate::files;

/// Arguments of `cluster create` that replace the checkout's boot artifacts.
pub const OTHER_BOOT: [&str; 7] = [
    "--vmlinuz-path",
    "--initrd-path",
    "--iso-path",
    "--usb-path",
    "--uki-path",
    "--disk-image-path",
    "--ipxe-boot-script",
];

/// A working talosctl.
#[derive(Debug, Clone)]
pub struct Talosctl {
    pub path: Utf8PathBuf,
    pub version: TalosVersion,
}

impl Talosctl {
    /// The talosctl of the settings, or the checkout's, or the one on PATH.
    pub fn find(ctx: &Ctx, checkout: Option<&Checkout>) -> Option<Self> {
        Self::query(Self::path(ctx, checkout)?)
    }

    /// Like [`Self::find`], without starting it.
    pub fn path(ctx: &Ctx, checkout: Option<&Checkout>) -> Option<Utf8PathBuf> {
        let built = checkout.map(|checkout| built(ctx, checkout));
        let candidates = [ctx.config.talosctl.clone(), built, Host::which("talosctl")];
        candidates.into_iter().flatten().find(|path| path.is_file())
    }

    /// `talosctl version --client --short` prints `Talos v1.12.0`.
    fn query(path: Utf8PathBuf) -> Option<Self> {
        let text = Probe::new([path.as_str(), "version", "--client", "--short"]);
        let text = text.stdout().ok()?;
        let version = text
            .split_whitespace()
            .find_map(|word| TalosVersion::parse(word.trim_start_matches("Talos")).ok())?;
        Some(Self { path, version })
    }

    /// The names of the flags of `cluster create`, by its help; empty if it does not
    /// print one.
    pub fn create_flags(&self) -> BTreeSet<String> {
        let mut argv = vec![self.path.as_str()];
        argv.extend(self.version.create_args());
        argv.push("--help");
        let help = Probe::new(argv).stdout().unwrap_or_default();
        let mut flags = flags_in(&help);
        if !flags.is_empty() {
            let hidden = self.version.hidden_create_flags().iter();
            flags.extend(hidden.map(|flag| (*flag).to_owned()));
        }
        flags
    }

    /// What the checkout's build would be, for a plan that is only shown.
    pub fn to_be_built(ctx: &Ctx, checkout: &Checkout) -> Self {
        Self {
            path: built(ctx, checkout),
            version: checkout.version.clone(),
        }
    }

    /// # Errors
    /// Exit code 3, with the command that builds the missing binary.
    pub fn need(ctx: &Ctx, checkout: &Checkout) -> Result<Self> {
        let path = built(ctx, checkout);
        match Self::find(ctx, Some(checkout)) {
            Some(talosctl) => Ok(talosctl),
            None if path.exists() => Err(Failure::host(format!(
                "cannot determine the version of `{path}`"
            ))
            .hint(format!("rebuild it: {}", checkout.build("talosctl")))),
            None => Err(Self::missing(ctx, checkout)),
        }
    }

    /// The failure where there is none, with the command that builds it.
    pub fn missing(ctx: &Ctx, checkout: &Checkout) -> Failure {
        let path = built(ctx, checkout);
        Failure::host("talosctl not found")
            .cause(format!("`{path}` does not exist, and PATH has no talosctl"))
            .hint(checkout.build("talosctl"))
    }
}

/// The flags in a help text: `  -h, --help    help for dev`.
fn flags_in(help: &str) -> BTreeSet<String> {
    let flag = |line: &str| {
        let (before, after) = line.trim_start().split_once("--")?;
        let is_alone = before.is_empty() || (before.starts_with('-') && before.ends_with(", "));
        let end = after.find(|character: char| {
            !(character.is_ascii_alphanumeric() || "-_".contains(character))
        });
        let name = &after[..end.unwrap_or(after.len())];
        (is_alone && !name.is_empty()).then(|| name.to_owned())
    };
    help.lines().filter_map(flag).collect()
}

fn built(ctx: &Ctx, checkout: &Checkout) -> Utf8PathBuf {
    let os = if ctx.host.os == "macos" {
        "darwin"
    } else {
        ctx.host.os
    };
    checkout
        .out()
        .join(format!("talosctl-{os}-{}", ctx.host.arch))
}

/// Returns the endpoints of one context of a talosconfig.
#[derive(Debug, serde::Deserialize)]
pub struct Context {
    #[serde(default)]
    pub endpoints: Vec<String>,
}

/// A talosconfig, without its secrets.
#[derive(Debug, serde::Deserialize)]
pub struct Talosconfig {
    #[serde(default, rename = "context")]
    pub current: String,
    #[serde(default)]
    pub contexts: BTreeMap<String, Context>,
    /// talosctl writes nothing else.
    #[serde(flatten)]
    pub rest: BTreeMap<String, yaml_serde::Value>,
}

impl Ctx {
    /// The file that talosctl writes contexts to: `TALOSCONFIG`, or
    /// `~/.talos/config`.
    pub fn talosconfig_path(&self) -> Utf8PathBuf {
        let named = std::env::var("TALOSCONFIG")
            .ok()
            .filter(|path| !path.is_empty());
        named.map_or_else(
            || self.dirs.talos_home(true).join("config"),
            Utf8PathBuf::from,
        )
    }

    /// `None` if there is no valid file.
    pub fn talosconfig(&self) -> Option<Talosconfig> {
        self.try_talosconfig().ok().flatten()
    }

    /// Like [`Talosconfig::read`], of that file.
    ///
    /// # Errors
    /// The same.
    pub fn try_talosconfig(&self) -> std::io::Result<Option<Talosconfig>> {
        Talosconfig::read(&self.talosconfig_path())
    }

    /// All files that talosctl may have written contexts to: it takes the default
    /// one if `TALOSCONFIG` names a file that does not exist.
    pub fn talosconfig_paths(&self) -> Vec<Utf8PathBuf> {
        let mut paths = vec![self.talosconfig_path()];
        let defaults = self.dirs.cluster_homes();
        paths.extend(defaults.iter().map(|home| home.join("config")));
        paths.dedup();
        paths
    }
}

impl Talosconfig {
    /// Reads a file; `None` if it does not exist.
    ///
    /// # Errors
    /// If it cannot be read or is invalid.
    pub fn read(path: &Utf8Path) -> std::io::Result<Option<Self>> {
        let Some(text) = files::read_text(path, files::MEDIUM)? else {
            return Ok(None);
        };
        talos::yaml::from_str(&text)
            .map(Some)
            .map_err(|error| std::io::Error::other(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_from_recorded_help() {
        let help = include_str!("../../../../testdata/help/1.11.0/cluster-create.txt");
        let flags = flags_in(help);
        for flag in [
            "cidr",
            "input-dir",
            "help",
            "with-tpm1_2",
            "name",
            "provisioner",
        ] {
            assert!(flags.contains(flag), "{flag}");
        }
        assert!(!flags.contains("controlplanes]"));
        assert!(flags_in("Talos v1.12.0\n").is_empty());
    }
}

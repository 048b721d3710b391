//! Which talosctl is used, and its version as the binary reports it: `_out` may
//! contain a talosctl of another line than the checkout.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use talos::TalosVersion;

use super::checkout::Checkout;
use super::host::Host;
use super::{Ctx, probe};
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
        let built = checkout.map(|checkout| built(ctx, checkout));
        let candidates = [ctx.config.talosctl.clone(), built, Host::which("talosctl")];
        let path = candidates
            .into_iter()
            .flatten()
            .find(|path| path.is_file())?;
        Self::query(path)
    }

    /// `talosctl version --client --short` prints `Talos v1.12.0`.
    fn query(path: Utf8PathBuf) -> Option<Self> {
        let text = probe::stdout(&[path.as_str(), "version", "--client", "--short"], None)?;
        let version = text
            .split_whitespace()
            .find_map(|word| TalosVersion::parse(word.trim_start_matches("Talos")).ok())?;
        Some(Self { path, version })
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
            None => Err(Failure::host("talosctl not found")
                .cause(format!("`{path}` does not exist, and PATH has no talosctl"))
                .hint(checkout.build("talosctl"))),
        }
    }
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

    /// Reads the file; `None` if it does not exist.
    ///
    /// # Errors
    /// If it cannot be read or is invalid.
    pub fn try_talosconfig(&self) -> std::io::Result<Option<Talosconfig>> {
        let Some(text) = files::read_text(&self.talosconfig_path(), files::MEDIUM)? else {
            return Ok(None);
        };
        talos::yaml::from_str(&text)
            .map(Some)
            .map_err(|error| std::io::Error::other(error.to_string()))
    }
}

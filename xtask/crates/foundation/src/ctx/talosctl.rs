//! Which talosctl, and which dialect it speaks: asked of the binary itself,
//! because `_out` may hold one of another line than the checkout.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use talos::TalosVersion;

use super::checkout::Checkout;
use super::host::Host;
use super::{Ctx, probe};
use crate::failure::{Failure, Result};
use crate::files;

/// Arguments of `cluster create` that say what to boot instead of the checkout's artifacts.
pub const OTHER_BOOT: [&str; 7] = [
    "--vmlinuz-path",
    "--initrd-path",
    "--iso-path",
    "--usb-path",
    "--uki-path",
    "--disk-image-path",
    "--ipxe-boot-script",
];

/// A talosctl that answers.
#[derive(Debug, Clone)]
pub struct Talosctl {
    pub path: Utf8PathBuf,
    pub version: TalosVersion,
}

impl Talosctl {
    /// `talosctl` of the settings, else the checkout's, else the one on PATH.
    pub fn find(ctx: &Ctx, checkout: Option<&Checkout>) -> Option<Self> {
        let built = checkout.map(|checkout| built(ctx, checkout));
        let candidates = [ctx.config.talosctl.clone(), built, Host::which("talosctl")];
        let path = candidates
            .into_iter()
            .flatten()
            .find(|path| path.is_file())?;
        Self::ask(path)
    }

    /// `talosctl version --client --short` prints `Talos v1.12.0`.
    fn ask(path: Utf8PathBuf) -> Option<Self> {
        let text = probe::stdout(&[path.as_str(), "version", "--client", "--short"], None)?;
        let version = text
            .split_whitespace()
            .find_map(|word| TalosVersion::parse(word.trim_start_matches("Talos")).ok())?;
        Some(Self { path, version })
    }

    /// What the checkout's own would be, for a plan that is only shown.
    pub fn to_be_built(ctx: &Ctx, checkout: &Checkout) -> Self {
        Self {
            path: built(ctx, checkout),
            version: checkout.version.clone(),
        }
    }

    /// # Errors
    /// Exit code 3, with the command that makes the missing binary.
    pub fn need(ctx: &Ctx, checkout: &Checkout) -> Result<Self> {
        let path = built(ctx, checkout);
        match Self::find(ctx, Some(checkout)) {
            Some(talosctl) => Ok(talosctl),
            None if path.exists() => {
                Err(Failure::host(format!("`{path}` does not say its version"))
                    .hint(format!("build it again: {}", checkout.build("talosctl"))))
            }
            None => Err(Failure::host("no talosctl")
                .cause(format!("`{path}` is missing and there is none on PATH"))
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

/// The endpoints of one context of a talosconfig.
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
    /// The file that talosctl writes contexts to: `TALOSCONFIG`, else
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

    /// None where there is none that parses.
    pub fn talosconfig(&self) -> Option<Talosconfig> {
        self.try_talosconfig().ok().flatten()
    }

    /// `None` where there is no such file.
    ///
    /// # Errors
    /// When it cannot be read or does not parse.
    pub fn try_talosconfig(&self) -> std::io::Result<Option<Talosconfig>> {
        let Some(text) = files::read_text(&self.talosconfig_path(), files::MEDIUM)? else {
            return Ok(None);
        };
        talos::yaml::from_str(&text)
            .map(Some)
            .map_err(|error| std::io::Error::other(error.to_string()))
    }
}

//! Read-only probes of this machine, the checkout and the clusters. Nothing
//! here changes the system; only `probe` starts processes.

pub mod abandoned;
pub mod abilities;
pub mod airgap;
pub mod as_root;
pub mod binfmt;
pub mod bridge;
pub mod buildx;
pub mod cargo_run;
pub mod checkout;
pub mod client_config;
pub mod cluster;
pub mod config;
pub mod containers;
pub mod digests;
pub mod dirs;
pub mod docker;
pub(crate) mod file_system;
pub mod firewall;
pub mod git;
pub mod git_exclude;
pub mod go_binary;
pub mod go_flags;
pub mod host;
pub mod image_reference;
pub mod image_source;
pub mod inside_lab;
pub mod kubeconfig;
pub mod kvm;
pub mod launches;
pub mod ledger;
pub mod leftovers;
pub mod locks;
pub mod loops;
pub mod marked_block;
pub mod mirrors;
mod name_server;
pub mod network;
pub mod node_api;
pub mod own_executable;
pub mod own_files;
pub mod owned_path;
pub mod ownership;
pub mod ports;
pub mod probe;
pub mod processes;
pub mod registries;
pub mod registry_api;
pub mod relay;
pub mod shared_memory;
pub mod sources;
pub mod stopped;
pub mod talosctl;
pub mod watch;

use camino::Utf8PathBuf;

use crate::failure::{Failure, Result};
use checkout::Checkout;
use config::Config;
use dirs::Dirs;
use host::Host;

/// The input of every command. The checkout is searched for on demand, so that
/// `cluster destroy` works without one.
#[derive(Debug, Clone)]
pub struct Ctx {
    pub host: Host,
    pub dirs: Dirs,
    pub config: Config,
    /// `-C`, as given.
    pub talos_dir: Option<Utf8PathBuf>,
    pub cwd: Utf8PathBuf,
}

impl Ctx {
    /// # Errors
    /// If HOME or the current folder cannot be determined, or the settings are
    /// invalid.
    pub fn new(talos_dir: Option<Utf8PathBuf>) -> Result<Self> {
        let cwd = std::env::current_dir()
            .ok()
            .and_then(|dir| Utf8PathBuf::from_path_buf(dir).ok())
            .ok_or_else(|| Failure::host("cannot determine the current folder"))?;
        let host = Host::probe();
        let dirs = Dirs::from_env()?;
        let config = Config::load(&cwd)?;
        Ok(Self {
            host,
            dirs,
            config,
            talos_dir,
            cwd,
        })
    }

    /// The Talos checkout.
    ///
    /// # Errors
    /// If none is found, or the named folder is not a Talos checkout.
    pub fn checkout(&self) -> Result<Checkout> {
        Checkout::find(self)
    }

    /// The folder of the Go tests: that of any other module if `-C` names one, else
    /// the Talos checkout.
    ///
    /// # Errors
    /// Those of [`Self::checkout`].
    pub fn go_checkout(&self) -> Result<Utf8PathBuf> {
        let named = self.talos_dir.as_ref().map(|dir| self.cwd.join(dir));
        let is_module = |dir: &Utf8PathBuf| {
            ["go.work", "go.mod"]
                .iter()
                .any(|file| dir.join(file).is_file())
        };
        if let Some(dir) = named.filter(is_module)
            && !checkout::is_talos(&dir)?
        {
            return Ok(dir.canonicalize_utf8().unwrap_or(dir));
        }
        Ok(self.checkout()?.dir)
    }

    /// Refuses a command that needs Linux.
    ///
    /// # Errors
    /// Exit code 3 on any other operating system.
    pub fn needs_linux(&self, command: &str) -> Result<()> {
        if self.host.os == "linux" {
            return Ok(());
        }
        Err(
            Failure::host(format!("`{command}` needs Linux; this is {}", self.host.os))
                .hint("plans work here: add `--dry-run`; or run it on a Linux host over ssh"),
        )
    }
}

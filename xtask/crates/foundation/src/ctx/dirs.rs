//! Folders of this program, by the XDG base directory specification.

use camino::{Utf8Path, Utf8PathBuf};

use crate::failure::{Failure, Result};

/// Separate folders for what can be rebuilt and what cannot.
#[derive(Debug, Clone)]
pub struct Dirs {
    pub home: Utf8PathBuf,
    /// Built or fetched; may be deleted at any time.
    pub cache: Utf8PathBuf,
    /// Ledger, run records, locks.
    pub state: Utf8PathBuf,
}

/// The name of the folder in the cache and the state folder.
pub const OURS: &str = "talos-xtask";

impl Dirs {
    /// # Errors
    /// If HOME is not absolute, or unset for a user whose entry in passwd has no absolute path.
    pub fn from_env() -> Result<Self> {
        let home = home().ok_or_else(|| {
            Failure::host("HOME is not set to an absolute path")
                .hint("set it to your home directory: export HOME=/home/NAME")
        })?;
        let under = |name, fallback: &str| {
            absolute(name)
                .unwrap_or_else(|| home.join(fallback))
                .join(OURS)
        };
        Ok(Self {
            cache: under("XDG_CACHE_HOME", ".cache"),
            state: under("XDG_STATE_HOME", ".local/state"),
            home,
        })
    }

    /// `~/.talos`, or `TALOS_HOME` if the Talos line honours it (1.12+, talos
    /// 4f6218674; ignored there too unless absolute).
    pub fn talos_home(&self, honours_talos_home: bool) -> Utf8PathBuf {
        let set = if honours_talos_home {
            absolute("TALOS_HOME")
        } else {
            None
        };
        set.unwrap_or_else(|| self.home.join(".talos"))
    }

    /// All folders in which talosctl may have created clusters.
    pub fn cluster_homes(&self) -> Vec<Utf8PathBuf> {
        let mut homes = vec![self.talos_home(true)];
        let plain = self.talos_home(false);
        if !homes.contains(&plain) {
            homes.push(plain);
        }
        homes
    }
}

/// HOME, or without one the directory that passwd has for this user, as in cargo. `None` if it
/// is not absolute.
pub fn home() -> Option<Utf8PathBuf> {
    let home = Utf8PathBuf::from_path_buf(std::env::home_dir()?).ok()?;
    home.is_absolute().then_some(home)
}

/// Passes the home directory to a child that would not find it: HOME is unset.
pub fn pass_home(command: &mut std::process::Command) {
    if std::env::var_os("HOME").is_none()
        && let Some(home) = home()
    {
        command.env("HOME", home);
    }
}

fn absolute(name: &str) -> Option<Utf8PathBuf> {
    let value = std::env::var(name).ok()?;
    Utf8Path::new(&value)
        .is_absolute()
        .then(|| Utf8PathBuf::from(value))
}

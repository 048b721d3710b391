//! Inputs shared by all checks: the requested cluster and its Talos version.

use std::sync::OnceLock;

use camino::Utf8PathBuf;
use talos::TalosVersion;
use talos::version::Arch;

use crate::app::App;
use crate::commands::cluster::UpArgs;
use crate::commands::cluster::settings::{Settings, Size};
use foundation::ctx::Ctx;
use foundation::ctx::checkout::Checkout;
use foundation::ctx::host::Host;
use foundation::ctx::inside_lab::is_inside_lab;
use foundation::ctx::talosctl::Talosctl;
use foundation::failure::{Exit, Failure, Result};

/// Shared by the checks, which run side by side.
#[derive(Debug)]
pub(super) struct Inputs {
    pub(super) ctx: Ctx,
    pub(super) settings: Settings,
    pub(super) size: Size,
    pub(super) checkout: Result<Checkout>,
    pub(super) arch: Option<Arch>,
    pub(super) inside_lab: bool,
    newest: TalosVersion,
    /// Found on first use, because that starts a process.
    talosctl: OnceLock<Option<Talosctl>>,
}

impl Inputs {
    /// # Errors
    /// Only usage errors: everything else is a finding.
    pub(super) fn gather(app: &App<'_>, args: &UpArgs) -> Result<Self> {
        // A separate copy for the threads of the checks.
        let ctx = Ctx::new(app.global.talos_dir.clone())?;
        let settings = Settings::new(&ctx, args)?;
        let size = settings.size(Host::memory().map(|memory| memory.available))?;
        let checkout = match ctx.checkout() {
            Err(failure) if failure.exit == Exit::Usage => return Err(failure),
            other => other,
        };
        let arch = flag(&settings.talosctl_args, "--arch").unwrap_or(ctx.host.arch);
        Ok(Self {
            arch: Arch::parse(arch),
            inside_lab: is_inside_lab(),
            newest: TalosVersion::newest(),
            talosctl: OnceLock::new(),
            ctx,
            settings,
            size,
            checkout,
        })
    }

    pub(super) fn checkout(&self) -> Option<&Checkout> {
        self.checkout.as_ref().ok()
    }

    pub(super) fn why_no_checkout(&self) -> Option<&Failure> {
        self.checkout.as_ref().err()
    }

    pub(super) fn talosctl(&self) -> Option<&Talosctl> {
        let find = || Talosctl::find(&self.ctx, self.checkout());
        self.talosctl.get_or_init(find).as_ref()
    }

    /// Returns the line whose facts are used, and its source if it is a guess.
    pub(super) fn version(&self) -> TalosVersion {
        let of_checkout = self.checkout().map(|checkout| checkout.version.clone());
        of_checkout
            .or_else(|| self.talosctl().map(|talosctl| talosctl.version.clone()))
            .unwrap_or_else(|| self.newest.clone())
    }

    /// Returns the line for texts that depend on it.
    pub(super) fn line(&self) -> String {
        match (self.checkout(), self.talosctl()) {
            (None, None) => format!(
                "Talos {} (the newest known: no checkout says)",
                self.version().line()
            ),
            _ => format!("Talos {}", self.version().line()),
        }
    }

    pub(super) fn talos_home(&self) -> Utf8PathBuf {
        let honours = self.version().honours_talos_home();
        self.ctx.dirs.talos_home(honours)
    }

    /// The folder of the requested cluster.
    pub(super) fn state_dir(&self) -> Utf8PathBuf {
        self.talos_home()
            .join("clusters")
            .join(self.settings.name.as_str())
    }

    pub(super) fn nodes(&self) -> u32 {
        self.size.controlplanes + self.size.workers
    }

    /// The value of an argument for talosctl.
    pub(super) fn flag(&self, name: &str) -> Option<&str> {
        flag(&self.settings.talosctl_args, name)
    }

    /// The values of an argument that may be repeated, or that is a list.
    pub(super) fn flags(&self, name: &str) -> Vec<&str> {
        flags(&self.settings.talosctl_args, name)
            .into_iter()
            .flat_map(|value| value.split(','))
            .collect()
    }

    /// Whether a switch is on.
    pub(super) fn switch(&self, name: &str, default: bool) -> bool {
        let args = &self.settings.talosctl_args;
        let last = args.iter().rev().find_map(|arg| {
            if arg == name {
                return Some(true);
            }
            let value = arg.strip_prefix(name)?.strip_prefix('=')?;
            // Parsed as by Go's strconv.ParseBool.
            Some(!matches!(
                value,
                "0" | "f" | "F" | "false" | "False" | "FALSE"
            ))
        });
        last.unwrap_or(default)
    }
}

/// The last one counts.
fn flag<'a>(args: &'a [String], name: &str) -> Option<&'a str> {
    flags(args, name).pop()
}

/// `--name=value` and `--name value`.
fn flags<'a>(args: &'a [String], name: &str) -> Vec<&'a str> {
    let value = |(at, arg): (usize, &'a String)| {
        let rest = arg.strip_prefix(name)?;
        match rest.strip_prefix('=') {
            Some(value) => Some(value),
            None if rest.is_empty() => args.get(at + 1).map(String::as_str),
            None => None,
        }
    };
    args.iter().enumerate().filter_map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_for_talosctl_are_read_in_both_forms() {
        let args = [
            "--arch",
            "arm64",
            "--cni-bin-path=/a,/b",
            "--disk=1",
            "--disk=2",
            "--arch-x=1",
        ]
        .map(str::to_owned);
        assert_eq!(flag(&args, "--arch"), Some("arm64"));
        assert_eq!(flag(&args, "--disk"), Some("2"));
        assert_eq!(flag(&args, "--cidr"), None);
        assert_eq!(flags(&args, "--cni-bin-path"), ["/a,/b"]);
    }
}

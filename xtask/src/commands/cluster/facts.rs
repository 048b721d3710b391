//! What `cluster up` needs to know of this machine before it can plan.

use camino::Utf8PathBuf;

use super::settings::Settings;
use crate::ctx::Ctx;
use crate::ctx::checkout::Checkout;
use crate::ctx::host::Host;
use crate::ctx::mirrors::{self, Mirror};
use crate::ctx::talosctl::{OTHER_BOOT, Talosctl};
use crate::failure::{Failure, Result};

/// Probed once; the plan is a function of this and the settings.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) checkout: Utf8PathBuf,
    pub(crate) talosctl: Talosctl,
    /// None where the user's own arguments say what to boot.
    pub(crate) kernel: Option<Utf8PathBuf>,
    pub(crate) initramfs: Option<Utf8PathBuf>,
    pub(crate) mirrors: Vec<Mirror>,
    pub(crate) install_image: Option<String>,
    /// Bytes.
    pub(crate) memory_available: Option<u64>,
    pub(crate) talos_home: Utf8PathBuf,
    pub(crate) home: Utf8PathBuf,
    /// User and group to whom root gives files back; none when we are root.
    pub(crate) owner: Option<(u32, u32)>,
    /// Set where talosctl has to be told.
    pub(crate) talos_home_env: Option<String>,
    /// What the plan's reader should know.
    pub(crate) notes: Vec<String>,
}

impl Facts {
    /// For a plan that is only shown, what is missing is a note.
    ///
    /// # Errors
    /// Everything that is missing, at once, each with the command that makes it.
    pub(crate) fn gather(ctx: &Ctx, settings: &Settings, only_plan: bool) -> Result<Self> {
        let checkout = ctx.checkout()?;
        let own_boot = !settings.talosctl_args.iter().any(|arg| {
            OTHER_BOOT
                .iter()
                .any(|flag| arg == flag || arg.starts_with(&format!("{flag}=")))
        });
        let arch = ctx.host.arch;
        let kernel = checkout.out().join(format!("vmlinuz-{arch}"));
        let initramfs = checkout.out().join(format!("initramfs-{arch}.xz"));
        let talosctl = Talosctl::need(ctx, &checkout);
        let missing: Vec<_> = [(&kernel, "kernel"), (&initramfs, "initramfs")]
            .into_iter()
            .filter(|(file, _)| own_boot && !file.is_file())
            .collect();
        let mut notes = Vec::new();
        let talosctl = match (talosctl, missing.is_empty()) {
            (Ok(talosctl), true) => talosctl,
            (talosctl, _) => {
                let assumed = talosctl
                    .clone()
                    .unwrap_or_else(|_| Talosctl::to_be_built(ctx, &checkout));
                let failure = missing_artifacts(&checkout, &missing, talosctl.err());
                if !only_plan {
                    return Err(failure);
                }
                notes.extend(failure.causes);
                assumed
            }
        };
        if talosctl.version.line() != checkout.version.line() {
            notes.push(format!(
                "talosctl {} at `{}` is not of this checkout's line {}: its own flags are used",
                talosctl.version,
                talosctl.path,
                checkout.version.line()
            ));
        }
        let (mirrors, install_image) = std::thread::scope(|scope| {
            let image = scope.spawn(|| install_image(&checkout, settings));
            (mirrors::probe(&checkout), image.join().ok().flatten())
        });
        let honours = talosctl.version.honours_talos_home();
        let talos_home = ctx.dirs.talos_home(honours);
        Ok(Self {
            talos_home_env: (talos_home != ctx.dirs.talos_home(false))
                .then(|| talos_home.to_string()),
            talos_home,
            notes,
            checkout: checkout.dir,
            talosctl,
            kernel: own_boot.then_some(kernel),
            initramfs: own_boot.then_some(initramfs),
            mirrors,
            install_image,
            memory_available: Host::memory().map(|memory| memory.available),
            home: ctx.dirs.home.clone(),
            owner: (!ctx.host.is_root()).then_some((ctx.host.uid, ctx.host.gid)),
        })
    }
}

fn missing_artifacts(
    checkout: &Checkout,
    missing: &[(&Utf8PathBuf, &str)],
    talosctl: Option<Failure>,
) -> Failure {
    let mut targets: Vec<&str> = missing.iter().map(|(_, target)| *target).collect();
    let mut failure = Failure::host(format!("`{}` lacks what a cluster boots", checkout.out()));
    for (file, target) in missing {
        failure = failure.cause(format!("`{file}` is missing; `make {target}` builds it"));
    }
    if let Some(talosctl) = talosctl {
        failure = failure
            .cause(talosctl.what)
            .cause(talosctl.causes.join("; "));
        targets.push("talosctl");
    }
    failure.causes.retain(|cause| !cause.is_empty());
    failure.hint(format!(
        "make -C {} {}\n      or, with nothing built: cargo xtask --lab cluster",
        checkout.dir,
        targets.join(" ")
    ))
}

/// What `make installer` pushed: the name it wrote down (1.13+), else the
/// image of this tree's tag where the local registry has it.
fn install_image(checkout: &Checkout, settings: &Settings) -> Option<String> {
    if settings
        .talosctl_args
        .iter()
        .any(|arg| arg.starts_with("--install-image"))
    {
        return None;
    }
    let written = checkout.version.installer_image_file().and_then(|file| {
        let text = std::fs::read_to_string(checkout.dir.join(file)).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    });
    written.or_else(|| mirrors::installer_in_local_registry(&checkout.tag()?))
}

//! Facts about this machine that `cluster up` needs for its plan.

use camino::{Utf8Path, Utf8PathBuf};

use talos::version::Arch;

use super::airgap::{REVERSE_TARGET, Request, Wanted};
use super::installer;
use super::settings::Settings;
use crate::typo::most_alike;
use foundation::ctx::Ctx;
use foundation::ctx::airgap::{AirGap, Mode};
use foundation::ctx::checkout::Checkout;
use foundation::ctx::client_config::ClientConfig;
use foundation::ctx::host::Host;
use foundation::ctx::inside_lab::is_inside_lab;
use foundation::ctx::mirrors::{self, Mirror};
use foundation::ctx::own_executable::own_executable;
use foundation::ctx::registries;
use foundation::ctx::relay::RelaySpec;
use foundation::ctx::talosctl::{OTHER_BOOT, Talosctl};
use foundation::failure::{Failure, Result};
use foundation::typed;

/// Probed once; the plan is a function of this and the settings.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) checkout: Utf8PathBuf,
    pub(crate) talosctl: Talosctl,
    /// None if the user's own arguments select what to boot.
    pub(crate) kernel: Option<Utf8PathBuf>,
    pub(crate) initramfs: Option<Utf8PathBuf>,
    /// The secure boot ISO, if it is booted.
    pub(crate) iso: Option<Utf8PathBuf>,
    pub(crate) mirrors: Vec<Mirror>,
    pub(crate) inside_lab: bool,
    pub(crate) airgap: Option<Wanted>,
    /// The air gap is there already.
    pub(crate) has_airgap: bool,
    /// The relay, if mirrors only listen on loopback.
    pub(crate) relaying: Option<RelaySpec>,
    /// This program, which also runs as the relay.
    pub(crate) exe: Utf8PathBuf,
    pub(crate) install_image: Option<String>,
    /// In bytes.
    pub(crate) memory_available: Option<u64>,
    pub(crate) talos_home: Utf8PathBuf,
    /// The cluster's own talosconfig and kubeconfig.
    pub(crate) client: ClientConfig,
    /// The user's talosconfig and kubeconfig.
    pub(crate) user_files: (Utf8PathBuf, Utf8PathBuf),
    /// User and group that own files which root makes; none if this process is root.
    pub(crate) owner: Option<(u32, u32)>,
    /// The value of `TALOS_HOME`, if talosctl needs it.
    pub(crate) talos_home_env: Option<String>,
    /// Notes for the plan's reader.
    pub(crate) notes: Vec<String>,
}

impl Facts {
    /// Gathers the facts. For a plan that is only shown, missing things are
    /// notes.
    ///
    /// # Errors
    /// Everything that is missing, at once, each with the command that makes
    /// it.
    pub(crate) fn gather(ctx: &Ctx, settings: &Settings, only_plan: bool) -> Result<Self> {
        let checkout = ctx.checkout()?;
        let own_boot = boots_the_checkout(settings) && !settings.secure_boot;
        let arch = settings.arch.map_or(ctx.host.arch, Arch::go_name);
        let kernel = checkout.out().join(format!("vmlinuz-{arch}"));
        let initramfs = checkout.out().join(format!("initramfs-{arch}.xz"));
        let iso = checkout.out().join(format!("metal-{arch}-secureboot.iso"));
        let talosctl = Talosctl::need(ctx, &checkout);
        let missing: Vec<_> = [
            (&kernel, "kernel", own_boot),
            (&initramfs, "initramfs", own_boot),
            (&iso, "secureboot-iso", settings.secure_boot),
        ]
        .into_iter()
        .filter(|(file, _, is_booted)| *is_booted && !file.is_file())
        .map(|(file, target, _)| (file, target))
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
        check_flags(&talosctl, &settings.talosctl_args)?;
        notes.extend(of_another_line(&talosctl, &checkout));
        let mut specs = registries::proxies(&checkout, &ctx.config.proxies)?;
        specs.push(registries::local());
        let (mirrors, installer) = std::thread::scope(|scope| {
            let installer = scope.spawn(|| installer::find(ctx, &checkout, settings));
            (mirrors::probe(&specs), installer.join().unwrap_or_default())
        });
        notes.extend(installer.note);
        let airgap = airgap(ctx, settings, &talosctl)?;
        let has_airgap = match &airgap {
            Some(wanted) => is_set_up(ctx, wanted, only_plan)?,
            None => false,
        };
        let honours = talosctl.version.honours_talos_home();
        let talos_home = ctx.dirs.talos_home(honours);
        Ok(Self {
            talos_home_env: (talos_home != ctx.dirs.talos_home(false))
                .then(|| talos_home.to_string()),
            inside_lab: is_inside_lab(),
            airgap,
            has_airgap,
            relaying: relaying(settings, &mirrors, &talos_home),
            exe: own_executable()?,
            talos_home,
            notes,
            checkout: checkout.dir,
            talosctl,
            kernel: own_boot.then_some(kernel),
            initramfs: own_boot.then_some(initramfs),
            iso: settings.secure_boot.then_some(iso),
            mirrors,
            install_image: installer.image,
            memory_available: Host::memory().map(|memory| memory.available),
            client: ctx.client_config(settings.name.as_str()),
            user_files: (ctx.talosconfig_path(), ctx.kubeconfig_path()),
            owner: (!ctx.host.is_root()).then_some((ctx.host.uid, ctx.host.gid)),
        })
    }
}

/// The air gap that the settings ask for.
fn airgap(ctx: &Ctx, settings: &Settings, talosctl: &Talosctl) -> Result<Option<Wanted>> {
    let there = match settings.airgap {
        Some(Mode::ReverseProxy) => AirGap::read(ctx, settings.name.as_str())?,
        _ => None,
    };
    let target = there.and_then(|there| there.target);
    let wanted = settings.airgap.map(|mode| {
        let request = Request {
            name: &settings.name,
            cidr: settings.cidr,
            mode,
            // `airgap up` may have been given another.
            target: target.as_deref().unwrap_or(REVERSE_TARGET),
        };
        Wanted::new(ctx, &request, Some(talosctl))
    });
    wanted.transpose()
}

/// Whether `airgap up` has set up the same before.
///
/// # Errors
/// When there is another, or something that it needs is missing.
fn is_set_up(ctx: &Ctx, wanted: &Wanted, only_plan: bool) -> Result<bool> {
    let gap = &wanted.gap;
    match AirGap::read(ctx, &gap.name)? {
        Some(there) if there.mode == gap.mode && there.cidr == gap.cidr => Ok(true),
        Some(there) => Err(Failure::host(format!(
            "cluster `{}` already has an air gap, mode {} on {}",
            gap.name,
            there.mode.as_str(),
            there.cidr
        ))
        .hint(typed!("airgap down --name {}", gap.name))),
        None if only_plan => Ok(false),
        None => wanted.check().map(|()| false),
    }
}

/// Whether the user's own arguments do not select what to boot.
fn boots_the_checkout(settings: &Settings) -> bool {
    !settings.talosctl_args.iter().any(|arg| {
        OTHER_BOOT
            .iter()
            .any(|flag| arg == flag || arg.starts_with(&format!("{flag}=")))
    })
}

/// Checks the flags early: talosctl would answer a mistyped flag with its whole
/// help, after minutes of building and questions.
///
/// # Errors
/// For the first flag that this talosctl does not have.
fn check_flags(talosctl: &Talosctl, args: &[String]) -> Result<()> {
    let flag = |arg: &String| {
        let name = arg.strip_prefix("--")?;
        Some(name.split('=').next().unwrap_or(name).to_owned())
    };
    let asked: Vec<String> = args.iter().filter_map(flag).collect();
    if asked.is_empty() {
        return Ok(());
    }
    let known = talosctl.create_flags();
    let unknown = asked.iter().find(|flag| !known.contains(*flag));
    let Some(unknown) = unknown.filter(|_| !known.is_empty()) else {
        return Ok(());
    };
    let failure = Failure::usage(format!(
        "talosctl {} has no flag `--{unknown}`",
        talosctl.version
    ));
    let nearest = most_alike(unknown, known.iter().map(String::as_str));
    let nearest = nearest.filter(|(alike, _)| *alike > 0.7);
    Err(failure.hint(if let Some((_, flag)) = nearest {
        format!("--{flag}")
    } else {
        let words: typed::Words = talosctl.version.create_args().iter().copied().collect();
        typed!("talosctl -- {} --help", words)
    }))
}

/// Returns a note if talosctl is of another line than the checkout.
fn of_another_line(talosctl: &Talosctl, checkout: &Checkout) -> Option<String> {
    let line = checkout.version.line();
    (talosctl.version.line() != line).then(|| {
        format!(
            "talosctl {} at `{}` is not of this checkout's line {line}: its own flags are used",
            talosctl.version, talosctl.path
        )
    })
}

fn missing_artifacts(
    checkout: &Checkout,
    missing: &[(&Utf8PathBuf, &str)],
    talosctl: Option<Failure>,
) -> Failure {
    let mut targets: Vec<&str> = missing.iter().map(|(_, target)| *target).collect();
    let mut failure = Failure::host(format!("boot files are missing from `{}`", checkout.out()));
    for (file, target) in missing {
        failure = failure.cause(format!(
            "`{file}` is missing; `{}` makes it",
            typed!("build {}", target)
        ));
    }
    if let Some(talosctl) = talosctl {
        failure = failure.cause(talosctl.in_one_line());
        targets.push("talosctl");
    }
    failure.hint(format!(
        "{}\n      or, with nothing built: {}",
        checkout.build(&targets.join(" ")),
        typed!("--lab cluster")
    ))
}

/// Returns the relay that nodes of such a cluster need; `None` if every
/// registry listens on the gateway too, like those of the guide and the script.
fn relaying(settings: &Settings, mirrors: &[Mirror], talos_home: &Utf8Path) -> Option<RelaySpec> {
    let ports: Vec<u16> = mirrors
        .iter()
        .filter(|mirror| mirror.needs_relay)
        .map(|mirror| mirror.port)
        .collect();
    (!ports.is_empty()).then(|| RelaySpec {
        state_dir: talos_home.join("clusters").join(settings.name.as_str()),
        cidr: settings.cidr,
        ports,
    })
}

//! `kmod installer` and `kmod push`: an installer with the kernel and the extension
//! of a build, and its way to a registry that nodes reach.

use camino::Utf8PathBuf;
use clap::Args;
use talos::version::{InstallerFlow, TalosVersion};

use super::build::{Arch, Built, ImageArgs, images_of};
use super::checkouts::Checkouts;
use super::run::next_on_node;
use super::{chain, recorded};
use crate::app::App;
use crate::commands::build::preflight;
use crate::commands::installer::{self, InstallerArgs};
use foundation::ctx::checkout::Checkout;
use foundation::ctx::image_reference;
use foundation::ctx::probe::Probe;
use foundation::failure::{Failure, Result};
use foundation::plan::{Action, Effect, Plan, Step};
use foundation::record::pushed_images::list_of;
use foundation::typed;
use foundation::ui;

#[derive(Debug, Clone, Args)]
pub struct KmodInstallerArgs {
    #[command(flatten)]
    pub images: ImageArgs,
    #[command(flatten)]
    pub options: InstallerOptions,
}

/// What else is in the installer.
#[derive(Debug, Clone, Default, Args)]
pub struct InstallerOptions {
    /// Tag of installer-base, imager and installer, a version [default: that of the Makefile]
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,
    /// Further extension of the installer, by digest
    #[arg(long, value_name = "IMAGE")]
    pub system_extension_image: Vec<String>,
    /// Argument of the kernel's command line; with a UKI, the installer alone can set it
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub extra_kernel_arg: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub struct PushArgs {
    /// Reference to push to [default: installer:TAG in the local registry]
    #[arg(long, value_name = "IMAGE")]
    pub to: Option<String>,
    /// Tag of the installer, a version [default: that of the Makefile]
    #[arg(long, value_name = "TAG", conflicts_with = "to")]
    pub tag: Option<String>,
    /// Registry to push to [default: 127.0.0.1:5005]
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "to")]
    pub registry: Option<String>,
    /// User or organization in the name of the image [default: siderolabs]
    #[arg(long, value_name = "NAME", conflicts_with = "to")]
    pub username: Option<String>,
    /// Architecture of the installer [default: this machine's]
    #[arg(long, value_enum, value_name = "ARCH")]
    pub arch: Option<Arch>,
}

pub(super) fn run(app: &App<'_>, args: &KmodInstallerArgs) -> Result<u8> {
    let checkouts = Checkouts::find(app, &args.images.checkouts)?;
    let images = images_of(&checkouts, &args.images.name)?;
    let found = recorded::find(app, &args.images, &checkouts, &images)?;
    let found = found.ok_or_else(|| {
        Failure::usage(format!("no build of `{}` is recorded", args.images.name))
            .cause("its images are known by digest once they are built")
            .hint(typed!("kmod build {}", args.images.name))
    })?;
    let mut plan = Plan::new(String::new());
    if let Some(why) = found.outdated(&checkouts) {
        plan.note(format!(
            "the last build is used, but may be outdated: {why}"
        ));
    }
    let to = plan_installer(app, args, &checkouts.talos, &found.built, &mut plan)?;
    plan.title = format!(
        "An installer of Talos {} with {}",
        checkouts.talos.version, args.images.name
    );
    if !args.images.no_preflight && !app.is_dry() {
        preflight::check(app, &plan)?;
    }
    if app.carry_out(&plan)? {
        ui::print(&format!("  next: {}\n", typed!("kmod push --to {}", to)));
    }
    Ok(0)
}

/// Appends the steps of installer-base, imager and installer, all with one tag.
/// Returns the reference that the installer gets by default.
///
/// # Errors
/// If the tag is not a version, or an argument would not survive the shell.
pub(super) fn plan_installer(
    app: &App<'_>,
    args: &KmodInstallerArgs,
    talos: &Checkout,
    built: &Built,
    plan: &mut Plan,
) -> Result<String> {
    let (images, options) = (&args.images, &args.options);
    if talos.version.installer_flow() == InstallerFlow::RegistryImage {
        return Err(Failure::usage(format!(
            "Talos {} does not build installers by its imager",
            talos.version.line()
        )));
    }
    let arch = images.arch().name();
    let mut arguments = vec![format!(
        "--system-extension-image={}",
        built.extension.by_digest()
    )];
    let more = |flag: &str, values: &[String]| -> Result<Vec<String>> {
        let words = values.iter().map(|value| {
            plain(flag, value)?;
            Ok(format!("{flag}={value}"))
        });
        words.collect()
    };
    arguments.extend(more(
        "--system-extension-image",
        &options.system_extension_image,
    )?);
    arguments.extend(more("--extra-kernel-arg", &options.extra_kernel_arg)?);
    let mut words = vec![
        format!("PKG_KERNEL={}", built.kernel.by_digest()),
        format!("PLATFORM=linux/{arch}"),
        format!("INSTALLER_ARCH={arch}"),
        format!("IMAGER_ARGS={}", arguments.join(" ")),
    ];
    words.extend(
        images
            .username
            .iter()
            .map(|name| format!("USERNAME={name}")),
    );
    let tag = tag_of(talos, options.tag.as_deref())?;
    let installer = InstallerArgs {
        words,
        registry: Some(images.registry()),
        tag: Some(tag.clone()),
        no_preflight: true,
    };
    // The Makefile gives the imager the base that it has just built.
    let targets = ["installer-base", "imager", "image-installer"];
    let (steps, name) = installer::plan_targets(app, &installer, &targets)?;
    chain::append(plan, steps);
    Ok(format!("{name}/installer:{tag}"))
}

/// All three images have one tag, which is baked in as the version of Talos.
fn tag_of(talos: &Checkout, given: Option<&str>) -> Result<String> {
    let tag = given.map(str::to_owned).or_else(|| talos.tag());
    let tag = tag.unwrap_or_default();
    if TalosVersion::parse(&tag).is_err() {
        return Err(Failure::usage(format!("the tag `{tag}` is not a version"))
            .cause("it is baked into the image, and extensions are checked against it")
            .hint(format!(
                "add `--tag {}-dev`, or fetch the tags of Talos: git fetch --tags",
                talos.version.tag()
            )));
    }
    Ok(tag)
}

fn plain(flag: &str, value: &str) -> Result<()> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    if value.is_empty() || !value.chars().all(is_plain) {
        return Err(Failure::usage(format!("invalid value `{value}` for `{flag}`"))
            .cause("the Makefile passes it through a shell: letters, digits and @%+=:,./_- are possible")
            .hint(format!("repeat `{flag}` for each argument")));
    }
    Ok(())
}

pub(super) fn push(app: &App<'_>, args: &PushArgs) -> Result<u8> {
    let talos = app.ctx.checkout()?;
    let to = match &args.to {
        Some(to) if image_reference::split(to).is_none() => {
            return Err(Failure::usage(format!("`{to}` has no registry"))
                .cause("a node would look for it at docker.io (siderolabs/talos#7170)")
                .hint(typed!("kmod push --to ghcr.io/NAME/installer:TAG")));
        }
        Some(to) => to.clone(),
        None => format!(
            "{}/{}/installer:{}",
            args.registry.as_deref().unwrap_or("127.0.0.1:5005"),
            args.username.as_deref().unwrap_or("siderolabs"),
            tag_of(&talos, args.tag.as_deref())?
        ),
    };
    let arch = args.arch.unwrap_or_else(Arch::of_this_machine).name();
    let file = installer_file(&talos, arch);
    if !app.is_dry() && !file.is_file() {
        return Err(
            Failure::usage(format!("there is no `{file}`")).hint(typed!("kmod installer NAME"))
        );
    }
    let mut plan = Plan::new(format!("Push the installer to {to}"));
    plan_push(app, &talos, arch, &to, &mut plan);
    preflight_crane(app)?;
    if app.carry_out(&plan)? {
        ui::print(&next_on_node(&by_digest(&to), &talos.version));
    }
    Ok(0)
}

pub(super) fn preflight_crane(app: &App<'_>) -> Result<()> {
    if app.is_dry() || foundation::ctx::host::Host::which("crane").is_some() {
        return Ok(());
    }
    Err(Failure::host("`crane` is not on PATH")
        .hint("go install github.com/google/go-containerregistry/cmd/crane@latest"))
}

pub(super) fn installer_file(talos: &Checkout, arch: &str) -> Utf8PathBuf {
    talos.out().join(format!("installer-{arch}.tar"))
}

/// `docker import` would lose the entrypoint (siderolabs/talos#11455).
pub(super) fn plan_push(app: &App<'_>, talos: &Checkout, arch: &str, to: &str, plan: &mut Plan) {
    let file = installer_file(talos, arch);
    let push = ["crane", "push", file.as_str(), to];
    plan.push(Step::run("Push the installer", push).effect(Effect::Creates));
    let is_local = image_reference::split(to)
        .is_some_and(|(registry, ..)| image_reference::is_local(registry));
    if is_local {
        plan.push(Step::new(
            "Record its digest",
            Action::RecordImages {
                references: vec![to.to_owned()],
                metadata: None,
                tree: talos.dir.clone(),
                list: list_of(&app.ctx.dirs.state),
            },
        ));
    }
}

/// The reference with the digest that the registry has for it now.
pub(super) fn by_digest(reference: &str) -> String {
    let asked = image_reference::digest(reference).or_else(|_| {
        let crane = Probe::new(["crane", "digest", reference]).stdout();
        crane.map_err(|error| error.to_string())
    });
    match asked {
        Ok(digest) => format!("{reference}@{digest}"),
        Err(_) => reference.to_owned(),
    }
}

//! `kmod run`: everything from the sources to an installer in a registry, as one
//! plan. What an earlier run has built is not built again.

use std::fmt::Write;

use clap::Args;
use talos::version::TalosVersion;

use super::build::{Built, ImageArgs, images_of, pick_commit, plan_build};
use super::checkouts::Checkouts;
use super::installer::{
    InstallerOptions, KmodInstallerArgs, by_digest, plan_installer, plan_push, preflight_crane,
};
use super::{chain, new, recorded};
use crate::app::App;
use crate::commands::build::preflight;
use foundation::ctx::own_executable::own_executable;
use foundation::failure::Result;
use foundation::plan::{Action, Effect, Plan, Run, Step};
use foundation::shell::quote;
use foundation::typed;
use foundation::ui;

#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub images: ImageArgs,
    #[command(flatten)]
    pub options: InstallerOptions,
    /// Reference to push the installer to [default: installer:TAG in the registry]
    #[arg(long, value_name = "IMAGE")]
    pub to: Option<String>,
    /// Build kernel, package and extension even if an earlier build is recorded
    #[arg(long)]
    pub rebuild: bool,
    /// Go on without the check of the extension
    #[arg(long)]
    pub no_lint: bool,
}

pub(super) fn run(app: &App<'_>, args: &RunArgs) -> Result<u8> {
    let checkouts = Checkouts::find(app, &args.images.checkouts)?;
    let images = images_of(&checkouts, &args.images.name)?;
    if !pick_commit(app, &checkouts)? {
        return Ok(0);
    }
    let (name, talos) = (&args.images.name, &checkouts.talos);
    let mut plan = Plan::new(format!(
        "An installer of Talos {} with {name}, from its sources",
        talos.version
    ));
    checkouts.note(&mut plan)?;
    let built = match usable(app, args, &checkouts, &images, &mut plan)? {
        Some(built) => built,
        None => plan_build(app, &args.images, &checkouts, &images, &mut plan)?,
    };
    if !args.no_lint {
        plan.push(lint(app, &checkouts, &built)?);
    }
    let installer = KmodInstallerArgs {
        images: args.images.clone(),
        options: args.options.clone(),
    };
    let to = plan_installer(app, &installer, talos, &built, &mut plan)?;
    let to = args.to.clone().unwrap_or(to);
    plan_push(app, talos, args.images.arch().name(), &to, &mut plan);
    chain::fill_digests(&mut plan);
    if !args.images.no_preflight && !app.is_dry() {
        preflight::check(app, &plan)?;
        preflight_crane(app)?;
    }
    if app.carry_out(&plan)? {
        ui::print(&next_on_node(&by_digest(&to), &talos.version));
    }
    Ok(0)
}

/// The images of an earlier build, if they are what a build would make now.
fn usable(
    app: &App<'_>,
    args: &RunArgs,
    checkouts: &Checkouts,
    images: &[String],
    plan: &mut Plan,
) -> Result<Option<Built>> {
    if args.rebuild {
        return Ok(None);
    }
    let Some(found) = recorded::find(app, &args.images, checkouts, images)? else {
        return Ok(None);
    };
    if let Some(why) = found.outdated(checkouts) {
        plan.note(format!("built again: {why}"));
        return Ok(None);
    }
    for image in [&found.built.kernel, &found.built.extension] {
        plan.note(format!("not built again: {}", image.by_digest()));
    }
    Ok(Some(found.built))
}

/// Nothing goes to a node that fails there.
fn lint(app: &App<'_>, checkouts: &Checkouts, built: &Built) -> Result<Step> {
    let (extension, kernel) = (built.extension.by_digest(), built.kernel.by_digest());
    // Digests are filled in as they are, and need no quotes.
    let line = if app.is_dry() {
        typed!("kmod lint {} --kernel {}", extension, kernel)
    } else {
        format!(
            "{} -C {} kmod lint {extension} --kernel {kernel}",
            quote(own_executable()?.as_str()),
            quote(checkouts.talos.dir.as_str())
        )
    };
    let action = Action::Run(Run {
        argv: vec!["/bin/sh".to_owned(), "-c".to_owned(), line],
        recipe: true,
        ..Run::default()
    });
    Ok(Step::new("Check the extension against the kernel", action).effect(Effect::Reads))
}

/// The command that checks the last build.
pub(super) fn next_lint(
    app: &App<'_>,
    args: &ImageArgs,
    checkouts: &Checkouts,
    images: &[String],
) -> String {
    match recorded::find(app, args, checkouts, images) {
        Ok(Some(found)) => typed!(
            "kmod lint {} --kernel {}",
            found.built.extension.by_digest(),
            found.built.kernel.by_digest()
        ),
        _ => typed!("kmod run {}", args.name),
    }
}

/// What follows a push, with what loads the module in this version of Talos.
pub(super) fn next_on_node(image: &str, talos: &TalosVersion) -> String {
    let deploy = typed!("kmod deploy {} {}", "NODE", image);
    let mut out = format!("installer: {image}\n  next: {deploy}\n");
    out += "  then load the module; MODULE is the name of its .ko file:\n";
    for line in new::extension::machine_config(&["MODULE".to_owned()], talos).lines() {
        let _ = writeln!(out, "    {line}");
    }
    let verify = typed!("kmod verify {} --module {}", "NODE", "MODULE");
    let _ = writeln!(out, "  then: {verify}");
    out
}

//! `installer`: builds the images of an installer in the order and with the
//! variables of the checkout's Talos, with one tag and one registry.

use clap::Args;
use makefile::Planned;
use talos::version::{InstallerFlow, LOCAL_REGISTRY_PORT};

use super::build::mixes::{mixes, value};
use super::build::repository::Repository;
use super::build::{self, preflight};
use crate::app::App;
use foundation::failure::{Failure, Result};
use foundation::plan::Plan;
use foundation::typed;

#[derive(Debug, Clone, Default, Args)]
#[command(
    after_help = "Examples:\n  cargo xtask installer\n  cargo xtask installer --tag v1.12.0-dev PKG_KERNEL=127.0.0.1:5005/me/kernel:v1 INSTALLER_ARCH=amd64"
)]
pub struct InstallerArgs {
    /// NAME=VALUE, as in make
    #[arg(value_name = "NAME=VALUE")]
    pub words: Vec<String>,
    /// Registry to push to [default: 127.0.0.1:5005]
    #[arg(long, value_name = "HOST:PORT")]
    pub registry: Option<String>,
    /// Tag of all images [default: that of the Makefile]
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,
    /// Skip the host checks
    #[arg(long)]
    pub no_preflight: bool,
}

pub(crate) fn run(app: &App<'_>, args: &InstallerArgs) -> Result<u8> {
    let (plan, planned) = plan_and_values(app, args)?;
    let is_built = app
        .carry_out(&plan)
        .map_err(|failure| build::reason::explain(app, failure))?;
    if is_built
        && let Some(image) =
            value(&planned, "IMAGE_TAG_OUT").or_else(|| value(&planned, "IMAGE_TAG"))
    {
        let name = value(&planned, "REGISTRY_AND_USERNAME").unwrap_or_default();
        app.ui.progress(&format!(
            "installer: {name}/installer:{image}; `{}` has its digest",
            typed!("images")
        ));
    }
    Ok(0)
}

/// Returns the plan of the images, for a command that needs them.
///
/// # Errors
/// Usage errors, and programs that are missing on the host.
pub(in crate::commands) fn plan(app: &App<'_>, args: &InstallerArgs) -> Result<Plan> {
    plan_and_values(app, args).map(|(plan, _)| plan)
}

/// Returns the plan of these targets instead of the line's, and the name that the images
/// get: `127.0.0.1:5005/siderolabs`.
///
/// # Errors
/// Those of [`plan`].
pub(in crate::commands) fn plan_targets(
    app: &App<'_>,
    args: &InstallerArgs,
    targets: &[&str],
) -> Result<(Plan, String)> {
    let (plan, planned) = plan_with(app, args, targets)?;
    let name = value(&planned, "REGISTRY_AND_USERNAME").unwrap_or_default();
    Ok((plan, name))
}

fn plan_and_values(app: &App<'_>, args: &InstallerArgs) -> Result<(Plan, Planned)> {
    let targets = targets(app.ctx.checkout()?.version.installer_flow());
    plan_with(app, args, targets)
}

fn plan_with(app: &App<'_>, args: &InstallerArgs, targets: &[&str]) -> Result<(Plan, Planned)> {
    let checkout = app.ctx.checkout()?;
    let repository = Repository::open(&checkout.dir)?;
    if let Some(word) = args.words.iter().find(|word| !word.contains('=')) {
        return Err(Failure::usage(format!(
            "`{word}` is not a variable: the targets of `installer` are fixed"
        ))
        .hint(typed!("installer INSTALLER_ARCH=amd64")));
    }
    let words = words(args, targets);
    let planned = build::evaluate(app, &repository, &words, false)?;
    check(&words, &planned)?;
    let mut plan = build::plan_of(app, &repository, &words, &planned);
    plan.title = format!(
        "An installer of {} {} in {}",
        checkout.dir,
        checkout.version,
        registry(args)
    );
    if !args.no_preflight && !app.is_dry() {
        preflight::check(app, &plan)?;
    }
    Ok((plan, planned))
}

fn registry(args: &InstallerArgs) -> String {
    args.registry
        .clone()
        .unwrap_or_else(|| format!("127.0.0.1:{LOCAL_REGISTRY_PORT}"))
}

/// 1.9 builds the installer itself, later lines run the imager that they have built
/// and pushed.
fn targets(flow: InstallerFlow) -> &'static [&'static str] {
    match flow {
        InstallerFlow::RegistryImage => &["installer"],
        InstallerFlow::BaseAndImager => &["installer-base", "imager", "installer"],
    }
}

/// Returns targets and variables.
fn words(args: &InstallerArgs, targets: &[&str]) -> Vec<String> {
    let mut words: Vec<String> = targets.iter().map(|target| (*target).to_owned()).collect();
    words.push(format!("IMAGE_REGISTRY={}", registry(args)));
    words.push("PUSH=true".to_owned());
    words.extend(args.tag.as_ref().map(|tag| format!("TAG={tag}")));
    words.extend(args.words.iter().cloned());
    words
}

/// Refuses combinations that fail only at the end, or not at all.
fn check(words: &[String], planned: &Planned) -> Result<()> {
    mixes(words, planned).into_iter().next().map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_line() {
        let args = InstallerArgs::default();
        assert_eq!(
            words(&args, targets(InstallerFlow::RegistryImage)),
            ["installer", "IMAGE_REGISTRY=127.0.0.1:5005", "PUSH=true"]
        );
        assert_eq!(
            words(&args, targets(InstallerFlow::BaseAndImager))[..3],
            ["installer-base", "imager", "installer"]
        );
    }
}

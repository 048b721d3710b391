//! `kmod build`: the kernel and the packages of modules from the commit of pkgs that
//! Talos pins, then the extension from exactly those images.

use clap::{Args, ValueEnum};
use makefile::{Error, Item};
use regex::Regex;
use talos::version::LOCAL_REGISTRY_PORT;

use super::chain::{self, Pushed};
use super::checkouts::{CheckoutArgs, Checkouts, Position};
use super::packages;
use super::run::next_lint;
use crate::app::App;
use crate::commands::build::repository::Repository;
use crate::commands::build::{self, preflight};
use foundation::failure::{Failure, Result};
use foundation::files;
use foundation::plan::Plan;
use foundation::typed;
use foundation::ui;

#[derive(Debug, Clone, Args)]
pub struct ImageArgs {
    /// Name of the extension
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Registry to push to [default: 127.0.0.1:5005]
    #[arg(long, value_name = "HOST:PORT")]
    pub registry: Option<String>,
    /// User or organization in the names of images [default: that of the Makefiles]
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
    /// Architecture of the images [default: this machine's]
    #[arg(long, value_enum, value_name = "ARCH")]
    pub arch: Option<Arch>,
    /// Skip the host checks
    #[arg(long)]
    pub no_preflight: bool,
    #[command(flatten)]
    pub checkouts: CheckoutArgs,
}

/// Go's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Arch {
    Amd64,
    Arm64,
}

impl Arch {
    pub(super) fn of_this_machine() -> Self {
        match std::env::consts::ARCH {
            "aarch64" => Self::Arm64,
            _ => Self::Amd64,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

impl ImageArgs {
    pub(super) fn arch(&self) -> Arch {
        self.arch.unwrap_or_else(Arch::of_this_machine)
    }

    pub(super) fn registry(&self) -> String {
        let default = || format!("127.0.0.1:{LOCAL_REGISTRY_PORT}");
        self.registry.clone().unwrap_or_else(default)
    }

    fn words(&self) -> Vec<String> {
        let mut words = vec![
            format!("REGISTRY={}", self.registry()),
            format!("PLATFORM=linux/{}", self.arch().name()),
            "PUSH=true".to_owned(),
        ];
        words.extend(self.username.iter().map(|name| format!("USERNAME={name}")));
        words
    }
}

/// The images that a build pushes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Built {
    pub(super) kernel: Pushed,
    pub(super) extension: Pushed,
}

pub(super) fn run(app: &App<'_>, args: &ImageArgs) -> Result<u8> {
    let checkouts = Checkouts::find(app, &args.checkouts)?;
    let images = images_of(&checkouts, &args.name)?;
    if !pick_commit(app, &checkouts)? {
        return Ok(0);
    }
    let mut plan = Plan::new(format!(
        "Build the extension {} for Talos {} with pkgs {}",
        args.name, checkouts.talos.version, checkouts.pin.name
    ));
    checkouts.note(&mut plan)?;
    plan_build(app, args, &checkouts, &images, &mut plan)?;
    chain::fill_digests(&mut plan);
    if !args.no_preflight && !app.is_dry() {
        preflight::check(app, &plan)?;
    }
    if app.carry_out(&plan)? {
        ui::print(&format!(
            "  images: {}\n  next: {}\n",
            typed!("images"),
            next_lint(app, args, &checkouts, &images)
        ));
    }
    Ok(0)
}

/// Checks the pinned commit out where that loses nothing. Returns whether to go on:
/// the plan of another commit cannot be shown.
///
/// # Errors
/// If pkgs is at another commit and has changes.
pub(super) fn pick_commit(app: &App<'_>, checkouts: &Checkouts) -> Result<bool> {
    match checkouts.position()? {
        Position::SameKernel => Ok(true),
        Position::Changed => Err(checkouts.elsewhere()),
        Position::Clean => {
            let mut plan = Plan::new("Take the pkgs that Talos pins".to_owned());
            plan.note("the steps of the build follow from the Makefile of that commit");
            plan.push(checkouts.switch());
            app.carry_out(&plan)
        }
    }
}

/// Names of the images in pkgs that the extension is made of.
///
/// # Errors
/// If the extension does not exist, or takes nothing from pkgs.
pub(super) fn images_of(checkouts: &Checkouts, name: &str) -> Result<Vec<String>> {
    let path = packages::find(&checkouts.extensions, name)?.ok_or_else(|| {
        Failure::usage(format!(
            "no extension `{name}` in `{}`",
            checkouts.extensions
        ))
        .hint(typed!("kmod new {} --source URL", name))
    })?;
    let text = files::text(&path, files::SMALL)?.unwrap_or_default();
    let images = images_in(&text);
    let mut has_modules = images.iter().any(|image| image == "kernel");
    for image in &images {
        let package = packages::find(&checkouts.pkgs, image)?;
        let text = match package {
            Some(path) => files::text(&path, files::SMALL)?.unwrap_or_default(),
            // Only the pinned commit may have it.
            None => "stage: kernel-build".to_owned(),
        };
        has_modules |= text.contains("stage: kernel-build");
    }
    if !has_modules {
        return Err(Failure::usage(format!("`{name}` has no kernel modules"))
            .cause(format!(
                "`{path}` takes no image of pkgs that is built with the kernel"
            ))
            .hint(typed!("build {} -C {}", name, checkouts.extensions)));
    }
    Ok(images)
}

fn images_in(pkg_yaml: &str) -> Vec<String> {
    let form = Regex::new(
        r"\{\{ *\.BUILD_ARG_PKGS_PREFIX *\}\}/([a-z0-9._-]+):\{\{ *\.BUILD_ARG_PKGS *\}\}",
    );
    let Ok(form) = form else {
        return Vec::new();
    };
    let mut images: Vec<String> = form
        .captures_iter(pkg_yaml)
        .filter_map(|it| Some(it.get(1)?.as_str().to_owned()))
        .collect();
    images.sort();
    images.dedup();
    images
}

/// Appends the steps of kernel, packages and extension.
///
/// # Errors
/// If a Makefile cannot be evaluated, or does not list a target.
pub(super) fn plan_build(
    app: &App<'_>,
    args: &ImageArgs,
    checkouts: &Checkouts,
    images: &[String],
    plan: &mut Plan,
) -> Result<Built> {
    // The kernel comes first, and once: its build makes the key, and packages that are
    // built after it by the same builder find it in the cache.
    let mut targets = vec!["kernel".to_owned()];
    targets.extend(images.iter().filter(|it| *it != "kernel").cloned());
    let repository = Repository::open(&checkouts.pkgs)?;
    let words = [&targets[..], &args.words()].concat();
    make(app, &repository, &words, &targets, plan)?;
    let mut pushed = Vec::new();
    for target in &targets {
        let image = chain::learn_digest(plan, target).ok_or_else(|| not_pushed(target))?;
        pushed.push(image);
    }
    let repository = Repository::open(&checkouts.extensions)?;
    let kernel = pushed[0].clone();
    let name = kernel.name.trim_end_matches("/kernel");
    let used: Vec<&Pushed> = targets
        .iter()
        .zip(&pushed)
        .filter(|(target, _)| images.contains(target))
        .map(|(_, image)| image)
        .collect();
    let pkgs = match used[..] {
        // With a digest, not even a later push of the same tag can be mixed in.
        [image] => format!("{}@{}", image.tag, image.digest),
        _ => kernel.tag.clone(),
    };
    let mut words = vec![args.name.clone()];
    words.extend(args.words());
    words.push(format!("PKGS_PREFIX={name}"));
    words.push(format!("PKGS={pkgs}"));
    make(
        app,
        &repository,
        &words,
        std::slice::from_ref(&args.name),
        plan,
    )?;
    let extension = chain::learn_digest(plan, &args.name).ok_or_else(|| not_pushed(&args.name))?;
    Ok(Built { kernel, extension })
}

fn not_pushed(target: &str) -> Failure {
    Failure::host(format!("the Makefile does not push `{target}` by buildx"))
        .cause("its digest would not be known")
}

fn make(
    app: &App<'_>,
    repository: &Repository,
    words: &[String],
    targets: &[String],
    plan: &mut Plan,
) -> Result<()> {
    let planned = build::evaluate(app, repository, words, false)?;
    let unlisted = planned.items.iter().find_map(|item| match item {
        Item::Require {
            error: Error::NoRule { target, .. },
            ..
        } => Some(target).filter(|target| targets.contains(target)),
        _ => None,
    });
    if let Some(target) = unlisted {
        return Err(Failure::usage(format!(
            "`{}/Makefile` does not list `{target}`",
            repository.dir
        ))
        .hint(typed!("kmod import {}/DIR", repository.dir)));
    }
    for note in build::advice::notes(words, &planned) {
        if !plan.notes.contains(&note) {
            plan.note(note);
        }
    }
    chain::append(plan, build::plan_of(app, repository, words, &planned));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_pkgs_are_those_with_its_version() {
        let text = "dependencies:\n  - stage: base\n  - image: \"{{ .BUILD_ARG_PKGS_PREFIX }}/zfs-pkg:{{ .BUILD_ARG_PKGS }}\"\n  - image: \"{{.BUILD_ARG_PKGS_PREFIX}}/kernel:{{.BUILD_ARG_PKGS}}\"\n  - image: \"{{ .BUILD_ARG_TOOLS_PREFIX }}/tools:{{ .BUILD_ARG_TOOLS }}\"\n";
        assert_eq!(images_in(text), ["kernel", "zfs-pkg"]);
    }
}

//! `lab up`: install what is missing on the host, build missing parts, start.

use clap::Args;
use talos::TalosVersion;

use super::build;
use super::docker;
use super::down;
use super::folder::LabFolder;
use super::locks::LockRequest;
use super::packages;
use super::parts::LabParts;
use super::real_parts;
use super::start;
use super::state::{Lab, State};
use crate::app::{App, LabNodes};
use foundation::ctx::host::Host;
use foundation::ctx::own_executable::own_executable;
use foundation::failure::{Failure, Result};
use foundation::plan::Plan;
use foundation::program;
use foundation::run::Options;
use foundation::typed;

#[derive(Debug, Clone, Default, Args)]
pub struct LabUpArgs {
    /// Program of the nodes [default: stand-in]
    #[arg(long, value_enum, value_name = "NODES")]
    pub nodes: Option<LabNodes>,
    /// Version of talosctl, and of Talos on real nodes [default: v1.12.0, v1.13.0 with real nodes]
    #[arg(long, value_name = "VERSION")]
    pub talosctl: Option<String>,
    /// Also start Docker with buildx, BuildKit and a registry; commands that build do so by themselves
    #[arg(long)]
    pub docker: bool,
}

/// Version of talosctl unless `--talosctl` names another.
pub(super) fn default_version(nodes: LabNodes) -> TalosVersion {
    match nodes {
        LabNodes::StandIn => TalosVersion::release(1, 12, 0),
        LabNodes::Real => TalosVersion::release(1, 13, 0),
    }
}

/// The running lab; started first where it is not. None for a dry run that has
/// shown the plan instead.
///
/// # Errors
/// When the host cannot run a lab, or a step fails; then nothing half made
/// stays.
pub(super) fn ensure(
    app: &App<'_>,
    lab_folder: &LabFolder,
    args: &LabUpArgs,
) -> Result<Option<Lab>> {
    let lab = ensure_lab(app, lab_folder, args)?;
    match lab {
        Some(lab) if args.docker => docker::ensure(app, lab_folder, lab).map(Some),
        lab => Ok(lab),
    }
}

fn ensure_lab(app: &App<'_>, lab_folder: &LabFolder, args: &LabUpArgs) -> Result<Option<Lab>> {
    let asked = asked_talosctl(args)?;
    let lab = Lab::probe(lab_folder);
    if lab.running().is_some() {
        check_same(&lab, args.nodes, asked.as_ref())?;
        return Ok(Some(lab));
    }
    check_host(app)?;
    lab_folder.check_ours()?;
    let nodes = args.nodes.unwrap_or_default();
    let version = asked.clone().unwrap_or_else(|| default_version(nodes));
    let wanted = || LabParts::wanted(lab_folder, nodes, &version, app.ctx.host.arch);
    if app.is_dry() {
        show(app, lab_folder, &wanted(), args.docker)?;
        return Ok(None);
    }
    let _starting = LockRequest::lab(app, lab_folder, "lab up").wait(app)?;
    // The process that held the lock may have done all of it.
    let lab = Lab::probe(lab_folder);
    if lab.running().is_some() {
        check_same(&lab, args.nodes, asked.as_ref())?;
        return Ok(Some(lab));
    }
    if lab.state != State::Absent {
        app.ui.note("removing what is left of an earlier lab");
        down::take_down(app, lab_folder)?;
    }
    {
        let _building = LockRequest::parts(lab_folder).wait(app)?;
        build_parts(app, wanted)?;
    }
    let plan = start::plan(lab_folder, &wanted(), app.ctx.host.arch, &own_executable()?);
    app.runner().run(&plan, Options::default())?;
    let lab = Lab::probe(lab_folder);
    if lab.running().is_some() {
        return Ok(Some(lab));
    }
    Err(Failure::step("the lab has started and is gone again").hint(typed!("lab down")))
}

fn build_parts(app: &App<'_>, wanted: impl Fn() -> LabParts) -> Result<()> {
    let before = wanted();
    let look = || packages::missing(before.nodes());
    let lacking = look();
    check_tools(&before, &lacking)?;
    let listed = before.listed_package(app.ctx.host.arch);
    install(app, &lacking, listed.as_deref(), look)?;
    let parts = wanted();
    if let LabParts::StandIn(parts) = &parts
        && !parts.is_kernel_known()
    {
        let package = listed.unwrap_or_default();
        return Err(Failure::host(format!("apt knows no package `{package}`"))
            .cause("the lab's kernel comes from Debian's archive; other distributions call theirs differently")
            .hint(program!("apt-cache depends {}", package)));
    }
    if let LabParts::Real(real) = &parts
        && !real.are_images_known()
    {
        // talosctl, once it is built, says what else there is to build.
        let mut plan = Plan::new("build Talos for the lab");
        real_parts::plan_talos(&mut plan, real, &own_executable()?)?;
        app.runner().run(&plan, Options::default())?;
    }
    let mut plan = Plan::new("build the parts of the lab");
    build::plan(&mut plan, &wanted(), &own_executable()?)?;
    if plan.steps.is_empty() {
        return Ok(());
    }
    app.runner().run(&plan, Options::default())
}

/// Install what is missing, once that is allowed, and look again; `listed` is a
/// package that apt's lists must name, because it is downloaded later.
pub(super) fn install(
    app: &App<'_>,
    lacking: &[packages::Missing],
    listed: Option<&str>,
    look: impl Fn() -> Vec<packages::Missing>,
) -> Result<()> {
    let plan = packages::plan_install(lacking, listed);
    if plan.steps.is_empty() {
        return Ok(());
    }
    may_install(app, lacking)?;
    app.runner().run(&plan, Options::default())?;
    let still = look();
    if still.is_empty() {
        return Ok(());
    }
    Err(packages::failure(&still).cause("although their packages were installed"))
}

/// Before a long job everything missing is reported at once: first what only the user can fix, then what would have been installed.
fn check_tools(parts: &LabParts, lacking: &[packages::Missing]) -> Result<()> {
    let go = "talosctl and what the lab's nodes run are built with Go 1.26.1 or newer";
    check_can_build(parts.needs_go(), parts.needs_apt(), go, lacking)
}

/// What building needs that is not ours to install.
pub(super) fn check_can_build(
    needs_go: bool,
    needs_apt: bool,
    why_go: &str,
    lacking: &[packages::Missing],
) -> Result<()> {
    let mut causes = Vec::new();
    let mut hint = None;
    if needs_go && Host::which("go").is_none() {
        causes.push(format!("`go` not found: {why_go}"));
        hint = Some("install Go from https://go.dev/dl and put its bin folder on PATH");
    }
    if needs_apt && Host::which("apt-get").is_none() {
        causes.push(
            "`apt-get` not found: what the lab is made of comes from Debian's archive".to_owned(),
        );
    }
    if causes.is_empty() {
        return packages::needs_apt(lacking);
    }
    let mut failure = packages::failure(lacking);
    failure.causes.extend(causes);
    failure.hint = hint.map(str::to_owned);
    Err(failure)
}

/// Say what is going to be installed and have it allowed.
fn may_install(app: &App<'_>, lacking: &[packages::Missing]) -> Result<()> {
    // Fetching package lists alone installs nothing.
    if lacking.is_empty() {
        return Ok(());
    }
    let by_hand = packages::by_hand(lacking, app.ctx.host.is_root());
    let missing: Vec<&str> = lacking.iter().map(|lack| lack.what.as_str()).collect();
    let missing = missing.join(", ");
    let question = format!(
        "The lab needs packages that are missing on this host: {missing}.\nRun `{by_hand}` now?"
    );
    match app.ui.confirm(&question) {
        Some(true) => Ok(()),
        Some(false) | None => {
            Err(packages::failure(lacking)
                .hint(format!("answer yes with `--yes`, or type: {by_hand}")))
        }
    }
}

/// All that would be done, with slots where only a step can tell.
fn show(app: &App<'_>, lab_folder: &LabFolder, parts: &LabParts, docker: bool) -> Result<()> {
    let arch = app.ctx.host.arch;
    let lacking = packages::missing(parts.nodes());
    check_tools(parts, &lacking)?;
    let listed = parts.listed_package(arch);
    let mut plan = Plan::new("bring the lab up");
    for part in [
        down::plan(app, lab_folder),
        packages::plan_install(&lacking, listed.as_deref()),
    ] {
        plan.notes.extend(part.notes);
        plan.steps.extend(part.steps);
    }
    let exe = own_executable()?;
    build::plan(&mut plan, parts, &exe)?;
    plan.steps
        .extend(start::plan(lab_folder, parts, arch, &exe).steps);
    if docker {
        docker::show(&mut plan, lab_folder)?;
    }
    app.show(&plan)
}

/// The release that the user asked for.
fn asked_talosctl(args: &LabUpArgs) -> Result<Option<TalosVersion>> {
    let Some(text) = &args.talosctl else {
        return Ok(None);
    };
    match TalosVersion::parse(text) {
        Ok(version) if version.is_tagged() => Ok(Some(version)),
        Ok(_) => Err(
            Failure::usage(format!("`{text}` is not a released talosctl"))
                .hint("--talosctl v1.12.0"),
        ),
        Err(error) => Err(Failure::usage(format!("`{text}` is not a version"))
            .cause(error)
            .hint("--talosctl v1.12.0")),
    }
}

/// Whether the running lab is the one that was asked for.
fn check_same(lab: &Lab, nodes: Option<LabNodes>, version: Option<&TalosVersion>) -> Result<()> {
    let runs = match (nodes, lab.nodes()) {
        (Some(LabNodes::Real), LabNodes::StandIn) => {
            "the nodes of the running lab are the stand-in"
        }
        (Some(LabNodes::StandIn), LabNodes::Real) => {
            "the nodes of the running lab run Talos itself"
        }
        _ => return check_talosctl(lab, version),
    };
    Err(Failure::host(runs)
        .cause("a lab has nodes of one kind")
        .hint(typed!("lab down")))
}

fn check_talosctl(lab: &Lab, version: Option<&TalosVersion>) -> Result<()> {
    match (&lab.made, version.map(TalosVersion::tag)) {
        (Some(made), Some(version)) if made.talosctl != version => Err(Failure::host(format!(
            "the lab runs with talosctl {}, not {version}",
            made.talosctl
        ))
        .hint(typed!("lab down"))),
        _ => Ok(()),
    }
}

fn check_host(app: &App<'_>) -> Result<()> {
    app.ctx.needs_linux("lab up")?;
    if app.ctx.host.arch == "amd64" {
        return Ok(());
    }
    Err(Failure::host(format!(
        "the lab runs on amd64; this is {}",
        app.ctx.host.arch
    )))
}

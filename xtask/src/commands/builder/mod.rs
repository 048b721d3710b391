//! `builder`: the buildx builder that Talos' builds need, with the guide's
//! command line. Buildx schedules the builds; this command compares and
//! reports.

mod differ;
mod show;
mod spec;
mod usage;

use clap::{Args, Subcommand};

use crate::app::App;
use differ::{Repair, differences};
use foundation::ctx::buildx::{self, Builder};
use foundation::ctx::docker;
use foundation::failure::{Failure, Result};
use foundation::plan::{Action, Effect, Plan, Step};
use foundation::ui;
use foundation::{program, typed};
use spec::BuilderSpec;

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  cargo xtask builder                       compare with the configured options\n  \
        cargo xtask builder create                create it as in the guide\n  \
        cargo xtask builder repair                recreate it, keeping its cache\n  \
        cargo xtask builder prune --keep 20GB\n\n\
        The driver and its options are set in `[builder]` of .cargo/xtask.toml."
)]
pub struct BuilderCommand {
    #[command(subcommand)]
    pub verb: Option<BuilderVerb>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum BuilderVerb {
    /// Compare the builder with the configured options; exit code 1 if they differ
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Create the builder that Talos builds need, if it is missing
    #[command(
        after_help = "Examples:\n  cargo xtask builder create\n  cargo xtask builder create --dry-run --format sh"
    )]
    Create,
    /// Recreate the builder with the configured options, keeping its cache
    Repair,
    /// Remove the builder
    Remove {
        /// Keep the cache for the next builder of this name
        #[arg(long)]
        keep_state: bool,
    },
    /// Show the contents of the build cache, by kind
    Usage {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Prune the build cache
    #[command(
        after_help = "Examples:\n  cargo xtask builder prune                 everything that no build uses\n  \
        cargo xtask builder prune --keep 20GB     oldest first, down to 20 GB"
    )]
    Prune {
        /// Cache size to keep: GB is 10^9 bytes, GiB is 2^30
        #[arg(long, value_name = "SIZE")]
        keep: Option<String>,
    },
}

/// The first start pulls BuildKit's image.
const START_DEADLINE: u64 = 900;
const DEADLINE: u64 = 300;

pub(crate) fn run(app: &App<'_>, command: &BuilderCommand) -> Result<u8> {
    let spec = BuilderSpec::from_settings(&app.ctx)?;
    match &command.verb {
        None => show::status(app, &spec, command.json),
        Some(BuilderVerb::Status { json }) => show::status(app, &spec, command.json || *json),
        Some(BuilderVerb::Create) => create(app, &spec),
        Some(BuilderVerb::Repair) => repair(app, &spec),
        Some(BuilderVerb::Remove { keep_state }) => remove(app, &spec, *keep_state),
        Some(BuilderVerb::Usage { json }) => usage::usage(&spec, command.json || *json),
        Some(BuilderVerb::Prune { keep }) => usage::prune(app, &spec, keep.as_deref()),
    }
}

/// Creates it if it is missing, for `setup`. Returns whether anything was
/// changed; `None` for a dry run, which has shown the plan.
///
/// # Errors
/// When there is another builder of that name, or a step fails.
pub(super) fn ensure(app: &App<'_>) -> Result<Option<bool>> {
    let plan = plan(app)?;
    if plan.steps.is_empty() {
        return Ok(Some(false));
    }
    if !app.carry_out(&plan)? {
        return Ok(None);
    }
    check(&BuilderSpec::from_settings(&app.ctx)?)?;
    Ok(Some(true))
}

/// Verifies that the builder is as specified.
///
/// # Errors
/// The differences.
fn check(spec: &BuilderSpec) -> Result<()> {
    let name = &spec.name;
    let Some(there) = there(spec)? else {
        return Err(Failure::step(format!(
            "docker reported success, but there is no builder `{name}`"
        ))
        .hint(program!("docker buildx ls")));
    };
    match differences(spec, &there).first() {
        None => Ok(()),
        Some(first) => Err(Failure::step(format!(
            "builder `{name}` still differs: {} is {}",
            first.what, first.there
        ))
        .hint(typed!("builder status"))),
    }
}

/// Returns the plan of [`ensure`], without steps if the builder is as
/// specified.
///
/// # Errors
/// When there is another builder of that name.
pub(super) fn plan(app: &App<'_>) -> Result<Plan> {
    let spec = BuilderSpec::from_settings(&app.ctx)?;
    plan_create(&spec, there(&spec)?.as_ref())
}

fn create(app: &App<'_>, spec: &BuilderSpec) -> Result<u8> {
    let name = &spec.name;
    match ensure(app)? {
        Some(true) => ui::print(&format!("builder {name} is ready\n")),
        Some(false) => ui::print(&format!(
            "builder {name} already exists with the configured options\n"
        )),
        None => {}
    }
    Ok(0)
}

fn repair(app: &App<'_>, spec: &BuilderSpec) -> Result<u8> {
    let plan = plan_repair(spec, there(spec)?.as_ref());
    if plan.steps.is_empty() {
        ui::print(&format!(
            "builder {} has the configured options: nothing to repair\n",
            spec.name
        ));
    } else if app.carry_out(&plan)? {
        check(spec)?;
        ui::print(&format!(
            "repaired builder {}; its cache is kept\n",
            spec.name
        ));
    }
    Ok(0)
}

fn remove(app: &App<'_>, spec: &BuilderSpec, keep_state: bool) -> Result<u8> {
    let name = &spec.name;
    if there(spec)?.is_none() {
        ui::print(&format!("there is no builder {name}: nothing to remove\n"));
        return Ok(0);
    }
    let mut plan = Plan::new(format!("remove the builder {name}"));
    plan.push(removal(spec, keep_state));
    if app.carry_out(&plan)? {
        if there(spec)?.is_some() {
            return Err(Failure::step(format!(
                "docker reported success, but builder `{name}` still exists"
            ))
            .hint(typed!("builder status")));
        }
        let cache = if keep_state {
            "; its cache is kept for the next builder of this name"
        } else {
            ""
        };
        ui::print(&format!("removed builder {name}{cache}\n"));
    }
    Ok(0)
}

/// The builder of the wanted name.
fn there(spec: &BuilderSpec) -> Result<Option<Builder>> {
    if docker::client().is_none() {
        return Err(Failure::host("`docker` is not on PATH").hint(typed!("doctor")));
    }
    let list = buildx::list().map_err(|why| {
        if docker::buildx().is_none() {
            return Failure::host("docker has no buildx plugin")
                .cause("builds need it")
                .hint("install docker-buildx-plugin, or put `docker-buildx` into ~/.docker/cli-plugins");
        }
        Failure::host("cannot ask buildx for its builders").cause(why).hint(typed!("doctor"))
    })?;
    Ok(list.into_iter().find(|builder| builder.name == spec.name))
}

/// Returns the steps of `create`: the creation, or what makes an existing
/// builder work.
fn plan_create(spec: &BuilderSpec, there: Option<&Builder>) -> Result<Plan> {
    let name = &spec.name;
    let Some(there) = there else {
        let mut plan = Plan::new(format!("create the builder {name}"));
        plan.steps = creation(spec);
        return Ok(plan);
    };
    let differ = differences(spec, there);
    let others: Vec<_> = differ
        .iter()
        .filter(|it| it.cure == Repair::Recreate)
        .collect();
    if others.is_empty() {
        return Ok(plan_repair(spec, Some(there)));
    }
    let mut failure = Failure::host(format!(
        "builder `{name}` already exists with different options"
    ))
    .hint(format!(
        "{}: recreates it and keeps its cache",
        typed!("builder repair")
    ));
    failure.causes = others
        .iter()
        .map(|it| format!("{} is {}, not {}", it.what, it.there, it.wanted))
        .collect();
    Err(failure)
}

fn plan_repair(spec: &BuilderSpec, there: Option<&Builder>) -> Plan {
    let mut plan = Plan::new(format!("repair the builder {}", spec.name));
    let Some(there) = there else {
        plan.steps = creation(spec);
        return plan;
    };
    let differ = differences(spec, there);
    let cures: Vec<Repair> = differ.iter().map(|it| it.cure).collect();
    if cures.contains(&Repair::Recreate) {
        plan.push(removal(spec, true));
        plan.steps.extend(creation(spec));
        return plan;
    }
    if cures.contains(&Repair::Start) {
        plan.push(start(spec));
    }
    if cures.contains(&Repair::Use) {
        let argv = ["docker", "buildx", "use", &spec.name];
        plan.push(Step::run("select it for builds", argv).deadline(DEADLINE));
    }
    plan
}

fn creation(spec: &BuilderSpec) -> Vec<Step> {
    let mut steps = Vec::new();
    if let Some((bytes, path)) = &spec.max_used_space {
        let contents = format!(
            "# Written by `cargo xtask builder`.\n[worker.oci]\n  gc = true\n  maxUsedSpace = {bytes}\n"
        );
        let (path, mode) = (path.clone(), 0o644);
        let action = Action::WriteFile {
            path,
            contents,
            mode,
        };
        steps.push(Step::new("limit the size of BuildKit's cache", action));
    }
    let why = "create a builder with the host's network and the entitlement that Talos builds need";
    let create = Step::run(why, spec.create());
    steps.push(create.effect(Effect::Creates).deadline(DEADLINE));
    steps.push(start(spec));
    steps
}

fn start(spec: &BuilderSpec) -> Step {
    let argv = ["docker", "buildx", "inspect", "--bootstrap", &spec.name];
    let why = "start BuildKit now, so that errors show now";
    let mut step = Step::run(why, argv).deadline(START_DEADLINE);
    if let Action::Run(run) = &mut step.action {
        // Prints all about the builder; `builder status` shows what matters.
        run.quiet = true;
    }
    step
}

fn removal(spec: &BuilderSpec, keep_state: bool) -> Step {
    let mut argv = vec!["docker", "buildx", "rm"];
    if keep_state {
        argv.push("--keep-state");
    }
    argv.push(&spec.name);
    let why = if keep_state {
        "remove the builder, keeping the volume with its cache"
    } else {
        "remove the builder and its cache"
    };
    Step::run(why, argv)
        .effect(Effect::Destroys)
        .deadline(DEADLINE)
}

//! `cluster up`: the guide's "Running Talos cluster".

use camino::Utf8Path;
use clap::Args;
use talos::names::{NodeSocket, check_socket_paths};
use talos::version::Support;

use super::facts::Facts;
use super::settings::{Settings, Size};
use super::{Which, relay, status};
use crate::app::App;
use foundation::ctx::cluster::{ClusterState, ClusterView};
use foundation::failure::{Failure, Result};
use foundation::plan::{Action, Effect, Plan, Resource, Step, Watch};
use foundation::record::lock;
use foundation::run::Options;
use foundation::typed;

#[derive(Debug, Clone, Default, Args)]
pub struct UpArgs {
    #[command(flatten)]
    pub which: Which,
    /// Network of the cluster [default: 172.20.0.0/24]
    #[arg(long)]
    pub cidr: Option<String>,
    /// Number of control planes: 1, 3 or more [default: 3, fewer if memory is short]
    #[arg(long, value_name = "N")]
    pub controlplanes: Option<u32>,
    /// Number of workers [default: 2, fewer if memory is short]
    #[arg(long, value_name = "N")]
    pub workers: Option<u32>,
    /// Memory per node, in MiB or with a unit: GB is 10^9 bytes, GiB is 2^30
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Talos version of the machine configuration
    #[arg(long, value_name = "VERSION")]
    pub talos_version: Option<String>,
    /// Patch of the machine configuration, or @FILE; may be repeated
    #[arg(long, value_name = "PATCH")]
    pub config_patch: Vec<String>,
    /// Install Talos to disk and boot from there [default: each boot loads the built initramfs]
    #[arg(long)]
    pub with_bootloader: bool,
    /// Wait until Kubernetes is ready (the default)
    #[arg(long, overrides_with = "no_wait")]
    pub wait: bool,
    /// Return once the Talos API responds (talosctl always waits for that)
    #[arg(long)]
    pub no_wait: bool,
    /// Arguments for `talosctl cluster create`
    #[arg(last = true, value_name = "TALOSCTL ARGS")]
    pub talosctl_args: Vec<String>,
}

/// talosctl's own limit is 20 minutes of waiting; emulation is slower.
const DEADLINE_SECONDS: u64 = 45 * 60;

pub(super) fn run(app: &App<'_>, args: &UpArgs, json: bool) -> Result<u8> {
    let ctx = &app.ctx;
    let settings = Settings::new(ctx, args)?;
    let name = settings.name.as_str();
    let view = ClusterView::probe(ctx, name);
    match view.state {
        ClusterState::Absent => {}
        ClusterState::Running | ClusterState::Degraded => {
            if relay::repair(app, &view)? {
                if app.is_dry() {
                    return Ok(0);
                }
                let repaired = ClusterView::probe(ctx, name);
                return Ok(status::report(app, &repaired, json));
            }
            app.ui.note(&format!("cluster `{name}` is already up"));
            return Ok(status::report(app, &view, json));
        }
        ClusterState::Partial | ClusterState::Stale => return Err(in_the_way(&view)),
    }
    // Usage errors come before what may be missing on the machine.
    settings.size(None)?;
    let facts = Facts::gather(ctx, &settings, app.is_dry())?;
    let size = settings.size(facts.memory_available)?;
    let unknown = check_network_is_free(app, &settings)?;
    let mut plan = plan_up(&settings, &size, &facts)?;
    plan.notes.extend(unknown);
    if app.is_dry() {
        app.show(&plan)?;
        return Ok(0);
    }
    ctx.needs_linux("cluster up")?;
    let _lock = lock::take_soon(&ctx.dirs.state, &format!("cluster-{name}"), "cluster up")?;
    app.runner().run(&plan, Options::default())?;
    let view = ClusterView::probe(ctx, name);
    super::died(&view, "the cluster came up, but")?;
    Ok(status::report(app, &view, json))
}

fn in_the_way(view: &ClusterView) -> Failure {
    let (what, why) = match view.state {
        ClusterState::Stale => (
            "stale",
            "its processes are gone, as after a reboot of this host",
        ),
        _ => ("half made", "an earlier `create` did not finish"),
    };
    Failure::host(format!(
        "cluster `{}` already exists and is {what}",
        view.name
    ))
    .cause(why)
    .hint(typed!("cluster destroy --name {}", view.name))
}

/// Two clusters on one network both "succeed" and share a bridge address (T10).
/// A plan that is only shown has a note where the networks in use are unknown.
fn check_network_is_free(app: &App<'_>, settings: &Settings) -> Result<Option<String>> {
    let wanted = settings.cidr;
    let taken = match foundation::ctx::network::networks_in_use(&app.ctx, settings.name.as_str()) {
        Err(failure) if app.is_dry() => return Ok(Some(failure.in_one_line())),
        taken => taken?,
    };
    let Some(other) = taken.iter().find(|other| other.cidr.overlaps(wanted)) else {
        return Ok(None);
    };
    let free = foundation::ctx::network::first_free(&taken, wanted.prefix());
    Err(
        Failure::host(format!("the network {wanted} is already in use"))
            .cause(format!("{} has {}", other.who, other.cidr))
            .hint(format!("--cidr {free}")),
    )
}

/// The guide's section as steps.
pub(crate) fn plan_up(settings: &Settings, size: &Size, facts: &Facts) -> Result<Plan> {
    let name = settings.name.as_str();
    let state_dir = facts.talos_home.join("clusters").join(name);
    let nodes = settings.name.nodes(size.controlplanes, size.workers);
    check_socket_paths(state_dir.as_str(), &nodes, &NodeSocket::ALWAYS).map_err(|error| {
        Failure::usage(error.to_string())
            .hint("a shorter --name, or a shorter TALOS_HOME (Talos 1.12 and newer)")
    })?;
    let version = &facts.talosctl.version;
    let mut plan = Plan::new(format!(
        "cluster `{name}`: {} control plane(s) and {} worker(s) on {}, talosctl {version}",
        size.controlplanes, size.workers, settings.cidr,
    ));
    plan.notes.extend(size.note.clone());
    plan.notes.extend(facts.notes.iter().cloned());
    match version.support() {
        Support::Known => {}
        Support::TooOld { oldest } => {
            return Err(Failure::host(format!(
                "talosctl {version} is older than {oldest}, the oldest supported release"
            )));
        }
        Support::Newer { newest } => plan.note(format!(
            "talosctl {version} is newer than {newest}, the newest supported release; treating it as {newest}"
        )),
    }
    if facts.mirrors.is_empty() {
        plan.note("no registry and no pull-through proxy answers on this machine: nodes pull from the internet");
    }
    if settings.with_bootloader {
        plan.note("with a bootloader nodes boot from disk: a rebuilt initramfs needs a new installer image");
    }
    if facts.owner.is_some() {
        // The last is looked into when something has to be cleaned up.
        for folder in ["clusters", "cni/cache/results"] {
            let path = facts.talos_home.join(folder);
            plan.push(
                Step::new(
                    "create the folder first, because talosctl runs as root",
                    Action::CreateDir { path },
                )
                .effect(Effect::Creates),
            );
        }
    }
    if let Some(relaying) = &facts.relaying {
        plan.push(relay::start(&facts.exe, relaying));
    }
    plan.push(create_step(settings, size, facts, &state_dir));
    plan.steps.extend(give_back(facts));
    Ok(plan)
}

fn create_step(settings: &Settings, size: &Size, facts: &Facts, state_dir: &Utf8Path) -> Step {
    let name = settings.name.as_str();
    let mut step = Step::run(
        "create the cluster and wait for it",
        create_argv(settings, size, facts),
    )
    .as_root()
    .cwd(facts.checkout.clone())
    .deadline(DEADLINE_SECONDS)
    .makes(Resource::Cluster {
        name: name.to_owned(),
        state_dir: state_dir.to_owned(),
        bridge: settings.name.bridge(),
        cidr: settings.cidr.to_string(),
    })
    .watch(Watch::ClusterNodes {
        name: name.to_owned(),
        state_dir: state_dir.to_owned(),
    });
    if let Some(home) = &facts.talos_home_env {
        step = step.env("TALOS_HOME", home);
    }
    step
}

fn create_argv(settings: &Settings, size: &Size, facts: &Facts) -> Vec<String> {
    let version = &facts.talosctl.version;
    let mut argv = vec![facts.talosctl.path.to_string()];
    argv.extend(version.create_args().iter().map(ToString::to_string));
    let mut flag = |name: &str, value: String| argv.push(format!("--{name}={value}"));
    flag("name", settings.name.as_str().to_owned());
    flag("cidr", settings.cidr.to_string());
    flag("controlplanes", size.controlplanes.to_string());
    flag("workers", size.workers.to_string());
    if let Some(mib) = settings.memory {
        flag("memory", version.memory_value(mib));
    }
    if let Some(mib) = settings.memory_workers {
        flag("memory-workers", version.memory_value(mib));
    }
    for (name, file) in [
        ("vmlinuz-path", &facts.kernel),
        ("initrd-path", &facts.initramfs),
    ] {
        if let Some(file) = file {
            flag(name, file.to_string());
        }
    }
    flag("with-bootloader", settings.with_bootloader.to_string());
    let gateway = settings
        .cidr
        .gateway()
        .map(|address| address.to_string())
        .unwrap_or_default();
    for mirror in &facts.mirrors {
        flag(
            "registry-mirror",
            format!("{}=http://{gateway}:{}", mirror.host, mirror.port),
        );
    }
    if let Some(image) = &facts.install_image {
        flag("install-image", image.clone());
    }
    if let Some(contract) = &settings.talos_version {
        flag("talos-version", contract.clone());
    }
    for patch in &settings.config_patches {
        flag("config-patch", patch.clone());
    }
    if !settings.wait {
        flag("wait", "false".to_owned());
    }
    argv.extend(settings.talosctl_args.iter().cloned());
    argv
}

/// talosctl has no notion of the user behind sudo (T14).
fn give_back(facts: &Facts) -> Option<Step> {
    let (uid, gid) = facts.owner?;
    let files = [
        facts.talos_home.join("config"),
        facts.home.join(".kube"),
        facts.home.join(".kube/config"),
    ];
    let mut argv = vec![
        "chown".to_owned(),
        "--from=0:0".into(),
        "--silent".into(),
        format!("{uid}:{gid}"),
    ];
    argv.extend(files.iter().map(ToString::to_string));
    // Not all of them exist: no kubeconfig without waiting.
    Some(
        Step::run("give talosconfig and kubeconfig back to you", argv)
            .as_root()
            .also_ok(&[1]),
    )
}
